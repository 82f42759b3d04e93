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

"""A policy that does not succeed is taken over, and what the person did can be learned."""

from __future__ import annotations

import json
import sys
import time

import pytest

from harness import bags
from harness.processes import Output, start, stop
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint

pytestmark = pytest.mark.simulator
WORDS = "pick up the cube and put it on the mark"


def tinyvla(*arguments: object) -> Output:
    """Start the command."""
    return Output(start(sys.executable, "-m", "tinyvla_ros.cli", *map(str, arguments)))


@pytest.mark.alone  # an arm and a policy on the wall clock
@pytest.mark.timeout(400)
def test_a_person_finishes_what_a_policy_does_not(tmp_path):
    robot, checkpoint, out = robot_file("so101"), tmp_path / "checkpoint", tmp_path / "episodes"
    write_untrained_checkpoint(RobotContract.load(robot), checkpoint, WORDS)
    policy = tinyvla("run", "--robot", robot, "--checkpoint", checkpoint, "--takeover", "leader",
                     "--record", "--out", out)
    operator = tinyvla("sim-robot", "--task", "so101-pick-place", "--demonstrate", 1,
                       "--takeover-after", 1)
    try:
        # A policy that ended leaves the person waiting for it.
        while operator.process.poll() is None and policy.process.poll() is None:
            time.sleep(0.2)
        assert operator.process.poll() == 0, f"{operator.text}\n{policy.text}"
    finally:
        stop(policy.process)
    assert "1 episodes, 1 of them with a takeover" in operator.text
    assert "Traceback" not in operator.text + policy.text
    (path,) = find_bags(out)
    with Bag(path) as bag:
        assert bag.custom["task"] == "so101-pick-place"
        assert bag.custom["instruction"] == WORDS
        assert bag.custom["outcome"] in ("success", "failure")
    # What the person did can be taken alone; the untrained policy may have held. The machine may
    # be slow.
    data = tmp_path / "data"
    assert bags.export(data, path, "--commander", "human", "--outcome", "all", "--dt", "0.05",
                       "--tolerance", "0.5", "--fps", "10") == 0
    assert json.loads((data / "meta/info.json").read_text())["total_episodes"] >= 1
