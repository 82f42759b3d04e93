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

"""Joints that turn without end: nothing of the arm sees a wrap from pi to -pi."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.commands import message, point, trajectory
from harness.policies import tiny_policy_config
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.angles import find_wrap, nearest, unwrapped, wrapped
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.dry_run.arm import DryRunArm
from tinyvla_ros.policy.config import PolicyConfig

TURN = 2 * math.pi
DT, ROWS, MS = 0.02, 16, 1_000_000
T = 1_000_000 * MS
JOINT = {"unit": "rad", "velocity": 2.0, "acceleration": 8.0, "jump": 0.3, "state": "wrist"}
CONTINUOUS, ENDS = {"continuous": True}, {"low": -math.pi, "high": math.pi}
OUTPUTS = {"joint_trajectory": {"type": "joint_trajectory", "topic": "arm"},
           "positions": {"type": "positions", "topic": "arm"}}


def contract(output: str = "positions", join: str = "replace", **channel) -> RobotContract:
    return parse(RobotContract, {
        "name": "turner", "cameras": {"front": {"topic": "front"}}, "joint_states": {},
        "actions": {"wrist": JOINT | (channel or CONTINUOUS)},
        "outputs": [OUTPUTS[output] | {"channels": ["wrist"]}],
        "execution": {"join": join}}, "turner.yaml")


def config(continuous: bool = True) -> PolicyConfig:
    action = {"channels": ["wrist"], "units": ["rad"], "low": [-math.pi], "high": [math.pi],
              "dt": DT, "horizon": ROWS, "n_action_steps": 8}
    more = {"continuous": {"wrist": TURN}} if continuous else {}
    return PolicyConfig.model_validate({
        "cameras": {"front": {"height": 48, "width": 48}}, "state": ["wrist"], **more,
        "action": action | ({"continuous": {"wrist": "wrist"}} if continuous else {}),
        "instructions": ["do it"]})


@given(st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=9), st.floats(-100.0, 100.0),
       st.sampled_from([TURN, 360.0]))
def test_angles_are_the_same_place_after_any_of_it(values, reference, turn):
    values = np.array(values)
    for out in (wrapped(values, turn), nearest(values, reference, turn), unwrapped(values, turn)):
        shift = (out - values) / turn
        assert shift == pytest.approx(np.round(shift), abs=1e-9)
    assert (np.abs(wrapped(values, turn)) <= turn / 2 + 1e-9).all()
    assert (np.abs(nearest(values, reference, turn) - reference) <= turn / 2 + 1e-9).all()
    assert (np.abs(np.diff(unwrapped(values, turn))) <= turn / 2 + 1e-9).all()
    for same in (wrapped, nearest):
        args = (values, turn) if same is wrapped else (values, reference, turn)
        assert np.array_equal(same(*args[:-1], 0.0), values), "no turn, no change"


def test_a_wrap_is_found_where_values_stay_within_a_turn():
    assert find_wrap(np.array([3.0, 3.1, -3.1, -3.0])) == 2
    assert find_wrap(np.array([6.2, 0.1])) == 1
    assert find_wrap(np.array([0.0, 3.0, -1.0])) is None
    assert find_wrap(np.array([0.0, 5.0, 15.0, 25.0])) is None, "degrees, or something else"


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["replace", "ensemble", "rtc"]), st.sampled_from(sorted(OUTPUTS)),
       st.booleans(), st.booleans(), st.floats(-1.9, 1.9), st.floats(-4.0, 4.0))
def test_an_arm_turns_on_through_the_wrap(join, output, driver_wraps, policy_wraps, speed, begin):
    """Whether driver and policy count turns or wrap; several turns at a constant speed."""
    supervisor = Supervisor(contract(output, join), config())
    supervisor.activate(enabled=True)
    where, now_ns, sent = begin, T, None
    for _ in range(60):
        measured = float(wrapped(where, TURN)) if driver_wraps else where
        state = float(wrapped(where, TURN))
        rows = state + speed * DT * np.arange(1, ROWS + 1)
        rows = wrapped(rows, TURN) if policy_wraps else rows
        chunk = ActionChunk(now_ns, ("wrist",), rows[:, None].astype(np.float32), DT)
        supervisor.tick(now_ns, "")
        plan = supervisor.accept(chunk, "x", {"wrist": measured}, now_ns)
        assert plan is not None, supervisor.reason
        for ns in range(now_ns, now_ns + 160 * MS, 20 * MS):
            value = float(plan.values(ns)[0])
            if sent is not None:
                step = float(wrapped(value - sent, TURN))
                assert abs(step) <= 2.2 * DT, "never a jump, however it is counted"
            sent = value
        assert abs(plan.values(now_ns)[0] - measured) < 0.3, "near what the driver reports"
        assert np.abs(np.diff(plan.trajectory()[1][:, 0])).max() < 1.0
        assert np.abs(np.diff(plan.chunk.actions[:, 0])).max() < 1.0
        where, now_ns = float(nearest(sent, where, TURN)), now_ns + 160 * MS
    assert not supervisor.holds
    assert abs(where - begin) == pytest.approx(abs(speed) * 9.6, rel=0.2, abs=0.1)


@pytest.mark.parametrize(("channel", "held"), [(CONTINUOUS, False), (ENDS, True)])
def test_a_measured_wrap_holds_unless_the_joint_is_continuous(channel, held):
    supervisor = Supervisor(contract(**channel), config(continuous=False))
    supervisor.activate(enabled=True)
    chunk = ActionChunk(T, ("wrist",), np.full((ROWS, 1), 3.1, np.float32), DT)
    plan = supervisor.accept(chunk, "x", {"wrist": -3.1}, T)
    assert (plan is None) == held
    if held:
        assert supervisor.state == "holding"
        assert all(word in supervisor.reason for word in ("'wrist'", "continuous: true"))
    else:
        assert np.abs(plan.commands - -3.1).max() < 0.1


@pytest.mark.parametrize(("channel", "held"), [(CONTINUOUS, False), (ENDS, True)])
def test_a_chunk_that_wraps_is_no_motion_the_other_way_around(channel, held):
    supervisor = Supervisor(contract(**channel), config(continuous=False))
    supervisor.activate(enabled=True)
    rows = wrapped(3.10 + 0.01 * np.arange(ROWS), TURN)[:, None]
    plan = supervisor.accept(ActionChunk(T, ("wrist",), rows.astype(np.float32), DT), "x",
                             {"wrist": 3.10}, T)
    assert (plan is None) == held
    if held:
        assert all(word in supervisor.reason for word in ("'wrist'", "continuous: true"))
    else:
        assert plan.commands.min() > 3.0 and plan.commands.max() > 3.15


@pytest.mark.parametrize("output", sorted(OUTPUTS))
def test_the_dry_run_arm_goes_the_shortest_way_and_reports_as_a_driver_that_wraps(output):
    robot = contract(output)
    arm = DryRunArm(robot, config(), {"wrist": 3.1}, T)
    if output == "positions":
        command = type("Array", (), {"data": [-3.1]})
    else:
        command = trajectory(point(20, [-3.1]), names=("wrist",))
    arm.command(0, command, T)
    seen = [arm.update(T + ms * MS).state["wrist"] for ms in range(0, 41, 5)]
    assert np.abs(seen).min() > 3.09 and np.abs(seen).max() <= math.pi
    assert seen[-1] == pytest.approx(-3.1)
    assert arm.speeds["wrist"] < 10.0


@pytest.mark.parametrize(("channel", "words"), [
    ({"continuous": True, "low": -3.0}, ("low", "-3.0")),
    ({"continuous": True, "high": 7.0}, ("high", "7.0")),
    ({"continuous": True, "unit": "m"}, ("'m'", "rad")),
    ({"continuous": True, "state": None, "jump": None}, ("state",)),
])
def test_a_continuous_channel_is_an_angle_that_is_measured_and_has_no_ends(channel, words):
    with pytest.raises(InputError) as caught:
        contract(**channel)
    assert all(word in str(caught.value) for word in words)


def test_a_contract_that_was_dumped_is_read_again():
    robot = contract()
    assert parse(RobotContract, robot.model_dump(mode="json"), "again") == robot
    assert robot.continuous_states == {"wrist": TURN}


def test_a_checkpoint_that_knows_of_a_turning_joint_needs_a_contract_that_does():
    with pytest.raises(InputError, match=r"wrist.*continuous: true"):
        check_contract(contract(**ENDS), config())
    assert not any("wrist" in s for s in check_contract(contract(), config()))
    surprises = check_contract(contract(), config(continuous=False))
    assert any("wrist" in s and "continuous" in s for s in surprises)


def test_old_checkpoints_have_no_turning_joints():
    old = tiny_policy_config()
    assert not old.state_turns.any() and not old.action_turns.any()


def test_a_message_of_the_plan_is_one_for_the_controller():
    plan = Supervisor(contract("joint_trajectory"), config())
    plan.activate(enabled=True)
    made = plan.accept(ActionChunk(T, ("wrist",), np.full((ROWS, 1), 3.2, np.float32), DT), "x",
                       {"wrist": -3.1}, T)
    sent = message(["wrist"], *made.trajectory())
    assert all(abs(p.positions[0] - -3.1) < 0.1 for p in sent.points)
