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

"""Publish a simulated robot's cameras, joints, end effector and clock."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from sim_bridge.metaworld_env import MetaWorldEnv
from sim_bridge.simulated_robot import EE_NAMES, JOINT_NAMES, SimulatedRobotConfig
from tinyvla_ros.core.ros.messages import fill_image, fill_pose, set_stamp
from tinyvla_ros.nodes.shared.runner import SENSOR_QOS


class SensorPublisher:
    """Topics of the simulated robot: what is published together has one stamp."""

    def __init__(self, node: Node, config: SimulatedRobotConfig):
        self._images = {n: node.create_publisher(Image, f"camera/{n}/image_raw", SENSOR_QOS)
                        for n in config.cameras}
        self._infos = {n: node.create_publisher(CameraInfo, f"camera/{n}/camera_info", SENSOR_QOS)
                       for n in config.cameras}
        self._joints = node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._pose = node.create_publisher(PoseStamped, "ee_pose", SENSOR_QOS)
        self._clock = node.create_publisher(Clock, "clock", SENSOR_QOS)
        self._info_messages = {n: _camera_info(config, n) for n in config.cameras}

    @property
    def topics(self) -> list[str]:
        """Names of everything published here."""
        publishers = (*self._images.values(), *self._infos.values(), self._joints, self._pose,
                      self._clock)
        return [p.topic_name for p in publishers]

    def all_cameras_subscribed(self) -> bool:
        """Return whether every camera has a subscriber."""
        return all(p.get_subscription_count() > 0 for p in self._images.values())

    def publish(self, env: MetaWorldEnv, stamp_ns: int, images: bool = True) -> None:
        """Publish clock, joint positions and end-effector pose; then render the cameras too."""
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
        if images:
            self._publish_images(env, stamp_ns)

    def _publish_images(self, env: MetaWorldEnv, stamp_ns: int) -> None:
        for name, publisher in self._images.items():
            msg, info = Image(), self._info_messages[name]
            fill_image(msg, env.render_camera(name))
            msg.header.frame_id = info.header.frame_id
            set_stamp(msg.header.stamp, stamp_ns)
            set_stamp(info.header.stamp, stamp_ns)
            publisher.publish(msg)
            self._infos[name].publish(info)


def _camera_info(config: SimulatedRobotConfig, name: str) -> CameraInfo:
    pose = config.cameras[name]
    focal, cx, cy = config.intrinsics(name)
    info = CameraInfo(height=pose.height, width=pose.width, distortion_model="plumb_bob",
                      d=[0.0] * 5, k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
                      r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                      p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0])
    info.header.frame_id = f"{name}_optical_frame"
    return info
