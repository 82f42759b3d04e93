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

"""An arm that follows a leader arm."""

from __future__ import annotations

import time

import numpy as np
import pytest
from std_srvs.srv import SetBool

from harness.teleop_moves import lead, settled, still, wait_held
from harness.teleop_rig import TeleopRig


@pytest.fixture(scope="module")
def led(tmp_path_factory):
    """An SO-101 and a leader arm, whose dead man is on the gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("leader"), input="leader") as rig:
        rig.leader = dict(rig.state)
        yield rig


def test_a_follower_goes_slowly_to_its_leader_and_then_follows(led):
    settled(led)
    led.leader = dict(led.state)
    led.leader["elbow_flex"] += 1.0 if led.state["elbow_flex"] < 0 else -1.0
    first = len(led.commands)
    led.engage()
    led.wait(lambda: led.values.get("aligned") == "true", "alignment")
    # The parameter align_speed; a busy machine may make up for a late command.
    assert np.median([c.speed for c in led.commands[first:]]) < 0.15 * 1.1
    lead(led, "wrist_roll")
    assert not led.wrong
    settled(led)


def test_a_leader_without_a_gamepad_is_engaged_by_the_service(tmp_path):
    with TeleopRig(tmp_path, input="leader", mapping="") as rig:
        rig.leader = dict(rig.state)
        rig.wait_status("disabled")
        still(rig, lambda: rig.leader.update(elbow_flex=rig.state["elbow_flex"] + 0.3))
        assert rig.call("enable", SetBool.Request(data=True)).success
        rig.wait(lambda: rig.values.get("aligned") == "true", "alignment")
        released_s = time.monotonic()
        rig.leader["elbow_flex"] -= 0.3
        rig.until_sent(1)
        assert rig.call("enable", SetBool.Request(data=False)).success
        wait_held(rig, released_s)
        assert not rig.wrong
