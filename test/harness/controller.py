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

"""joint_trajectory_controller's interpolation, written from its formulas alone.

``Trajectory::sample`` and ``interpolate_between_points`` of ros2_controllers (jazzy): lines where
points have positions alone, cubics with velocities, quintics with accelerations too. Up to the
first point of a message it interpolates from the state at which it took the message.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


class Controller:
    """A controller with perfect joints.

    Args:
        names: of its joints.
        start: (joints,) positions.
    """

    def __init__(self, names, start):
        self._names = list(names)
        self._points = [(0, (np.asarray(start, np.float64), np.zeros(len(names)), None))]

    def accept(self, msg, now_ns: int) -> None:
        """Take a trajectory_msgs/JointTrajectory; it replaces the one before at once."""
        position, velocity, _ = self.state(now_ns)
        begin = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec or now_ns
        order = [list(msg.joint_names).index(name) for name in self._names]
        points = []
        for p in msg.points:
            after = p.time_from_start.sec * 10**9 + p.time_from_start.nanosec
            points.append((begin + after, tuple(
                np.array(v, np.float64)[order] if len(v) else None
                for v in (p.positions, p.velocities, p.accelerations))))
        assert all(a[0] < b[0] for a, b in itertools.pairwise(points))
        assert points[-1][0] >= now_ns, "a trajectory of the past is refused"
        if now_ns < points[0][0]:
            points.insert(0, (now_ns, (position, velocity, None)))
        self._points = points

    @property
    def times(self) -> list[int]:
        """Where pieces begin and end."""
        return [t for t, _ in self._points]

    def state(self, now_ns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (joints,) positions, velocities and accelerations."""
        at_rest = np.zeros(len(self._names))
        for (t0, a), (t1, b) in itertools.pairwise(self._points):
            if t0 <= now_ns < t1:
                return _between(a, b, (t1 - t0) / 1e9, (now_ns - t0) / 1e9)
        return self._points[-1][1][0], at_rest, at_rest


def _between(a, b, duration: float, t: float):
    (p, v, acc), (q, w, bcc) = a, b
    if v is None or w is None:
        coefficients = [p, (q - p) / duration]
    elif acc is None or bcc is None:
        coefficients = [p, v, (-3 * p + 3 * q - 2 * v * duration - w * duration) / duration**2,
                        (2 * p - 2 * q + v * duration + w * duration) / duration**3]
    else:
        d = duration
        coefficients = [
            p, v, 0.5 * acc,
            (-20 * p + 20 * q - 3 * acc * d**2 + bcc * d**2 - 12 * v * d - 8 * w * d) / (2 * d**3),
            (30 * p - 30 * q + 3 * acc * d**2 - 2 * bcc * d**2 + 16 * v * d + 14 * w * d)
            / (2 * d**4),
            (-12 * p + 12 * q - acc * d**2 + bcc * d**2 - 6 * v * d - 6 * w * d) / (2 * d**5)]

    def derivative(k: int) -> np.ndarray:
        terms = [c * math.perm(n, k) * t ** (n - k) for n, c in enumerate(coefficients) if n >= k]
        return sum(terms, np.zeros_like(p))

    return derivative(0), derivative(1), derivative(2)
