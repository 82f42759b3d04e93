# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Jobs in other processes: order, progress, errors, stops, and the log of their results."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest
import torch

from sim_bridge.episodes import plan_episodes
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import CheckpointError, InputError
from training.experiments.evaluate import evaluate
from training.experiments.options import EvaluationOptions
from training.jobs.episodes import EpisodeRun, PolicySource, run_episode
from training.jobs.local_processes import LocalProcesses
from training.jobs.pool import Progress, Stopped, work_through
from training.jobs.results_log import ResultsLog
from training.jobs.workers import Job


def test_the_time_left_counts_every_kind_of_job():
    progress = Progress({"run": 3, "episode": 10}, workers=2)
    progress.done("run", 60.0)
    assert progress.seconds_left() is None
    progress.done("episode", 4.0)
    assert progress.seconds_left() == pytest.approx((2 * 60.0 + 9 * 4.0) / 2)
    progress.close()


def test_a_stop_ends_the_workers_and_keeps_what_is_done():
    finished = []

    def note(job: Job, result) -> list[Job]:
        finished.append(job.kind)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return []

    before = set(multiprocessing.active_children())
    with pytest.raises(Stopped), LocalProcesses(1) as workers:
        work_through([Job("short", time.sleep, 0.0), Job("long", time.sleep, 100.0)], note,
                     workers, Progress({"short": 1, "long": 1}, 1))
    assert finished == ["short"]
    assert set(multiprocessing.active_children()) == before


def test_an_error_of_a_job_ends_the_others():
    with pytest.raises(ValueError, match="'five'"), LocalProcesses(2) as workers:
        work_through([Job("long", time.sleep, 100.0), Job("bad", int, "five")],
                     lambda job, result: [], workers, Progress({"long": 1, "bad": 1}, 2))


def test_a_process_that_dies_ends_the_work():
    with pytest.raises(InputError, match="--workers"), LocalProcesses(1) as workers:
        work_through([Job("deadly", signal.raise_signal, signal.SIGKILL)] * 3,
                     lambda job, result: [], workers)


def test_results_come_in_the_order_of_the_jobs():
    times, taken, ended = (0.6, 0.0, 0.01, 0.1), [], []

    def jobs():
        for seconds in times:
            taken.append(seconds)
            yield Job("sleep", time.sleep, seconds)

    def finished(job: Job, result: None) -> list[Job]:
        ended.append(job.argument)
        return []

    with LocalProcesses(2) as workers:
        work_through(jobs(), finished, workers, in_order=True)
    assert ended == taken == list(times)


def test_jobs_that_are_no_longer_needed_are_not_begun():
    needed, taken = [True], []

    def jobs():
        while needed[0]:
            taken.append(len(taken))
            yield Job("sleep", time.sleep, 0.0)

    def finished(job: Job, result: None) -> list[Job]:
        needed[0] = False
        return []

    with LocalProcesses(1) as workers:
        work_through(jobs(), finished, workers, in_order=True)
    assert taken == [0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_an_evaluation_on_a_missing_device_ends_before_it_begins(tiny_checkpoint, tmp_path):
    options = EvaluationOptions(tasks=("reach-v3",), episodes=1, device="cuda",
                                checkpoint=str(tiny_checkpoint), out=tmp_path / "out")
    with pytest.raises(InputError, match=r"'cuda'.*'cpu'"):
        evaluate(options)
    assert not (tmp_path / "out").exists()


@pytest.mark.simulator
def test_the_outcome_of_an_episode_holds_the_error_of_the_policy(tmp_path):
    spec = plan_episodes(["reach-v3"], 1, 60000)[0]
    outcome = run_episode(EpisodeRun(PolicySource(tmp_path), spec, SimulatedRobotConfig.load()))
    assert isinstance(outcome.error, CheckpointError)
    assert outcome.result.steps == 0


def test_a_result_cut_by_a_kill_is_done_again(tmp_path):
    with ResultsLog(tmp_path / "out", {"samples": 1}, ("runs",)) as log:
        log.add("runs", {"seed": 0})
    with (tmp_path / "out/runs.jsonl").open("a") as file:
        file.write('{"seed": 1, "succ')
    with ResultsLog(tmp_path / "out", {"samples": 1}, ("runs",)) as log:
        assert log.records["runs"] == [{"seed": 0}]
        with pytest.raises(InputError, match="in use"):
            ResultsLog(tmp_path / "out", {"samples": 1}, ("runs",))
        log.add("runs", {"seed": 2})
    assert len((tmp_path / "out/runs.jsonl").read_text().splitlines()) == 2
    with pytest.raises(InputError, match=r"samples 1.* 2"):
        ResultsLog(tmp_path / "out", {"samples": 2}, ("runs",))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/precious").write_text("data")
    with pytest.raises(InputError, match="nothing was overwritten"):
        ResultsLog(tmp_path / "other", {}, ())
