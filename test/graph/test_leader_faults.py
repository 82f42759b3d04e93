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

"""A leader arm that goes wrong holds the arm, and the reason says what it was."""

from __future__ import annotations

import math

import pytest
from sensor_msgs.msg import JointState

from harness.teleop_faults import (
    Wrong,
    check,
    frozen,
    jumped,
    leader,
    position,
    second,
    set_field,
    shifted,
    silent,
    unstamped,
)
from harness.teleop_moves import lead, settled
from harness.teleop_rig import DEAD_MAN, TeleopRig


@pytest.fixture(scope="module")
def led(tmp_path_factory):
    """An SO-101 and a leader arm, whose dead man is on the gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("leader"), input="leader") as rig:
        rig.leader = dict(rig.state)
        yield rig


BY_LEADER = [
    Wrong("leader is NaN", position(2, math.nan), "nan"),
    Wrong("leader is infinite", position(0, math.inf), "inf"),
    Wrong("leader lacks a joint", leader(lambda m: (m.name.pop(), m.position.pop())),
          "has no joint"),
    Wrong("leader has more names than positions", leader(lambda m: m.position.pop()),
          "names and"),
    Wrong("leader names a joint twice", leader(lambda m: (
        m.name.append(m.name[0]), m.position.append(1.0))), "twice"),
    Wrong("leader says nothing", leader(lambda m: (set_field("name", [])(m),
                                                   set_field("position", [])(m))), "no joint"),
    Wrong("leader is unplugged", silent("leader_joy"), "leader/joint_states is stale"),
    Wrong("leader is frozen", frozen("leader_joy"), "leader/joint_states is stale|s old"),
    Wrong("leader's stamps are stale", shifted(-5.0, "leader_joy"), "s old when it comes"),
    Wrong("leader's stamps are of the future", shifted(5.0, "leader_joy"), "in the future"),
    Wrong("leader has no stamps", unstamped("leader_joy"), "stamp is 0 s"),
    Wrong("leader jumps", jumped, "jumped by"),
    Wrong("two leaders", *(lambda b, e: (b, "leader/joint_states has several publishers", e))(
        *second(JointState, "leader/joint_states"))),
    Wrong("the dead man is released", lambda rig: rig.release(DEAD_MAN),
          "the dead man is released"),
]


@pytest.mark.parametrize("wrong", BY_LEADER, ids=lambda w: w.name)
def test_a_leader_that_goes_wrong_holds_the_arm(led, wrong):
    check(led, wrong, lead)


def test_a_leader_out_of_range_is_followed_to_the_end_of_the_range(led):
    settled(led)
    while led.position[4] <= led.high[4] - 2e-3:  # again after a pause of the machine
        led.let_go()
        led.leader = dict(led.state)
        led.engage()
        led.wait(lambda: led.values.get("aligned") == "true" or led.status != "running",
                 "alignment")
        while led.leader["wrist_roll"] < led.high[4] + 0.3:
            led.leader["wrist_roll"] += 0.03
            led.until_sent(1)
        led.wait(lambda: led.position[4] > led.high[4] - 2e-3 or led.status != "running",
                 "the end of the range")
    led.until_sent(10)
    assert not led.wrong, led.wrong
    assert led.position[4] <= led.high[4] * (1 + 1e-6)
    settled(led)


def test_a_leader_with_joints_of_others_is_followed(led):
    def more(msg):
        msg.name += ["wheel", "mirror"]
        msg.position.extend([math.nan, 1e9])
        return [msg]
    settled(led)
    led.leader = dict(led.state)
    led.engage()
    led.leader_joy = more
    led.until_sent(3)
    before = led.state["wrist_flex"]
    for _ in range(20):
        led.leader["wrist_flex"] += -0.01 if before > 0 else 0.01
        led.until_sent(1)
    led.wait(lambda: abs(led.state["wrist_flex"] - before) > 0.1, "motion")
    assert not led.wrong, led.wrong
    settled(led)
