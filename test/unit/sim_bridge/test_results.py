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

"""Statistics and files of an evaluation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_bridge.episodes import RunParameters
from sim_bridge.results.writing import EpisodeRecord, ResultsWriter, summarize, table
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import MT50, MT50_GROUPS
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.intervals import wilson_interval


def record(task="reach-v3", seed=0, success=True, latency=(10.0, 20.0)):
    return EpisodeRecord(task, seed, success, 50 if success else 500, 12.5, len(latency), latency)


@pytest.mark.parametrize(("successes", "trials", "low", "high"), [
    # Values of the closed form, as tabulated e.g. by statsmodels.proportion_confint(wilson).
    (45, 50, 0.7864, 0.9565), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)])
def test_wilson_interval(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_rate(case):
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


def test_summary_per_task():
    records = [record(seed=0), record(seed=1, success=False), record("button-press-v3")]
    results = summarize(records, {"date": "today"})
    reach = results["tasks"]["reach-v3"]
    assert (reach["episodes"], reach["successes"], reach["success_rate"]) == (2, 1, 0.5)
    assert reach["mean_steps"] == 275
    assert results["latency_ms"]["p50"] == 15.0
    assert "| button-press-v3" in table(results)
    # Of tasks, not of episodes: a task counts the same however often it was run.
    assert "mean success over 2 tasks: 75.0 %" in table(results)


def test_columns_of_the_table_line_up():
    rows = table(summarize([record("button-press-topdown-v3"), record()], {})).split("\n\n")[0]
    assert len({len(line) for line in rows.splitlines()}) == 1


@pytest.mark.simulator
def test_mt10_stands_for_its_ten_tasks():
    from metaworld.env_dict import MT10_V3
    parameters = RunParameters(tasks=("button-press-v3", "mt10"), episodes=1)
    assert parameters.tasks == ("button-press-v3", *MT10_V3)
    assert [spec.task for spec in parameters.plan()] == list(parameters.tasks)


@pytest.mark.simulator
def test_mt50_stands_for_all_tasks_and_each_can_be_told_what_to_do():
    from metaworld.env_dict import MT50_V3
    tasks = RunParameters(tasks=("mt50",)).tasks
    assert sorted(tasks) == sorted(MT50_V3)
    groups = ("mt50-easy", "mt50-medium", "mt50-hard", "mt50-very-hard")
    assert RunParameters(tasks=groups).tasks == tasks
    instructions = {SimulatedRobotConfig.load().instruction(task) for task in tasks}
    assert len(instructions) == 50


def test_groups_of_mt50_count_the_same_however_many_tasks_they_have():
    records = [record(task, success=task in MT50_GROUPS["mt50-hard"]) for task in MT50]
    text = table(summarize(records, {}))
    assert "mean success over 50 tasks: 12.0 %" in text
    assert "mt50-easy 0.0 %" in text
    assert "mean of the groups 25.0 %" in text
    assert "mt50" not in table(summarize(records[1:], {}))


def test_lines_are_on_disk_as_episodes_end(tmp_path):
    writer = ResultsWriter(tmp_path / "out")
    writer.add(record())
    line = json.loads((tmp_path / "out" / "episodes.jsonl").read_text())
    assert line["return"] == 12.5
    assert line["task"] == "reach-v3"


def test_results_are_not_overwritten(tmp_path):
    ResultsWriter(tmp_path).finish({})
    with pytest.raises(InputError, match="holds results already"):
        ResultsWriter(tmp_path)


def test_a_run_that_never_began_leaves_nothing_and_refuses_nothing(tmp_path):
    ResultsWriter(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "episodes.jsonl").touch()  # what such a run of release 0.1.0 left
    ResultsWriter(tmp_path).add(record())


def test_two_runs_do_not_share_a_directory(tmp_path):
    first, second = ResultsWriter(tmp_path / "out"), ResultsWriter(tmp_path / "out")
    first.add(record())
    with pytest.raises(InputError, match="holds results already"):
        second.add(record())


def test_out_must_be_a_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        ResultsWriter(tmp_path / "file")
