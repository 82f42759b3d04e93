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

"""Publish the images of a simulated robot's cameras, those that somebody subscribes to."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.ros.messages import fill_image, set_stamp
from tinyvla_ros.nodes.shared.runner import SENSOR_QOS

# Time for discovery, s. Images never reach a subscriber whose QoS does not fit, or one that died.
UNREACHED_S = 2.0


class CameraPublisher:
    """Topics of the cameras: an image and its ``camera_info`` have one stamp."""

    def __init__(self, node: Node, config: SimulatedRobotConfig):
        self._node = node
        self._images = {n: node.create_publisher(Image, f"camera/{n}/image_raw", SENSOR_QOS)
                        for n in config.cameras}
        self._infos = {n: node.create_publisher(CameraInfo, f"camera/{n}/camera_info", SENSOR_QOS)
                       for n in config.cameras}
        self._info_messages = {n: _camera_info(config, n) for n in config.cameras}
        self._reached_since: float | None = None

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras."""
        return list(self._images)

    @property
    def topics(self) -> list[str]:
        """Names of everything published here."""
        return [p.topic_name for p in (*self._images.values(), *self._infos.values())]

    def is_discovered(self) -> bool:
        """Return whether a camera has a subscriber, and images reach all that they can."""
        numbers = [(p.get_subscription_count(), self._node.count_subscribers(p.topic_name))
                   for p in self._images.values()]
        if not any(reached for reached, _ in numbers):
            self._reached_since = None
            return False
        self._reached_since = self._reached_since or time.monotonic()
        return all(reached >= number for reached, number in numbers) or \
            time.monotonic() - self._reached_since > UNREACHED_S

    def publish(self, name: str, stamp_ns: int, render: Callable[[str], np.ndarray]) -> None:
        """Render a camera, if it has a subscriber, and publish the image.

        Args:
            name: of the camera.
            stamp_ns: of the image.
            render: returns the image of a camera, (height, width, 3) uint8 RGB.
        """
        info = self._info_messages[name]
        set_stamp(info.header.stamp, stamp_ns)
        if self._images[name].get_subscription_count():
            msg = Image()
            fill_image(msg, render(name))
            msg.header.frame_id = info.header.frame_id
            set_stamp(msg.header.stamp, stamp_ns)
            self._images[name].publish(msg)
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
