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

"""An A/B trial through the topics of an arm, killed twice in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from harness.left_over import popen
from harness.processes import Output, start_node, stop
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint
from tinyvla_ros.trial.log import TrialLog

WORDS = "lift it"
ROBOT = robot_file("so101")


class Operator:
    """``tinyvla trial`` and the person at its terminal."""

    def __init__(self, *arguments: object):
        self._out = Path(arguments[-1])
        self.process = popen(
            [sys.executable, "-m", "tinyvla_ros.cli", "trial", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self.output = Output(self.process)
        self.seen = 0

    def wait_for(self, text: str) -> None:
        """Wait for a text that was not there when it was waited for last."""
        deadline = time.monotonic() + 120.0
        while True:
            for number, line in enumerate(self.output.lines[self.seen:], self.seen):
                if text in line:
                    self.seen = number + 1
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, \
                f"{text!r} never came:\n{self.output.text}"
            time.sleep(0.02)

    def say(self, line: str) -> None:
        """Type a line."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def start(self) -> None:
        """Start a trial, and let something of it be recorded."""
        self.wait_for("Enter: start")
        before = self.episodes()
        self.say("")
        self.wait_for("Running")
        deadline = time.monotonic() + 120.0
        while self.episodes() <= before:
            assert time.monotonic() < deadline, f"nothing was recorded:\n{self.output.text}"
            time.sleep(0.02)

    def judge(self, line: str) -> None:
        """Start a trial and judge it."""
        self.start()
        self.say(line)

    def episodes(self) -> set[str]:
        """Return the names of the bags that were begun and not thrown away."""
        return {path.name for path in (self._out / "episodes").glob("*/*.mcap")}


@pytest.fixture
def arm(tmp_path):
    """Two untrained policies, and an arm that they move."""
    contract = RobotContract.load(ROBOT)
    places = tmp_path / "a", tmp_path / "b"
    for place, every in zip(places, (6, 20), strict=True):
        write_untrained_checkpoint(contract.with_execution("", 0.0, (f"replan_every={every}",)),
                                   place, WORDS)
    process = start_node("dry_run_arm_node", robot=str(ROBOT), checkpoint=str(places[0]))
    process.output = Output(process)
    yield places
    stop(process)


@pytest.mark.timeout(600)
def test_a_series_is_played_to_its_end_and_nothing_is_lost(arm, tmp_path):
    protocol, out = tmp_path / "protocol.yaml", tmp_path / "out"
    protocol.write_text(yaml.safe_dump({"instructions": [WORDS], "cards": ["left", "right"]}))
    command = (protocol, "--robot", ROBOT, "--checkpoint", *arm, "--out", out)

    first = Operator(*command)
    first.judge("s went well")
    first.wait_for("Trial 2 of 4")
    first.start()
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(30.0)

    second = Operator(*command)
    second.wait_for("Trial 2 of 4")
    second.judge("what?")
    second.wait_for("is no judgment")
    second.say("p")
    second.wait_for("Trial 3 of 4")
    second.wait_for("Enter: start")
    second.process.send_signal(signal.SIGINT)
    assert second.output.wait_end() == 130
    assert "2 of 4 trials are judged" in second.output.text

    third = Operator(*command)
    third.wait_for("Trial 3 of 4")
    third.judge("d")
    third.wait_for("Once more")
    third.judge("f dropped")
    third.judge("s")
    assert third.output.wait_end() == 0, third.output.text
    everything = first.output.text + second.output.text + third.output.text
    assert "Traceback" not in everything
    digests = [checkpoint_digest(place) for place in arm]
    running = everything.rpartition("Running")[0]
    assert not any(d in running for d in digests), "nobody is told which one it is"

    assert "McNemar" in third.output.text
    trials = TrialLog(out, {}).trials
    assert [(t.outcome, t.note) for t in trials.values()] == [
        ("success", "went well"), ("partial", ""), ("failure", "dropped"), ("success", "")]
    assert sorted(t.checkpoint for t in trials.values()) == sorted(2 * digests)
    bags = {path.name: path for path in find_bags(out / "episodes")}
    for judged in trials.values():
        with Bag(bags[judged.episode]) as bag:
            assert bag.custom["checkpoint_digest"] == judged.checkpoint
            assert bag.custom["instruction"] == WORDS
            assert bag.custom["outcome"] == (
                "success" if judged.outcome == "success" else "failure")
