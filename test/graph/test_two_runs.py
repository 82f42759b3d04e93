# SPDX-License-Identifier: Apache-2.0
"""Two runs of everything at once in one ROS domain: each is right, or one is refused by name."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from harness.processes import Output, start, start_node

RECORDER = "episode_recorder_node"


def tinyvla(*arguments: str) -> Output:
    return Output(start(sys.executable, "-m", "tinyvla_ros.cli", *arguments))


def errors(output: Output) -> list[str]:
    return [line for line in output.lines if "error: Another run" in line]


def test_of_two_evaluations_one_is_right_and_the_other_refused(tiny_checkpoint, tmp_path):
    tasks = ("reach-v3", "button-press-v3")
    runs = [tinyvla("sim-eval", "--checkpoint", str(tiny_checkpoint), "--tasks", task,
                    "--episodes", "1", "--seed", str(seed), "--out", str(tmp_path / task))
            for seed, task in enumerate(tasks)]
    codes = [run.wait_end() for run in runs]
    assert sorted(codes) == [0, 2], [run.text for run in runs]
    winner, loser = codes.index(0), codes.index(2)
    episodes = (tmp_path / tasks[winner] / "episodes.jsonl").read_text().splitlines()
    assert [(json.loads(e)["task"], json.loads(e)["seed"]) for e in episodes] == \
        [(tasks[winner], winner)]
    assert not (tmp_path / tasks[loser] / "results.json").exists()
    assert any("_node (process" in e and "topic /" in e and "ROS_DOMAIN_ID" in e
               for e in errors(runs[loser]))
    assert not errors(runs[winner])


def test_a_dry_run_is_refused_while_another_one_goes_on():
    first = tinyvla("dry-run")
    first.wait_for("policy running")
    second = tinyvla("dry-run", "--seconds", "5")
    assert second.wait_end() == 2
    assert errors(second)
    assert not errors(first)
    first.process.send_signal(signal.SIGINT)
    assert first.wait_end() == 130


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_second_recorder_is_refused_and_one_that_starts_again_is_not(end, tmp_path):
    first = Output(start_node(RECORDER, out=str(tmp_path / "first")))
    first.wait_for("recording episodes")
    second = Output(start_node(RECORDER, out=str(tmp_path / "second")))
    assert second.wait_end() == 2
    assert "/episode_recorder_node (process" in errors(second)[0]
    first.process.send_signal(end)
    first.wait_end()
    third = Output(start_node(RECORDER, out=str(tmp_path / "third")))
    third.wait_for("recording episodes")
    third.process.send_signal(signal.SIGINT)
    assert third.wait_end() == 0
