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

"""A robot on real topics for ``tinyvla robot init`` to find: drivers and controllers at rest."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import rclpy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from harness.left_over import new_context
from tinyvla_ros.core.ros.messages import fill_image
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import LATCHED

URDF = """<robot name="desk_arm">
  <joint name="lift" type="prismatic"><limit lower="0" upper="0.3" velocity="0.3"/></joint>
  <joint name="elbow" type="revolute"><limit lower="-1.5" upper="2.0" velocity="3.0"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="100"/></joint>
  <joint name="gripper" type="revolute"><limit lower="-0.2" upper="1.7" velocity="10"/></joint>
</robot>"""
POSITIONS = {"lift": 0.1, "elbow": 0.2, "wheel": 1.0, "gripper": 0.5}
ARM = ["lift", "elbow", "wheel"]


class FoundRobotNodes:
    """Two nodes: ``driver`` publishes, ``arm_controller`` has parameters; a thread spins them.

    Args:
        namespace: of both.
        positions: of the joints; empty for a driver without joint states.
        cameras: names, of which those in ``dead`` publish nothing.
        dead: names of cameras.
        description: URDF to publish, empty for none.
        with_controllers: whether commands are taken.
    """

    def __init__(self, namespace: str = "", positions: Mapping[str, float] | None = None,
                 cameras: Sequence[str] = ("front", "wrist"), dead: Sequence[str] = (),
                 description: str = URDF, with_controllers: bool = True):
        self._positions = dict(POSITIONS if positions is None else positions)
        self._context = new_context()
        self._executor = LeanExecutor(context=self._context)
        driver, controller = (rclpy.create_node(name, context=self._context, namespace=namespace)
                              for name in ("driver", "arm_controller"))
        self._nodes = driver, controller
        self._rng = np.random.default_rng(0)
        if self._positions:
            joints = driver.create_publisher(JointState, "joint_states", 10)
            driver.create_timer(0.02, lambda: joints.publish(self._joint_state()))
        images = {n: driver.create_publisher(Image, f"camera/{n}/image_raw", 5) for n in cameras}
        alive = [p for n, p in images.items() if n not in dead]
        self._images = list(images.values())
        driver.create_timer(0.05, lambda: [p.publish(self._image()) for p in alive])
        if description:
            driver.create_publisher(String, "robot_description", LATCHED).publish(
                String(data=description))
        if with_controllers:
            controller.declare_parameter("joints", ARM)
            controller.declare_parameter("command_interfaces", ["position"])
            controller.declare_parameter("joint_limits.elbow.max_acceleration", 4.0)
            controller.create_subscription(JointTrajectory, "arm_controller/joint_trajectory",
                                           lambda m: None, 10)
            # Another node's, which has no parameter 'joints'.
            driver.create_subscription(Float64MultiArray, "gripper_controller/commands",
                                       lambda m: None, 10)
        for node in self._nodes:
            self._executor.add_node(node)
        self._closing = False
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.05)

    def _stamped(self, message):
        message.header.stamp = self._nodes[0].get_clock().now().to_msg()
        return message

    def _joint_state(self) -> JointState:
        return self._stamped(JointState(name=list(self._positions), position=[
            float(v) if math.isfinite(v) else math.nan for v in self._positions.values()]))

    def _image(self) -> Image:
        message = self._stamped(Image())
        fill_image(message, self._rng.integers(0, 256, (48, 64, 3), np.uint8))
        return message

    @property
    def is_seen(self) -> bool:
        """Whether anybody listens to a camera."""
        return any(p.get_subscription_count() for p in self._images)

    def __enter__(self) -> FoundRobotNodes:
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._closing = True
        self._thread.join(5.0)
        self._executor.shutdown()
        for node in self._nodes:
            node.destroy_node()
        self._context.try_shutdown()
