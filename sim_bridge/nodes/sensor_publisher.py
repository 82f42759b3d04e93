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

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from sim_bridge.metaworld_env import MetaWorldEnv
from sim_bridge.simulated_robot import EE_NAMES, JOINT_NAMES
from tinyvla_ros.core.ros.messages import fill_pose, set_stamp
from tinyvla_ros.nodes.shared.runner import SENSOR_QOS


class SensorPublisher:
    """Topics of the simulated robot: what is published together has one stamp."""

    def __init__(self, node: Node):
        self._joints = node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._pose = node.create_publisher(PoseStamped, "ee_pose", SENSOR_QOS)
        self._clock = node.create_publisher(Clock, "clock", SENSOR_QOS)

    @property
    def topics(self) -> list[str]:
        """Names of everything published here."""
        return [p.topic_name for p in (self._joints, self._pose, self._clock)]

    def publish(self, env: MetaWorldEnv, stamp_ns: int) -> None:
        """Publish clock, joint positions and end-effector pose."""
        clock = Clock()
        set_stamp(clock.clock, stamp_ns)
        self._clock.publish(clock)
        state = env.state()
        joints = JointState(name=list(JOINT_NAMES), position=[state[n] for n in JOINT_NAMES])
        set_stamp(joints.header.stamp, stamp_ns)
        self._joints.publish(joints)
        pose = PoseStamped()
        fill_pose(pose, stamp_ns, "world", (state[n] for n in EE_NAMES), env.ee_quaternion())
        self._pose.publish(pose)
