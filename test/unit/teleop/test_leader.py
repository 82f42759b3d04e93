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

"""A leader arm: what it says becomes values of the channels that follow it."""

from __future__ import annotations

import numpy as np
import pytest

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.teleop.leader import Leader, LeaderMapping

ROBOTS = share_directory() / "config" / "robots"
SO101 = RobotContract.load(ROBOTS / "so101.yaml")
HOME = dict.fromkeys(SO101.actions, 0.0)


def make(contract=SO101, **channels) -> Leader:
    mapping = parse(LeaderMapping, {"channels": channels}, "leader.yaml")
    return Leader(contract, mapping, "/leader", 0.2)


def follow(leader: Leader, *messages: dict[str, float], since_s: float = 0.0) -> Leader:
    for i, positions in enumerate(messages, 1):
        leader.receive(positions, round((since_s + 0.02 * i) * 1e9), since_s + 0.02 * i)
    return leader


def test_joints_are_found_by_name_in_any_order_beside_others():
    message = {"other": 9.0, **dict(reversed((HOME | {"elbow_flex": 0.5}).items()))}
    leader = follow(make(), message)
    assert leader.target().tolist() == [0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    assert leader.problem(0.02) == ""


def test_scale_and_offset_make_the_channels_unit_of_the_leaders():
    leader = make(elbow_flex={"joint": "e.pos", "scale": -np.pi / 180, "offset": 0.1})
    follow(leader, {n: 0.0 for n in HOME if n != "elbow_flex"} | {"e.pos": 30.0})
    assert leader.target()[2] == pytest.approx(0.1 - np.pi / 6)


def test_values_out_of_range_are_clamped():
    leader = follow(make(), HOME | {"shoulder_pan": 2.5})
    assert leader.target()[0] == 1.9 and leader.problem(0.02) == ""


def test_a_contract_that_does_not_clamp_holds_until_the_leader_is_back():
    contract = SO101.model_copy(update={
        "on_violation": SO101.on_violation.model_copy(update={"position": "hold"})})
    leader = follow(make(contract), HOME | {"shoulder_pan": 2.0})
    problem = leader.problem(0.02)
    assert all(t in problem for t in ("shoulder_pan", "2", "1.9", "on_violation.position"))
    assert follow(leader, HOME | {"shoulder_pan": 1.8}, since_s=0.1).problem(0.12) == ""


def test_a_jump_ends_the_engagement_until_the_next():
    leader = make()
    leader.engage()
    follow(leader, HOME, HOME | {"elbow_flex": 0.9})
    assert "elbow_flex jumped by 0.9" in leader.problem(0.04)
    follow(leader, HOME | {"elbow_flex": 0.9}, since_s=0.1)
    assert "jumped" in leader.problem(0.12)
    leader.engage()
    assert leader.problem(0.12) == ""


@pytest.mark.parametrize("fault", ["silent", "refused"])
def test_one_that_comes_back_does_not_lead_before_it_is_engaged_again(fault):
    leader = make()
    leader.engage()
    follow(leader, HOME)
    assert leader.problem(0.03) == ""
    if fault == "refused":
        leader.refuse("elbow_flex is nan")
    # Elsewhere, and with a gap that is too long for a jump to be seen in it.
    follow(leader, HOME | {"elbow_flex": 0.9}, since_s=0.5)
    assert "engage again" in leader.problem(0.53)
    leader.engage()
    assert leader.problem(0.53) == ""


@pytest.mark.parametrize("stamps", [[0.02] * 20, []], ids=["frozen", "silent"])
def test_one_that_brings_nothing_new_is_stale(stamps):
    leader = follow(make(), HOME)
    for i, stamp in enumerate(stamps, 1):
        leader.receive(HOME, round(stamp * 1e9), 0.02 + 0.02 * i)
    assert "stale" in leader.problem(0.3)


def test_a_joint_that_is_missing_is_named_with_what_is_there():
    with pytest.raises(MessageError) as error:
        make().receive({"shoulder_pan": 0.0}, 1, 0.0)
    assert "wrist_roll" in str(error.value) and "it has shoulder_pan" in str(error.value)


def test_the_arm_is_aligned_where_the_leader_is():
    leader = follow(make(), HOME | {"elbow_flex": 0.5})
    near = leader.is_near(np.zeros(6), leader.target())
    assert near.tolist() == [True, True, False, True, True, True]
    assert leader.is_near(leader.target(), leader.target()).all()


def test_a_leader_of_velocities_or_of_unknown_channels_is_refused():
    servo = RobotContract.load(ROBOTS / "servo.yaml")
    with pytest.raises(InputError, match="ee_vx"):
        make(servo)
    with pytest.raises(InputError, match="elbow_flex"):
        make(elbow={"joint": "x"})
    with pytest.raises(InputError, match="scale"):
        make(elbow_flex={"scale": 0})
