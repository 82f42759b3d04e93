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

"""``sim_robot_node``: a simulated arm that stands there like a real one."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from harness.processes import Listener, Output, start_node, stop
from sim_bridge.arms import SO101
from tinyvla_ros.core.ros.messages import set_stamp

pytestmark = pytest.mark.simulator
TASK = "so101-pick-place"
COMMANDS = "trajectory_controller/joint_trajectory"


class Arm:
    """A running ``sim_robot_node`` and a node that listens to it."""

    def __init__(self, **parameters):
        self.process = start_node("sim_robot_node", task=TASK, seed=7, **parameters)
        self.output = Output(self.process)
        self.probe = Listener()
        self.seen: dict[str, list] = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, kind, qos in (
                ("joint_states", JointState, 10), ("camera/front/image_raw", Image, 10),
                ("camera/wrist/image_raw", Image, 10), ("simulation/cube", PoseStamped, 10),
                ("simulation/success", Bool, latched), ("robot_description", String, latched),
                ("/diagnostics", DiagnosticArray, 10)):
            self.seen[topic] = []
            self.probe.node.create_subscription(kind, topic, self.seen[topic].append, qos)
        self.commands = self.probe.node.create_publisher(JointTrajectory, COMMANDS, 10)

    def newest(self, topic):
        return self.seen[topic][-1]

    def joints(self):
        return dict(zip(self.newest("joint_states").name, self.newest("joint_states").position,
                        strict=True))

    def wait(self, condition, what):
        self.probe.until(condition, what)

    def wait_for_refusal(self, words):
        """Wait until its diagnostics say that a command was refused."""
        self.wait(lambda: any(
            words in value.value for msg in self.seen["/diagnostics"][-3:]
            for status in msg.status for value in status.values
            if value.key == "last_refusal"), f"the refusal {words!r}")

    def command(self, stamp=None, **positions):
        """Send the arm there within 0.4 s of a stamp, its other joints where they are."""
        target = self.joints() | positions
        msg = JointTrajectory(joint_names=list(target)[::-1])
        if stamp is not None:
            msg.header.stamp = stamp
        point = JointTrajectoryPoint(positions=list(target.values())[::-1])
        set_stamp(point.time_from_start, 400_000_000)
        msg.points.append(point)
        self.commands.publish(msg)

    def close(self):
        code = stop(self.process)
        self.probe.close()
        assert code == 0
        assert "Traceback" not in self.output.text


@pytest.fixture(scope="module")
def arm():
    arm = Arm()
    arm.wait(lambda: all(arm.seen.values()) and arm.commands.get_subscription_count(),
             "all topics of the arm")
    yield arm
    arm.close()


def test_it_has_what_a_real_arm_has(arm):
    def age() -> float:
        stamp = arm.newest("joint_states").header.stamp
        now = arm.probe.node.get_clock().now().nanoseconds / 1e9
        return abs(now - stamp.sec - stamp.nanosec / 1e9)

    arm.wait(lambda: age() < 5.0, "a message that is stamped with the wall clock")
    assert arm.newest("camera/front/image_raw").height == 192
    urdf = ElementTree.fromstring(arm.newest("robot_description").data)
    assert set(SO101.joints) <= {j.get("name") for j in urdf.iter("joint")}


def test_it_goes_where_a_trajectory_says(arm):
    start_pan = arm.joints()["shoulder_pan"]
    target = 0.4 if start_pan < 0.2 else -0.2
    arm.command(shoulder_pan=target)
    arm.wait(lambda: abs(arm.joints()["shoulder_pan"] - target) < 0.06, "the arm's motion")


def test_a_command_that_is_not_finite_is_refused_and_the_arm_stays(arm):
    arm.command(shoulder_pan=math.nan)
    arm.wait_for_refusal("nan")
    count = len(arm.seen["joint_states"])
    arm.wait(lambda: len(arm.seen["joint_states"]) > count + 10, "more joint states")
    assert np.isfinite(list(arm.joints().values())).all()


def test_a_command_from_before_a_reset_is_not_followed_after_it(arm):
    pan = arm.joints()["shoulder_pan"]
    stamp = arm.newest("joint_states").header.stamp
    assert arm.probe.call(Trigger, "sim_robot_node/reset", Trigger.Request()).success
    arm.command(stamp, shoulder_pan=pan + 0.5)
    arm.wait_for_refusal("before this scene")


def test_reset_puts_new_objects_on_the_table(arm):
    cube = arm.newest("simulation/cube").pose.position
    answer = arm.probe.call(Trigger, "sim_robot_node/reset", Trigger.Request())
    assert answer.success
    arm.wait(lambda: abs(arm.newest("simulation/cube").pose.position.y - cube.y) > 1e-3,
             "another place of the cube")
    assert not arm.newest("simulation/success").data


def test_two_arms_in_one_graph_are_told_apart(arm):
    other = Output(start_node("sim_robot_node", task=TASK))
    assert other.wait_end() == 2
    assert "joint_states" in other.text
    assert arm.process.poll() is None


def test_an_unknown_task_is_one_sentence():
    output = Output(start_node("sim_robot_node", task="so101-juggle"))
    assert output.wait_end() == 2
    assert "so101-juggle" in output.text and "so101-push" in output.text
    assert "Traceback" not in output.text
