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

"""Two arms with the same joint names, one policy: left and right are never confused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import yaml
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from harness.processes import Listener, Output, start_node, stop
from harness.random_network import write_random_network
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.ros.messages import fill_image, set_stamp
from tinyvla_ros.dry_run.untrained import INSTRUCTION
from tinyvla_ros.nodes.shared.runner import LATCHED

JOINTS = ("shoulder_pan", "shoulder_lift", "gripper")
SIDES = ("left", "right")
NOW_NS = 5_000_000_000_000
# Where the arms are: all six numbers differ.
WHERE = {"left": (0.30, -0.20, 0.11), "right": (-0.40, 0.15, 0.52)}
VELOCITY = 2.0


@dataclass(frozen=True)
class Order:
    """In which order things happen that must not matter.

    Attributes:
        joints: places of the joints in the messages of the left and of the right arm.
        sides: whose publishers, messages and commands come first.
        contract: which side the contract names first.
        robot_first: whether the robot is there before the node.
    """

    joints: tuple[tuple[int, ...], tuple[int, ...]] = ((0, 1, 2), (0, 1, 2))
    sides: tuple[str, str] = SIDES
    contract: tuple[str, str] = SIDES
    robot_first: bool = False


ORDERS = {
    "joints shuffled": Order(joints=((2, 0, 1), (1, 2, 0))),
    "right first": Order(sides=SIDES[::-1]),
    "right first in the contract": Order(contract=SIDES[::-1]),
    "all of it, the robot before the node": Order(((2, 1, 0), (1, 0, 2)), SIDES[::-1],
                                                  SIDES[::-1], True)}


def contract(sides=SIDES) -> dict:
    """Return the contract of two arms as plain data; the channels stay in their order."""
    limits = {"unit": "rad", "low": -1.0, "high": 1.0, "velocity": VELOCITY, "acceleration": 20.0,
              "jump": 1.0}
    channels = [f"{side}_{joint}" for side in SIDES for joint in JOINTS]
    return {
        "name": "two arms",
        "cameras": {"front": {"topic": "camera/front/image_raw", "timeout": 60.0}},
        "joint_states": {side: {"topic": f"{side}/joint_states", "prefix": f"{side}_",
                                "timeout": 60.0} for side in sides},
        "stamps": {"tolerance": 0.0, "max_age": 0.0, "max_ahead": 0.0},
        "actions": {c: {**limits, "state": c} for c in channels},
        "outputs": [{"type": "joint_trajectory",
                     "topic": f"{side}/trajectory_controller/joint_trajectory",
                     "channels": {f"{side}_{j}": {"to": j} for j in JOINTS}} for side in sides],
        "execution": {"join": "replace", "max_duration": 0.4}}


class TwoArms(Listener):
    """Stands for both arms: simulated time stands still, and everything is measured once."""

    def __init__(self, order: Order):
        super().__init__()
        self._order, self.commands = order, {}
        qos = QoSProfile(depth=10)
        self._joints = {s: self.node.create_publisher(JointState, f"{s}/joint_states", qos)
                        for s in order.sides}
        self._image = self.node.create_publisher(Image, "camera/front/image_raw", qos)
        self._clock = self.node.create_publisher(Clock, "/clock", qos)
        self._instruction = self.node.create_publisher(String, "instruction", LATCHED)
        self._instruction.publish(String(data=INSTRUCTION))
        for side in order.sides:
            self.node.create_subscription(
                JointTrajectory, f"{side}/trajectory_controller/joint_trajectory",
                lambda msg, side=side: self.commands.setdefault(side, msg), qos)

    def publish(self) -> None:
        """Publish the same physical state, once the node knows the time and every topic."""
        self.until(lambda: all(p.get_subscription_count() for p in
                               (*self._joints.values(), self._image, self._clock))
                   and all(self.node.count_publishers(
                       f"{s}/trajectory_controller/joint_trajectory") for s in SIDES), "the node")
        clock = Clock()
        set_stamp(clock.clock, NOW_NS)
        self.until(lambda: (self._clock.publish(clock), self._is_waiting())[1], "the time")
        image = Image()
        fill_image(image, np.arange(48 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(
            48, 48, 3))
        messages = [(self._image, image)]
        for side in self._order.sides:
            order = self._order.joints[SIDES.index(side)]
            messages.append((self._joints[side], JointState(
                name=[JOINTS[i] for i in order], position=[WHERE[side][i] for i in order])))
        for publisher, msg in messages:
            set_stamp(msg.header.stamp, NOW_NS)
            publisher.publish(msg)
        self.until(lambda: len(self.commands) == 2, "a command to each arm")

    def _is_waiting(self) -> bool:
        """Whether the node has the time and waits for nothing else than what is measured."""
        return any(s.name == "policy_node: policy" and s.message.startswith("waiting for camera")
                   and "instruction" not in s.message for s in self.diagnostics)


def commands(order: Order, checkpoint, place) -> dict[str, JointTrajectory]:
    """Return the first command to each arm, from a node of its own."""
    robot = place / "robot.yaml"
    robot.write_text(yaml.safe_dump(contract(order.contract), sort_keys=False))
    arms = TwoArms(order) if order.robot_first else None
    process = start_node("policy_node", checkpoint=str(checkpoint), robot=str(robot),
                         enabled=True, use_sim_time=True)
    try:
        output = Output(process)
        output.wait_for("ready")
        arms = arms or TwoArms(order)
        arms.publish()
        return arms.commands
    finally:
        if arms is not None:
            arms.close()
        stop(process)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("two") / "checkpoint"
    write_random_network(parse(RobotContract, contract(), "two"), path)
    return path


@pytest.fixture(scope="module")
def expected(checkpoint, tmp_path_factory):
    return commands(Order(), checkpoint, tmp_path_factory.mktemp("robot"))


def rows(msg: JointTrajectory) -> np.ndarray:
    return np.array([[*p.positions, *p.velocities, p.time_from_start.sec,
                      p.time_from_start.nanosec] for p in msg.points])


def test_each_arm_begins_where_it_is(expected):
    for side, msg in expected.items():
        assert msg.joint_names == list(JOINTS), "the names of the arm, without the side"
        first = msg.points[0]
        seconds = first.time_from_start.sec + first.time_from_start.nanosec / 1e9
        for joint, position in zip(JOINTS, first.positions, strict=True):
            where = WHERE[side][JOINTS.index(joint)]
            assert position == pytest.approx(where, abs=VELOCITY * (seconds + 1 / 30)), side
    left, right = (rows(expected[side]) for side in SIDES)
    assert left.shape != right.shape or not np.array_equal(left, right)


@pytest.mark.parametrize("name", ORDERS)
def test_commands_are_the_same_bit_for_bit_in_whatever_order(name, checkpoint, expected, tmp_path):
    got = commands(ORDERS[name], checkpoint, tmp_path)
    for side in SIDES:
        assert got[side] == expected[side], side
