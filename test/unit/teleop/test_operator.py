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

"""What a person does becomes chunks that fit the robot, as those of a policy."""

from __future__ import annotations

import numpy as np
import pytest

from harness.arm_descriptions import urdf
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.core.types import Observation
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.leader import Leader, LeaderMapping
from tinyvla_ros.teleop.mapping import Mapping
from tinyvla_ros.teleop.operator import SAG, Commanded, Operator
from tinyvla_ros.teleop.operator_config import directions_of, operator_config

ROBOTS = share_directory() / "config" / "robots"
NAMES = ("metaworld", "servo", "so101", "ur5e")
MAPPING = parse(Mapping, {
    "name": "device", "dead_man": 0, "mode": 1, "gripper": {"plus": 2, "minus": 3},
    "joints": {i + 1: {"axis": i} for i in range(6)},
    "end_effector": {d: {"axis": i} for i, d in enumerate(
        ("x", "y", "z", "roll", "pitch", "yaw"))}}, "device")
SECOND = 1_000_000_000


class Arm:
    """A robot, a person with a device, and a supervisor that takes the chunks."""

    def __init__(self, robot: str, leader: dict | None = None, **options):
        self.contract = RobotContract.load(ROBOTS / f"{robot}.yaml").with_execution(
            "replace", 1.0)
        self.joystick = Joystick(MAPPING, "/joy", 0.2)
        self.leader = Leader(self.contract, parse(LeaderMapping, {"channels": leader}, "leader"),
                             "/leader", 0.2) if leader is not None else None
        self.operator = Operator(self.contract, MAPPING, self.joystick, self.leader,
                                 commanded=self._commanded, now_ns=lambda: self.now_ns, **options)
        self.config = self.operator.config
        self.supervisor = Supervisor(self.contract, self.config, SAG)
        self.supervisor.activate(True)
        self.state = {n: 0.0 for n in self.config.state}
        for c in self.contract.actions.values():
            if c.state:
                self.state[c.state] = min(max(0.0, c.low), c.high)
        self.now_ns = 100 * SECOND
        self.device([0.0] * 6, dead_man=0)
        self.device([0.0] * 6)

    def _commanded(self, now_ns: int):
        plan = self.supervisor.plan
        if plan is None:
            return None
        motion = plan.motion(now_ns)
        return Commanded(motion.value, motion.step / (plan.dt_ns / 1e9),
                         self.supervisor.state == "running", now_ns >= plan.end_ns)

    def device(self, axes, dead_man: int = 1, **buttons) -> None:
        self.now_ns += 1
        pressed = [dead_man, 0, buttons.get("opens", 0), buttons.get("closes", 0)]
        self.joystick.receive(axes, pressed, self.now_ns, 1.0)

    def drive(self, seconds: float, lag: float = 1.0) -> np.ndarray:
        """Let the arm follow; return the (steps, channels) commands."""
        dt_ns, commands = round(self.config.action.dt * 1e9), []
        for _ in range(round(seconds * 1e9 / dt_ns)):
            self.now_ns += dt_ns
            observation = Observation(self.now_ns, {}, dict(self.state), "")
            chunk = self.operator.infer(observation)
            self.supervisor.tick(self.now_ns, "")
            self.supervisor.accept(chunk, "", self.state, self.now_ns)
            values = self.supervisor.plan.motion(self.now_ns).value
            commands.append(values)
            for value, c in zip(values, self.contract.actions.values(), strict=True):
                if c.state:
                    self.state[c.state] += lag * (value - self.state[c.state])
        return np.array(commands)

    def release(self) -> None:
        self.supervisor.tick(self.now_ns, "the dead man is released")
        self.now_ns += 2 * SECOND

    def column(self, name: str) -> int:
        return self.config.action.channels.index(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_contract_can_be_driven(name):
    contract = RobotContract.load(ROBOTS / f"{name}.yaml")
    config = operator_config(contract)
    check_contract(contract.with_execution("replace", 1.0), config)
    assert config.action.channels == tuple(contract.actions) and not config.cameras
    arm = Arm(name)
    commands = arm.drive(0.5)
    assert np.ptp(commands, axis=0).max() < 1e-6  # nothing is deflected
    arm.device([1.0] * 6)
    commands = arm.drive(0.5)
    assert np.ptp(commands, axis=0).max() > 0.01
    assert not arm.supervisor.holds and not arm.supervisor.interventions


@pytest.mark.parametrize(("name", "modes"), [
    ("metaworld", ("end_effector",)), ("servo", ("end_effector",)), ("so101", ("joints",)),
    ("ur5e", ("joints",))])
def test_what_can_be_moved_follows_from_the_contract(name, modes):
    assert Arm(name).operator.modes == modes
    assert Arm(name).operator.needs_kinematics == (modes == ("joints",))


def test_channels_of_the_end_effector_are_found():
    servo, metaworld = (RobotContract.load(ROBOTS / f"{n}.yaml") for n in ("servo", "metaworld"))
    assert directions_of(servo) == {"ee_vx": "x", "ee_vy": "y", "ee_vz": "z", "ee_wz": "yaw"}
    assert directions_of(metaworld) == {"ee_dx": "x", "ee_dy": "y", "ee_dz": "z"}


@pytest.mark.parametrize(("name", "channel", "axis"), [
    ("so101", "elbow_flex", 2), ("ur5e", "wrist_1_joint", 3), ("servo", "ee_vy", 1),
    ("metaworld", "ee_dz", 2)])
def test_an_axis_moves_its_channel_alone_at_the_share_of_its_speed(name, channel, axis):
    arm = Arm(name)
    arm.drive(0.1)
    axes = [0.0] * 6
    axes[axis] = -1.0
    arm.device(axes)
    commands = arm.drive(1.0)
    moved, column = np.abs(commands - commands[0]).max(0), arm.column(channel)
    assert np.flatnonzero(moved > 1e-6).tolist() == [column]
    limit = arm.contract.actions[channel]
    if limit.hold == "zero":
        assert commands[-1, column] == pytest.approx(0.25 * limit.low, rel=1e-3)
    else:
        speed = (commands[-1] - commands[-2])[column] / arm.config.action.dt
        assert speed == pytest.approx(-0.25 * limit.velocity, rel=1e-3)
    assert arm.supervisor.state == "running"


@pytest.mark.parametrize(("opens", "sign"), [("high", 1), ("low", -1)])
def test_the_gripper_opens_and_closes(opens, sign):
    arm = Arm("metaworld", opens=opens)
    arm.drive(0.1)
    arm.device([0.0] * 6, opens=1)
    column = arm.column("gripper")
    assert arm.drive(3.0)[-1, column] == pytest.approx(sign)
    arm.device([0.0] * 6, closes=1)
    assert arm.drive(6.0)[-1, column] == pytest.approx(-sign)


def test_a_gripper_that_nothing_measures_begins_where_its_joint_is():
    arm = Arm("ur5e")
    arm.state["gripper"] = 0.4  # rad, about half open
    commands = arm.drive(0.1)
    assert commands[0, arm.column("gripper")] == pytest.approx((0.4 - 0.8) / -9.41)


def test_an_arm_that_sags_does_not_sink_with_every_start():
    arm = Arm("so101")
    for _ in range(5):
        arm.drive(0.2)
        arm.state["shoulder_lift"] -= 0.1  # what its load does
        arm.release()
    commands = arm.drive(0.5)
    # Not even for a moment: a plan begins where the last one ended.
    assert np.ptp(commands[:, arm.column("shoulder_lift")]) < 1e-6
    assert commands[-1, arm.column("shoulder_lift")] > -0.01


def test_a_late_plan_is_not_made_up_for_in_a_rush():
    arm = Arm("so101")
    arm.device([1.0] + [0.0] * 5)
    late_ns, made = 150_000_000, arm.operator.infer
    arm.operator.infer = lambda observation: (
        made(observation), setattr(arm, "now_ns", arm.now_ns + late_ns))[0]
    arm.drive(0.02)
    arm.operator.infer = made
    commands = arm.drive(1.0)[:, 0]
    assert (np.diff(commands) / 0.02)[5:].max() < 0.25 * 3.0 * 1.01
    assert arm.supervisor.state == "running"


@pytest.mark.parametrize("late_ms", [15, 25, 40, 60, 150])
def test_an_arm_that_a_late_plan_let_go_too_far_stands_still_soon(late_ms):
    arm = Arm("so101")
    arm.drive(0.1)
    arm.device([1.0] + [0.0] * 5)
    moving = arm.drive(0.5)[-1, 0]
    arm.device([0.0] * 6)
    made = arm.operator.infer

    def late(observation):
        chunk = made(observation)
        arm.now_ns += late_ms * 1_000_000
        return chunk
    arm.operator.infer = late
    arm.drive(0.06)
    arm.operator.infer = made
    commands = arm.drive(1.0)[:, 0]
    assert commands[-1] > moving
    assert np.ptp(commands[25:]) < 1e-3  # neither back and forth


def test_an_arm_that_was_moved_by_hand_stays_there():
    arm = Arm("so101")
    arm.drive(0.2)
    arm.release()
    arm.state["elbow_flex"] = 0.8
    assert np.abs(arm.drive(0.5)[:, arm.column("elbow_flex")] - 0.8).max() < 1e-6


def test_a_release_brakes_and_the_next_start_goes_on_from_there():
    arm = Arm("so101")
    arm.device([1.0] + [0.0] * 5)
    moving = arm.drive(0.5)
    arm.supervisor.tick(arm.now_ns, "the dead man is released")
    rest = arm.supervisor.plan.commands[-1]
    assert 0 < rest[0] - moving[-1, 0] < 0.1
    arm.now_ns += 2 * SECOND
    arm.state["shoulder_pan"] = rest[0]
    arm.device([0.0] * 6)
    assert np.abs(arm.drive(0.2)[:, 0] - rest[0]).max() < 1e-6


def test_a_follower_goes_slowly_to_its_leader_and_then_follows_at_once():
    arm = Arm("so101", leader={})
    position = dict.fromkeys(arm.contract.actions, 0.0) | {"elbow_flex": 1.0}

    def lead(seconds: float) -> np.ndarray:
        commands = []
        for _ in range(round(seconds / 0.02)):
            arm.leader.receive(position, arm.now_ns, arm.now_ns / 1e9)
            commands.append(arm.drive(0.02))
        return np.concatenate(commands)[:, 2]

    way = lead(1.0)
    assert np.abs(np.diff(way)).max() / 0.02 <= 0.15 * 3.0 * 1.01 and not arm.operator.aligned
    way = lead(2.0)
    assert arm.operator.aligned and way[-1] == pytest.approx(1.0, abs=0.02)
    for _ in range(25):  # at 1 rad/s
        position["elbow_flex"] -= 0.02
        lead(0.02)
    assert abs(arm.supervisor.plan.motion(arm.now_ns).value[2] - position["elbow_flex"]) < 0.1
    assert not arm.supervisor.holds


def test_an_end_effector_is_moved_by_its_joints():
    pytest.importorskip("mink", reason="needs the extra teleop")
    from tinyvla_ros.teleop.kinematics import Kinematics
    arm = Arm("so101")
    arm.state |= {"shoulder_lift": -0.4, "elbow_flex": 0.9, "wrist_flex": 0.5}
    made = []
    arm.operator.use_kinematics(lambda joints: made.append(Kinematics(urdf(), joints)) or made[0])
    assert arm.operator.modes == ("joints", "end_effector")
    assert "end effector" in arm.operator.switch_mode()
    arm.drive(0.1)
    before = np.array(list(arm.state.values()))[:5]
    axes = [0.0] * 6
    axes[2] = 1.0
    arm.device(axes)
    arm.drive(1.0)
    after = np.array(list(arm.state.values()))[:5]
    moved = made[0].position(after) - made[0].position(before)
    assert moved[2] == pytest.approx(0.1, abs=0.03)
    assert np.abs(moved[:2]).max() < 0.01
    assert not arm.supervisor.holds and arm.supervisor.state == "running"


def test_without_a_description_the_mode_stays_and_the_person_is_told():
    arm = Arm("so101")
    assert "robot_description" in arm.operator.switch_mode()
    assert "alone" in Arm("servo").operator.switch_mode()


@pytest.mark.parametrize(("robot", "options", "names"), [
    ("so101", {"gripper": "hand"}, ["gripper", "hand"]),
    ("so101", {"mapping": parse(Mapping, {"name": "d", "dead_man": 0, "joints": {
        "elbow": {"axis": 0}}}, "d")}, ["elbow", "elbow_flex"])])
def test_names_that_the_arm_has_not_are_refused(robot, options, names):
    with pytest.raises(InputError) as error:
        Operator(RobotContract.load(ROBOTS / f"{robot}.yaml"), **options)
    assert all(n in str(error.value) for n in names)
