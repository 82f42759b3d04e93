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

"""ROS messages to arrays and back, by attribute access only: nothing here imports ROS.

Every function that reads a message checks it completely and raises ``MessageError`` with one
sentence; what it returns can be trusted.
"""

from __future__ import annotations

import array
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.image_encodings import compressed_to_rgb, raw_to_rgb
from tinyvla_ros.core.types import ActionChunk, Prefix


def time_to_ns(time) -> int:
    """Return a builtin_interfaces/Time or Duration in nanoseconds, zero included."""
    return time.sec * 1_000_000_000 + time.nanosec


def stamp_to_ns(stamp) -> int:
    """Return a builtin_interfaces/Time in nanoseconds; zero (unstamped) is an error.

    So are nanoseconds that make a second.
    """
    ns = time_to_ns(stamp)
    if ns <= 0 or stamp.nanosec >= 1_000_000_000:
        raise MessageError(f"The header stamp is {stamp.sec} s and {stamp.nanosec} ns; a stamp "
                           "later than zero, with less than 1000000000 ns, is needed, set it "
                           "when the data is captured.")
    return ns


def set_stamp(stamp, ns: int) -> None:
    """Write nanoseconds into a builtin_interfaces/Time."""
    stamp.sec, stamp.nanosec = divmod(ns, 1_000_000_000)


def image_to_array(msg) -> np.ndarray:
    """Return an image message as (height, width, 3) uint8 RGB, without a copy where possible.

    Args:
        msg: a sensor_msgs/Image, or a sensor_msgs/CompressedImage.

    Raises:
        MessageError: it cannot be decoded, or is not 8-bit color or gray; ``image_encodings``.
    """
    return raw_to_rgb(msg) if hasattr(msg, "encoding") else compressed_to_rgb(msg)


def fill_image(msg, image: np.ndarray) -> None:
    """Write (height, width, 3) uint8 RGB into a sensor_msgs/Image."""
    msg.height, msg.width = image.shape[:2]
    msg.encoding, msg.step, msg.is_bigendian = "rgb8", 3 * image.shape[1], 0
    # A fresh array filled by frombytes is 20 times faster than array('B', bytes).
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast("B"))
    msg.data = data


def fill_pose(msg, stamp_ns: int, frame: str, position: Iterable[float],
              orientation: Iterable[float]) -> None:
    """Write a position (m) and a quaternion x, y, z, w into a geometry_msgs/PoseStamped."""
    set_stamp(msg.header.stamp, stamp_ns)
    msg.header.frame_id = frame
    point, turn = msg.pose.position, msg.pose.orientation
    point.x, point.y, point.z = position
    turn.x, turn.y, turn.z, turn.w = orientation


def fill_trajectory(msg, chunk: ActionChunk, instruction: str, new_point) -> None:
    """Write a chunk into a trajectory_msgs/JointTrajectory.

    Args:
        msg: the message.
        chunk: what to write.
        instruction: goes to ``header.frame_id``: what the chunk was computed for.
        new_point: makes an empty trajectory_msgs/JointTrajectoryPoint.
    """
    set_stamp(msg.header.stamp, chunk.stamp_ns)
    msg.header.frame_id = instruction
    msg.joint_names = list(chunk.channels)
    points = []
    for i, action in enumerate(chunk.actions):
        point = new_point()
        point.positions = action.astype(np.float64).tolist()
        ns = (i + 1) * chunk.dt_ns
        point.time_from_start.sec, point.time_from_start.nanosec = divmod(ns, 1_000_000_000)
        points.append(point)
    msg.points = points


def fill_prefix(msg, chunk: ActionChunk, prefix: Prefix, instruction: str, new_point) -> None:
    """Write what a chunk was to continue into a trajectory_msgs/JointTrajectory.

    As ``fill_trajectory``, with the rows of ``prefix`` and in ``effort`` their weights.
    """
    fill_trajectory(msg, replace(chunk, actions=prefix.actions), instruction, new_point)
    for point, weight in zip(msg.points, prefix.weights, strict=True):
        point.effort = [float(weight)] * len(chunk.channels)


def trajectory_to_prefix(msg, channels: Iterable[str]) -> Prefix:
    """Read what ``fill_prefix`` wrote.

    Raises:
        MessageError: as ``trajectory_to_chunk``, or a weight is missing or not from 0 to 1.
    """
    chunk = trajectory_to_chunk(msg, channels)
    weights = np.array([p.effort[0] if len(p.effort) else np.nan for p in msg.points], np.float32)
    if not ((weights >= 0.0) & (weights <= 1.0)).all():
        row = int(np.argmin((weights >= 0.0) & (weights <= 1.0)))
        raise MessageError(f"Point {row} has the weight {weights[row]} as its effort; give a "
                           "number from 0 to 1.")
    return Prefix(chunk.actions, weights)


def trajectory_to_chunk(msg, channels: Iterable[str]) -> ActionChunk:
    """Read a trajectory_msgs/JointTrajectory that carries an action chunk.

    Args:
        msg: the message; its columns may be in any order.
        channels: the channels the receiver has, in the order it wants.

    Raises:
        MessageError: unstamped, wrong channels, no points, rows of a wrong length, non-finite
            values, or times that are not multiples of one positive period.
    """
    stamp = stamp_to_ns(msg.header.stamp)
    channels, names = tuple(channels), list(msg.joint_names)
    if sorted(names) != sorted(channels):
        raise MessageError(f"The action chunk names {', '.join(names) or 'nothing'}; this robot "
                           f"takes {', '.join(channels)}.")
    if not msg.points:
        raise MessageError("The action chunk has no points; send at least one.")
    times = []
    for i, point in enumerate(msg.points):
        if len(point.positions) != len(names):
            raise MessageError(f"Point {i} of the action chunk has {len(point.positions)} "
                               f"positions for {len(names)} channels.")
        times.append(time_to_ns(point.time_from_start))
    dt = times[0]
    if dt <= 0 or any(abs(t - (i + 1) * dt) > 1000 for i, t in enumerate(times)):
        raise MessageError("The times of the action chunk are not 1, 2, 3... times a positive "
                           "period; set time_from_start to (i + 1) * dt.")
    actions = np.array([list(p.positions) for p in msg.points], np.float32)
    if not np.isfinite(actions).all():
        row = int(np.argwhere(~np.isfinite(actions))[0, 0])
        raise MessageError(f"Point {row} of the action chunk is not finite.")
    return ActionChunk(stamp, channels, actions[:, [names.index(c) for c in channels]], dt / 1e9)


def fill_wrench(msg, stamp_ns: int, frame: str, wrench: Iterable[float]) -> None:
    """Write force (N) and torque (N m), six numbers, into a geometry_msgs/WrenchStamped."""
    set_stamp(msg.header.stamp, stamp_ns)
    msg.header.frame_id = frame
    force, torque = msg.wrench.force, msg.wrench.torque
    force.x, force.y, force.z, torque.x, torque.y, torque.z = map(float, wrench)
