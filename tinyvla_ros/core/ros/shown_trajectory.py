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

"""A trajectory as it is shown to people, by attribute access only: nothing here imports ROS."""

from __future__ import annotations

import numpy as np

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.core.types import ActionChunk

# Points of a trajectory are this regular, ns; an irregular last point belongs to a hold.
TOLERANCE_NS = 1_000_000


def chunk_of(msg) -> tuple[ActionChunk, bool]:
    """Return a trajectory_msgs/JointTrajectory as a chunk, and whether it is a hold.

    More tolerant than ``messages.trajectory_to_chunk``: a report and a viewer also show what a
    robot would refuse.

    Raises:
        MessageError: it has no points, or points of several lengths or without a period.
    """
    names = tuple(msg.joint_names)
    times = np.array([time_to_ns(p.time_from_start) for p in msg.points], np.int64)
    first, last = _regular(times)
    period = int(times[first + 1] - times[first]) if last > first else int(times[first:].sum())
    if period <= 0 or any(len(p.positions) != len(names) for p in msg.points):
        raise MessageError("A trajectory is not shown without points, without a positive "
                           "time_from_start, or with more or fewer positions than joint names.")
    actions = np.array([list(p.positions) for p in msg.points[first:last + 1]], np.float32)
    stamp = time_to_ns(msg.header.stamp) + int(times[first]) - period
    # Our policy writes the instruction into frame_id; a hold has none.
    return ActionChunk(stamp, names, actions, period / 1e9), not msg.header.frame_id


def _regular(times: np.ndarray) -> tuple[int, int]:
    """Return the first and the last point of the longest part with a constant period.

    What comes before it goes on with the plan before, and a hold has one more point at its end.
    """
    steps = np.diff(times)
    runs, begin = [(0, 0)], 0
    for i in range(1, len(steps) + 1):
        if i == len(steps) or abs(steps[i] - steps[begin]) >= TOLERANCE_NS:
            runs.append((begin, i))
            begin = i
    return max(runs, key=lambda run: run[1] - run[0])
