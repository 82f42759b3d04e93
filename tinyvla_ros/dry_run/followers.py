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

"""Followers of position arrays (forward_command_controller) and twists (MoveIt Servo)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyvla_ros.arm.contract_check import SERVO_TIMEOUT_S
from tinyvla_ros.arm.contract_outputs import TWIST_AXES
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.dry_run.trajectory import Refused, TrajectoryFollower

_TIMEOUT_NS = round(SERVO_TIMEOUT_S * 1e9)


class PositionsFollower(TrajectoryFollower):
    """Joints of a forward_command_controller, which reach each new position within a period.

    Args:
        joints: names, in the order of the array.
        start: (joints,) positions.
        period_ns: time between two commands.
        turns: see ``TrajectoryFollower``.
    """

    def __init__(self, joints: Sequence[str], start: Sequence[float], period_ns: int,
                 turns: Sequence[float] | float = 0.0):
        super().__init__(joints, start, turns)
        self._count, self._period_ns = len(joints), period_ns

    def accept(self, msg, now_ns: int) -> None:
        """Go to the positions of a std_msgs/Float64MultiArray.

        Raises:
            Refused: the length is wrong, which the controller would refuse too, or a value is not
                finite.
        """
        if len(msg.data) != self._count:
            raise Refused("wrong length", f"The array has {len(msg.data)} values for "
                          f"{self._count} joints.")
        if not np.isfinite(msg.data).all():
            raise Refused("not finite", f"The array holds {list(msg.data)}, which a controller "
                          "would pass on to the motors; send finite values.")
        if list(msg.data) != self.target.tolist():  # the same again changes nothing
            self.go_to(np.array(msg.data), now_ns, self._period_ns)


class TwistFollower:
    """An end effector that moves with the last twist until 0.1 s after its stamp.

    The twist is taken in the frame of the pose.

    Attributes:
        position: (3,) m, at the time of the last call.
        orientation: (4,) quaternion x, y, z, w, at that time.

    Args:
        axes: components to report, names of ``TWIST_AXES``.
        position: (3,) m at the start.
        now_ns: ROS time of the start.
    """

    def __init__(self, axes: Sequence[str], position: Sequence[float], now_ns: int):
        self._axes = [TWIST_AXES.index(axis) for axis in axes]
        self.position = np.array(position, np.float64)
        self.orientation = np.array([0.0, 0.0, 0.0, 1.0])
        self._twist = np.zeros(6)
        self._now_ns = self._until_ns = now_ns

    def accept(self, msg, now_ns: int) -> None:
        """Move with a geometry_msgs/TwistStamped.

        Raises:
            Refused: the stamp is older than 0.1 s (zero always is), or a value is not finite;
                Servo would ignore it too.
        """
        linear, angular = msg.twist.linear, msg.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        if not np.isfinite(twist).all():
            raise Refused("not finite", f"The twist is {twist.tolist()}; send finite values.")
        stamp_ns = time_to_ns(msg.header.stamp)
        if now_ns - stamp_ns > _TIMEOUT_NS:
            raise Refused("stale", f"The twist is {(now_ns - stamp_ns) / 1e9:.3f} s old; Servo "
                          f"follows twists up to {SERVO_TIMEOUT_S} s old.")
        self.sample(now_ns)
        self._twist, self._until_ns = twist, stamp_ns + _TIMEOUT_NS

    def sample(self, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Move up to now; return the (axes,) current twist and zeros as its (axes,) derivative."""
        moving_ns = min(now_ns, self._until_ns) - self._now_ns
        if moving_ns > 0:
            seconds = moving_ns / 1e9
            self.position = self.position + self._twist[:3] * seconds
            self.orientation = _turned(self.orientation, self._twist[3:] * seconds)
        self._now_ns = now_ns
        twist = self._twist if now_ns < self._until_ns else np.zeros(6)
        return twist[self._axes], np.zeros(len(self._axes))


def _turned(q: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Turn a quaternion (x, y, z, w) by a (3,) rotation vector in the fixed frame, rad."""
    half = np.linalg.norm(turn) / 2
    axis = turn / 2 * np.sinc(half / np.pi)
    w = np.cos(half)
    vector = w * q[:3] + q[3] * axis + np.cross(axis, q[:3])
    return np.append(vector, w * q[3] - axis @ q[:3])
