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

"""Publish a simulated robot's joints, end effector and clock."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sim_bridge.arms import EE_NAMES
from sim_bridge.environment import ArmEnvironment
from tinyvla_ros.core.ros.messages import fill_pose, fill_wrench, set_stamp
from tinyvla_ros.nodes.shared.runner import SENSOR_QOS


class SensorPublisher:
    """Topics of the simulated robot: what is published together has one stamp.

    The wrench of all contacts on the hand is published for who subscribes to it.

    Args:
        node: that publishes.
        has_clock: whether the stamps are the time of all nodes, on ``clock``.
    """

    def __init__(self, node: Node, has_clock: bool = True):
        self._joints = node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._pose = node.create_publisher(PoseStamped, "ee_pose", SENSOR_QOS)
        self._wrench = node.create_publisher(WrenchStamped, "wrench", SENSOR_QOS)
        self._clock = node.create_publisher(Clock, "clock", SENSOR_QOS) if has_clock else None

    @property
    def topics(self) -> list[str]:
        """Names of everything published here."""
        publishers = (self._joints, self._pose, self._wrench, self._clock)
        return [p.topic_name for p in publishers if p is not None]

    @property
    def regular_topics(self) -> list[str]:
        """Names of what is published whether or not anybody subscribes."""
        return [t for t in self.topics if t != self._wrench.topic_name]

    def publish(self, env: ArmEnvironment, stamp_ns: int) -> None:
        """Publish clock, joint positions, end-effector pose and wrench."""
        if self._clock is not None:
            clock = Clock()
            set_stamp(clock.clock, stamp_ns)
            self._clock.publish(clock)
        state = env.state()
        joints = JointState(name=list(env.arm.joints),
                            position=[state[n] for n in env.arm.joints])
        set_stamp(joints.header.stamp, stamp_ns)
        self._joints.publish(joints)
        pose = PoseStamped()
        fill_pose(pose, stamp_ns, "world", (state[n] for n in EE_NAMES), env.ee_quaternion())
        self._pose.publish(pose)
        if self._wrench.get_subscription_count():
            wrench = WrenchStamped()
            fill_wrench(wrench, stamp_ns, "tool", env.wrench())
            self._wrench.publish(wrench)
