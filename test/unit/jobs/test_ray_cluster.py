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

"""Jobs on a Ray cluster of two nodes: the results of local processes, whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness.fatal_jobs import FatalRun, run_fatal_episode
from sim_bridge.episodes import plan_episodes
from sim_bridge.opengl import require_opengl
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from training.data.collect import collect
from training.experiments.episodes import checkpoint_record, checkpoint_runs, run_missing
from training.jobs.episodes import EpisodeRun, PolicySource, run_episode
from training.jobs.local_processes import LocalProcesses
from training.jobs.pool import work_through
from training.jobs.ray_cluster import RAY_SETTINGS, RayCluster
from training.jobs.ray_worker import RayWorker, pack, versions
from training.jobs.results_log import EPISODES, ResultsLog
from training.jobs.workers import Job, Workers

TASKS = ["reach-v3", "button-press-v3"]


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster of two nodes with one CPU each, processes of this machine."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # Ray's sockets are below it, and their paths must be short.
    place = tempfile.mkdtemp(prefix="tv-", dir="/tmp")
    memory = {"num_cpus": 1, "object_store_memory": 100 << 20}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        # It writes its address there, for whoever asks for a cluster of this machine, and does not
        # make the directory.
        for name, value in {**RAY_SETTINGS, "RAY_TMPDIR": place}.items():
            patch.setenv(name, value)
        (Path(place) / "ray").mkdir()
        before = signal.getsignal(signal.SIGTERM)
        cluster = Cluster()
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(signal.signal, signal.SIGTERM, before)
        stack.callback(cluster.shutdown)
        cluster.add_node(**memory, include_dashboard=False)
        cluster.add_node(**memory)
        yield cluster.address


def results(jobs: list[Job], workers: Workers, each=lambda: None) -> list:
    """Do jobs in order; return their arguments and results."""
    found = []

    def finished(job: Job, result) -> None:
        found.append((job.argument, result))
        each()

    with workers:
        work_through(jobs, finished, workers, in_order=True)
    return found


def no_work(job: Job, result) -> None:
    """Take a result."""


def episodes(checkpoint) -> list[EpisodeRun]:
    robot = SimulatedRobotConfig.load()
    require_opengl()
    return [EpisodeRun(PolicySource(checkpoint), spec, robot, film_strip=spec.seed == 60000)
            for spec in plan_episodes(TASKS, 3, 60000)]


@pytest.mark.slow
@pytest.mark.simulator
def test_episodes_are_those_of_local_processes_though_a_worker_is_killed(cluster, tmp_path):
    checkpoint = shutil.copytree(default_checkpoint(), tmp_path / "checkpoint")
    runs = episodes(checkpoint)
    local = results([Job("episode", run_episode, run) for run in runs], LocalProcesses(2))
    jobs = [Job("episode", run_episode, run) for run in runs]
    same = {f.name: getattr(runs[2], f.name) for f in fields(EpisodeRun)}
    jobs[2] = Job("episode", run_fatal_episode, FatalRun(**same, marker=tmp_path / "killed"))
    # Another machine does not have the directory either.
    on_ray = results(jobs, RayCluster(cluster),
                     lambda: shutil.rmtree(checkpoint, ignore_errors=True))
    assert (tmp_path / "killed").exists() and not checkpoint.exists()
    assert [argument.spec for argument, _ in on_ray] == [run.spec for run in runs]
    assert ([replace(result, latency_ms=()) for _, result in on_ray]
            == [replace(result, latency_ms=()) for _, result in local])
    assert all(result.error is None and result.latency_ms for _, result in on_ray)
    assert [bool(result.film_strip) for _, result in on_ray] == [True, False, False] * 2


@pytest.mark.slow
@pytest.mark.simulator
def test_a_study_that_was_stopped_goes_on(cluster, tmp_path):
    require_opengl()
    runs = checkpoint_runs(PolicySource(default_checkpoint()), TASKS[:1], 4, 60010, {"step": 1})
    before = signal.getsignal(signal.SIGTERM)

    def stop_at_second(run, outcome) -> dict:
        if log.records[EPISODES]:
            os.kill(os.getpid(), signal.SIGTERM)
        return checkpoint_record(run, outcome)

    with ResultsLog(tmp_path / "out", {}, (EPISODES,)) as log:
        with RayCluster(cluster) as workers:
            assert not run_missing(runs, log, workers, stop_at_second)
        assert len(log.records[EPISODES]) == 1
    assert signal.getsignal(signal.SIGTERM) == before
    with ResultsLog(tmp_path / "out", {}, (EPISODES,)) as log:
        with RayCluster(cluster) as workers:
            assert run_missing(runs, log, workers, checkpoint_record)
        found = sorted(log.records[EPISODES], key=lambda record: record["episode_seed"])
    assert found == [checkpoint_record(run, run_episode(run)) for run in runs]


@pytest.mark.slow
@pytest.mark.simulator
def test_demonstrations_are_those_of_local_processes(cluster, tmp_path):
    collect(TASKS[:1], 2, 7, tmp_path / "local", workers=1, size=48, plan_rows=4)
    collect(TASKS[:1], 2, 7, tmp_path / "ray", size=48, plan_rows=4, ray=cluster)
    assert pack(tmp_path / "ray")[0] == pack(tmp_path / "local")[0]


@pytest.mark.slow
def test_errors_of_jobs_are_those_of_local_processes(cluster, tmp_path):
    for job, error, text in (
            (Job("bad", int, "five"), ValueError, "'five'"),
            (Job("bad", SavedCheckpoint.read, tmp_path / "nowhere"), CheckpointError, "nowhere"),
            (Job("deadly", signal.raise_signal, int(signal.SIGKILL)), InputError,
             "deadly 9.*--workers")):
        with pytest.raises(error, match=text), RayCluster(cluster, 1) as workers:
            work_through([job], no_work, workers)


@pytest.mark.slow
def test_a_node_with_other_versions_is_refused(cluster, monkeypatch):
    monkeypatch.setattr("training.jobs.ray_cluster.versions",
                        lambda: versions() | {"mujoco": "0.1"})
    with (pytest.raises(InputError, match=r"mujoco.* 0\.1"),
          RayCluster(cluster, 1) as workers):
        work_through([Job("quick", int, "5")], no_work, workers)


def test_a_job_beside_other_files_than_here_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text("{}")
    worker = RayWorker({}, os.getcwd())
    job = Job("run", int, "5", (tmp_path / "plan.json",))
    with pytest.raises(InputError, match=r"plan\.json.*--ray"):
        worker.do(job, {tmp_path / "plan.json": "what the file is elsewhere"}, None)
    worker.clean_up()


@pytest.fixture
def stranger():
    """The address of a server that is not Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def greet() -> None:
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        threading.Thread(target=greet, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_that_does_not_answer_is_one_sentence(stranger):
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    for address in (closed, f"ray://{closed}", stranger):
        with pytest.raises(InputError) as error:
            RayCluster(address)
        assert address in str(error.value) and "ray start" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("arguments", [
    ["--ray", "cluster"], ["--ray", "host:99999"], ["--ray", "http://host:8265"],
    ["--ray", "local", "--device", "cuda"],
])
def test_options_that_no_cluster_can_have_are_refused(arguments, tmp_path):
    with pytest.raises(InputError, match=arguments[-2]):
        run_command(["evaluate", "--out", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()
