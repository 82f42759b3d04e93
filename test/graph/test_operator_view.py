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

"""What an operator sees of a policy node: who else is there, and why the arm does not move."""

from __future__ import annotations

import math
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from harness.arm_contract import CAMERA_HZ, JOINTS, TOPIC, Patience, robot
from harness.arm_rig import Rig
from harness.left_over import new_context
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.dry_run.untrained import INSTRUCTION


class Stranger:
    """A node of another process, as far as the graph shows."""

    def __init__(self):
        self._context = new_context()
        self.node = rclpy.create_node("stranger", context=self._context, namespace="/elsewhere")

    def __enter__(self):
        return self.node

    def __exit__(self, *error) -> None:
        self.node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture
def rig(tmp_path):
    yield from listening_rig(tmp_path)


@pytest.fixture
def patient_rig(tmp_path):
    """One that a pause of the machine does not hold."""
    yield from listening_rig(tmp_path, contract=robot(Patience(5.0, 5.0, 5.0)))


def listening_rig(tmp_path, **more):
    with Rig(tmp_path, **more) as rig:
        rig.full, rig.log = [], tmp_path / "node.log"
        rig.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: rig.full.extend(
            (time.monotonic(), s) for s in m.status if s.name == "policy_node: policy"), 50)
        yield rig


def says(rig: Rig, *words: str) -> bool:
    return all(w in rig.status for w in words)


def test_enabling_is_refused_while_another_node_may_command_the_controller(rig):
    rig.start(enabled=False)
    rig.wait(lambda: says(rig, "disabled"), "the node")
    with Stranger() as stranger:
        stranger.create_publisher(JointTrajectory, f"/{TOPIC}", 10)

        def is_refused() -> bool:
            """Return whether the policy refuses; before, it has not discovered the stranger."""
            answer = rig.service(SetBool, "enable", SetBool.Request(data=True))
            if answer.success:
                rig.call("enable", SetBool.Request(data=False))
            # The name comes a moment after the publisher.
            return not answer.success and "/elsewhere/stranger" in answer.message \
                and TOPIC in answer.message

        rig.wait(is_refused, "the refusal")
        rig.wait(lambda: says(rig, "disabled"), "a policy that stays disabled")
    rig.wait(lambda: rig.call("enable", SetBool.Request(data=True)), "enabling")
    rig.wait_running()


def test_an_arm_that_others_begin_to_command_is_held(rig):
    rig.start()
    rig.wait_running()
    with Stranger() as stranger:
        stranger.create_publisher(JointTrajectory, f"/{TOPIC}", 10)
        rig.wait(lambda: says(rig, "/elsewhere/stranger", TOPIC), "the reason")
        rig.wait(lambda: rig.commands[-1].is_hold and not rig.moving(), "rest")
    rig.wait_running()


def test_images_of_two_cameras_on_one_topic_are_not_mixed(rig):
    rig.start()
    rig.wait_running()
    with Stranger() as stranger:
        second = stranger.create_publisher(
            Image, "/camera/front/image_raw",
            QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE))
        rig.wait(lambda: rig.node.count_publishers("/camera/front/image_raw") == 2, "the camera")
        begin, number = time.monotonic(), len(rig.statuses)
        rig.wait(lambda: time.monotonic() > begin + 1.0 or len(rig.statuses) > number, "a status")
        assert not says(rig, "several"), "one that is silent disturbs nobody"

        def both(camera, msg):
            if camera == "front":
                second.publish(rig.image(camera))
            return [msg]

        rig.filters.image = both
        rig.wait(lambda: says(rig, "camera/front/image_raw", "/elsewhere/stranger", "/rig"),
                 "the reason")
        rig.wait(lambda: rig.commands[-1].is_hold and not rig.moving(), "rest")
        rig.filters.image = lambda camera, msg: [msg]
    rig.wait_running()


def test_joint_states_of_other_joints_are_no_fault(rig):
    """A mobile base whose clock is wrong, a hand that sends velocities alone or is broken."""
    base = JointState(name=["wheel"], position=[0.1])
    others = [JointState(name=[JOINTS[0]], velocity=[0.1]),
              JointState(name=["hand"], position=[math.nan])]

    def more(msg):
        for other in others:
            set_stamp(other.header.stamp, rig.node.get_clock().now().nanoseconds)
        return [msg, base, *others]

    def with_a_broken_one(msg):
        msg.name, msg.position = [*msg.name, "hand"], [*msg.position, math.nan]
        return more(msg)

    rig.filters.joints = with_a_broken_one
    rig.start()
    rig.wait_running()
    begin = time.monotonic()
    rig.wait(lambda: [s.message for t, s in rig.full if t > begin].count("running") >= 3,
             "three statuses")
    # A machine that pauses is late with the arm's own messages.
    reasons = {s.message for t, s in rig.full if t > begin} - {"running"}
    assert all(" is stale: " in reason for reason in reasons), reasons
    assert not [v for _, s in rig.full for v in s.values if v.key.startswith("rejected")]
    assert "WARN" not in rig.log.read_text()


def test_a_joint_that_two_publishers_send_holds_the_arm(rig):
    """Although the one sends all joints and the other only this one."""
    rig.start()
    rig.wait_running()
    with Stranger() as stranger:
        second = stranger.create_publisher(JointState, "/joint_states", 5)
        rig.wait(lambda: rig.node.count_publishers("/joint_states") == 2, "the stranger")

        def both(msg):
            second.publish(JointState(header=msg.header, name=[JOINTS[0]], position=[0.1]))
            return [msg]

        rig.filters.joints = both
        rig.wait(lambda: says(rig, "joint_states", "/elsewhere/stranger", "/rig"), "the reason")
        rig.wait(lambda: rig.commands[-1].is_hold and not rig.moving(), "rest")
        rig.filters.joints = lambda msg: [msg]
    rig.wait_running()


def test_a_refused_message_is_named_only_while_it_matters(rig):
    rig.start()
    rig.wait_running()

    def spoiled(camera, msg):
        if camera == "front":
            msg.step = 7
        return [msg]

    rig.filters.image = spoiled
    rig.wait(lambda: says(rig, "camera/front is stale", "step is 7"), "both reasons")
    rig.filters.image = lambda camera, msg: [] if camera == "front" else [msg]
    rig.wait(lambda: says(rig, "camera/front is stale") and not says(rig, "step is 7"),
             "the reason that is left")
    rig.filters.image = lambda camera, msg: [msg]
    rig.wait_running()
    rig.wait(lambda: says(rig, "running"), "the state")


@pytest.mark.alone  # statuses of three seconds are counted
def test_a_status_does_not_come_at_the_rate_of_a_camera_whose_messages_are_refused(rig):
    """Although the age in its text differs every time."""
    rig.start()
    rig.wait_running()

    def late(camera, msg):
        set_stamp(msg.header.stamp, rig.node.get_clock().now().nanoseconds - 10**9)
        return [msg]

    rig.filters.image = late
    rig.wait(lambda: says(rig, "s old when it comes"), "the reason")
    begin = time.monotonic()
    rig.wait(lambda: time.monotonic() > begin + 3.0, "three seconds")
    number = len([t for t, _ in rig.full if t > begin])
    assert 2 <= number <= 8, f"{number} in 3 s, with {2 * CAMERA_HZ} refused images a second"


@pytest.mark.parametrize("durability", ["volatile", "transient_local"])
def test_an_instruction_is_taken_from_every_publisher_and_once(patient_rig, durability):
    """``ros2 topic pub --once`` offers volatile, and waits for a subscription that takes it."""
    rig = patient_rig
    rig.start()
    rig.wait_running()
    qos = QoSProfile(depth=1)
    qos.durability = getattr(type(qos.durability), durability.upper())
    with Stranger() as stranger:
        publisher = stranger.create_publisher(String, "/instruction", qos)
        rig.wait(lambda: publisher.get_subscription_count(), "the subscription")
        publisher.publish(String(data="no such instruction"))
        rig.wait(lambda: says(rig, "waiting for instruction", "'no such instruction'"), "refusal")
        values = {v.key: v.value for v in rig.full[-1][1].values}
        assert values["rejected instruction"] == "1"
        publisher.publish(String(data=INSTRUCTION))
        rig.wait_running()
        rig.wait(lambda: says(rig, "running"), "the state")
        assert rig.policy_values["hold waiting for instruction"] == "1"


def test_a_camera_whose_qos_does_not_fit_is_named(tmp_path):
    contract = robot()
    contract["cameras"]["front"]["reliable"] = True
    with Rig(tmp_path, contract=contract) as rig:
        rig.node.destroy_publisher(rig.cameras["front"])
        rig.cameras["front"] = rig.node.create_publisher(
            Image, "camera/front/image_raw",
            QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT))
        rig.start()
        rig.wait(lambda: says(rig, "camera/front", "best effort", "reliable: false"), "the cause")
