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

"""ROS messages made without ROS, for bags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)


def make(kind: str, **fields) -> object:
    """Return a message of a type such as ``std_msgs/msg/String``, with all of its fields."""
    return STORE.types[kind](**fields)


def serialize(message) -> bytes:
    """Return a message as it lies in a bag."""
    return bytes(STORE.serialize_cdr(message, message.__msgtype__))


def time(ns: int, kind: str = "Time") -> object:
    """Return a builtin_interfaces/Time or Duration."""
    return make(f"builtin_interfaces/msg/{kind}", sec=ns // 10**9, nanosec=ns % 10**9)


def header(stamp_ns: int, frame: str = "") -> object:
    """Return a std_msgs/Header."""
    return make("std_msgs/msg/Header", stamp=time(stamp_ns), frame_id=frame)


def image(stamp_ns: int, pixels: np.ndarray, encoding: str = "rgb8") -> object:
    """Return a sensor_msgs/Image of (height, width, 3) uint8."""
    height, width, channels = pixels.shape
    return make("sensor_msgs/msg/Image", header=header(stamp_ns), height=height, width=width,
                encoding=encoding, is_bigendian=0, step=channels * width, data=pixels.reshape(-1))


def joint_state(stamp_ns: int, positions: Mapping[str, float]) -> object:
    """Return a sensor_msgs/JointState of positions alone."""
    none = np.array([], np.float64)
    return make("sensor_msgs/msg/JointState", header=header(stamp_ns), name=list(positions),
                position=np.array(list(positions.values()), np.float64), velocity=none,
                effort=none)


def wrench(stamp_ns: int, force: Iterable[float], torque: Iterable[float]) -> object:
    """Return a geometry_msgs/WrenchStamped: three forces (N), three torques (N m)."""
    vectors = [make("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, v), strict=True)))
               for v in (force, torque)]
    return make("geometry_msgs/msg/WrenchStamped", header=header(stamp_ns), wrench=make(
        "geometry_msgs/msg/Wrench", force=vectors[0], torque=vectors[1]))


def vector(numbers: Iterable[float]) -> object:
    """Return a std_msgs/Float64MultiArray."""
    layout = make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return make("std_msgs/msg/Float64MultiArray", layout=layout,
                data=np.array(list(numbers), np.float64))


def trajectory(stamp_ns: int, names: Iterable[str], rows: Iterable, dt_ns: int,
               frame: str = "") -> object:
    """Return a trajectory_msgs/JointTrajectory: rows of positions, the first after ``dt_ns``."""
    none = np.array([], np.float64)
    points = [make("trajectory_msgs/msg/JointTrajectoryPoint",
                   positions=np.array(row, np.float64), velocities=none, accelerations=none,
                   effort=none, time_from_start=time((i + 1) * dt_ns, "Duration"))
              for i, row in enumerate(rows)]
    return make("trajectory_msgs/msg/JointTrajectory", header=header(stamp_ns, frame),
                joint_names=list(names), points=points)
