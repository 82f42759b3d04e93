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

"""``tinyvla compare``: like with like, or a sentence that says what is unlike."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.saved_results import write_results as write
from sim_bridge.task_suites import MT50, MT50_GROUPS
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.intervals import mcnemar, mean_interval, wilson_interval


def compared(capsys, *arguments) -> str:
    assert main(["compare", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments) -> str:
    assert main(["compare", *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.fixture
def pair(tmp_path):
    reach = [True, True, False, True]
    return (write(tmp_path / "a", {"reach-v3": reach, "push-v3": [True] * 4}),
            write(tmp_path / "b", {"reach-v3": [not r for r in reach], "push-v3": [True] * 4}))


def test_tasks_means_and_the_test_on_shared_episodes(pair, capsys):
    text = compared(capsys, *pair)
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "75 % (30-95)" in rows["reach-v3"]
    assert "87.5 %" in rows["mean of the tasks"]
    assert "on 8 shared episodes: only a succeeds in 3, only b in 1" in text
    assert f"p = {mcnemar(3, 1):.3g}" in text


def test_groups_of_mt50_have_rows(tmp_path, capsys):
    good = {task: [task in MT50_GROUPS["mt50-easy"]] * 2 for task in MT50}
    text = compared(capsys, write(tmp_path / "a", good), write(tmp_path / "b", good))
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "25.0 %" in rows["mean of the groups"]
    assert "56.0 %" in rows["mean of the tasks"]
    assert "100.0 %" in rows["mt50-easy"]


@pytest.mark.parametrize(("changes", "words"), [
    ({"horizon": 400}, "horizon is 500 and 400"),
    ({"mode": "realtime"}, "mode is lock-step and realtime"),
    ({"cameras": {"corner2": {}}}, "cameras is side and corner2"),
    ({"state": ["ee_x", "ee_y"]}, "state is"),
    ({"demonstrations": 25}, "demonstrations is 50 and 25"),
    ({"scenes": "shared"}, "scenes is standard and shared"),
    ({"extra_latency_s": 0.2}, "extra_latency_s is 0.0 and 0.2"),
    ({"versions": {"mujoco": "3.4.0"}}, "mujoco is 3.3.0 and 3.4.0")])
def test_unlike_protocols_are_ranked_only_on_request(changes, words, pair, tmp_path, capsys):
    other = write(tmp_path / "c", {"reach-v3": [True] * 4, "push-v3": [True] * 4}, **changes)
    assert words in refused(capsys, pair[0], other)
    name = next(iter(changes.get("versions", changes)))
    assert f"unlike conditions: {name}" in compared(capsys, pair[0], other, "--despite", name)


def test_episodes_that_begin_differently_are_not_paired(pair, tmp_path, capsys):
    good = {"reach-v3": [True] * 4, "push-v3": [True] * 4}
    for changes in ({"scenes": "shared"}, {"versions": {"mujoco": "3.4.0"}}):
        name = next(iter(changes.get("versions", changes)))
        other = write(tmp_path / name, good, **changes)
        text = compared(capsys, pair[0], other, "--despite", name)
        assert "McNemar" not in text and f"differently with other {name}" in text


@pytest.mark.parametrize(("path", "value"), [
    (("tasks", "reach-v3", "successes"), 5), (("protocol", "seeds"), [3]),
    (("protocol", "seeds"), 3), (("protocol", "versions"), "3.3.0"),
    (("protocol", "cameras", "side"), "left"), (("protocol",), [])])
def test_foreign_files_are_one_sentence(path, value, pair, capsys):
    file = pair[0] / "results.json"
    content = json.loads(file.read_text())
    place = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    file.write_text(json.dumps(content))
    error = refused(capsys, *pair)
    assert "holds no results" in error and ".".join(path[:2]) in error


def test_episodes_that_cannot_be_read_are_one_sentence(pair, capsys):
    (pair[0] / "episodes.jsonl").write_bytes(b"\xff\xfe")
    assert "episodes.jsonl" in refused(capsys, *pair)
    (pair[0] / "episodes.jsonl").unlink()
    (pair[0] / "episodes.jsonl").mkdir()
    assert "episodes.jsonl" in refused(capsys, *pair)


def test_topics_and_in_process_are_one_protocol(pair, tmp_path, capsys):
    other = write(tmp_path / "c", {"reach-v3": [True], "push-v3": [True]},
                  mode="in process, lock-step")
    assert "shared episodes" in compared(capsys, pair[0], other)


def test_protocols_are_told_and_all_that_differs_is_named_at_once(pair, tmp_path, capsys):
    ours = {"protocol": "ours", "whole_protocol": True,
            "policy": {"cameras": ["side"], "state": ["ee_x"], "demonstrations": 40}}
    theirs = {"protocol": "corner2", "whole_protocol": False, "cameras": {"corner2": {}},
              "state": ["ee_x", "ee_y"],
              "policy": {"cameras": ["corner2"], "state": ["ee_x"], "demonstrations": None}}
    good = {"reach-v3": [True] * 4, "push-v3": [True] * 4}
    a, b = write(tmp_path / "ours", good, **ours), write(tmp_path / "theirs", good, **theirs)
    assert "--despite cameras state" in refused(capsys, a, b)
    text = compared(capsys, a, b, "--despite", "cameras", "state")
    assert "Made under unlike conditions: cameras, state." in text
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "| ours" in rows["protocol"].replace("  ", "") and "corner2, a part" in rows["protocol"]
    assert "40" in rows["demonstrations used"] and "-" in rows["demonstrations used"]
    # What a policy leaves unused, and the order of the state, make no other protocol.
    fewer = ours | {"policy": {"cameras": [], "state": [], "demonstrations": 10}}
    assert "shared episodes" in compared(capsys, a, write(tmp_path / "fewer", good, **fewer))


def test_of_longer_episodes_success_is_counted_within_fewer_steps(pair, tmp_path, capsys):
    short = write(tmp_path / "short", {"reach-v3": [True] * 4, "push-v3": [True] * 4}, horizon=40)
    assert "horizon is 500 and 40" in refused(capsys, pair[0], short)
    text = compared(capsys, pair[0], short, "--horizon", "40")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "success within 40 steps, 95 % interval" in rows
    assert "| 0 % (0-49)" in rows["push-v3"].replace("  ", ""), "they took 50 steps"
    assert "only short in 8" in text
    assert "40" in refused(capsys, pair[0], short, "--horizon", "50")


def test_a_model_card_tells_the_horizons_of_its_protocol(tmp_path, capsys):
    runs = [write(tmp_path / name, {"reach-v3": [True, False]}, horizons=[40, 60, 500])
            for name in "ab"]
    for run in runs:
        (run / "episodes.jsonl").unlink()
    assert "0 % (0-66)" in compared(capsys, *runs, "--horizon", "40")
    assert "50 % (9-91)" in compared(capsys, *runs, "--horizon", "60")
    assert "50 steps" in refused(capsys, *runs, "--horizon", "50")


def test_other_tasks_and_single_results_are_refused(pair, tmp_path, capsys):
    other = write(tmp_path / "c", {"reach-v3": [True]})
    assert "push-v3" in refused(capsys, pair[0], other)
    assert "at least two" in refused(capsys, pair[0])
    assert "'horizn'" in refused(capsys, *pair, "--despite", "horizn")


def test_a_model_card_has_no_episodes_to_pair(pair, tmp_path, capsys):
    card = tmp_path / "checkpoint"
    card.mkdir()
    (card / "evaluation.json").write_text((pair[0] / "results.json").read_text())
    assert "no paired test" in compared(capsys, card, pair[1])


def test_what_is_cut_off_or_contradicts_itself_is_refused(pair, capsys):
    lines = (pair[0] / "episodes.jsonl").read_text()
    (pair[0] / "episodes.jsonl").write_text(lines[:-20])
    assert "line 8" in refused(capsys, *pair)
    (pair[0] / "episodes.jsonl").write_text("".join(lines.splitlines(True)[:-1]))
    assert "3 of 3" in refused(capsys, *pair)
    whole = (pair[1] / "results.json").read_text()
    (pair[1] / "results.json").write_text(whole[:100])
    assert "not valid JSON" in refused(capsys, pair[1], pair[1])
    (pair[1] / "results.json").write_text(json.dumps({"protocol": {}, "tasks": {"x": 3}}))
    assert "holds no results" in refused(capsys, pair[1], pair[1])


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_a_probability_and_has_no_favorite(first, second):
    assert mcnemar(first, second) == mcnemar(second, first)
    assert 0.0 < mcnemar(first, second) <= 1.0


def test_mcnemar_by_hand():
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(3, 1) == pytest.approx(2 * 5 / 16)


@given(st.lists(st.tuples(st.integers(0, 10), st.just(10)), min_size=1, max_size=8))
def test_the_interval_of_a_mean_holds_it_and_is_that_of_one(counts):
    weighted = [(1 / len(counts), *count) for count in counts]
    mean, low, high = mean_interval(weighted)
    assert 0.0 <= low <= mean <= high <= 1.0 + 1e-9
    if len(counts) == 1:
        assert (low, high) == pytest.approx(wilson_interval(*counts[0]))
