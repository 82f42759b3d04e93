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

"""Follow trajectories by the rules of ros2_control's joint_trajectory_controller (jazzy).

https://control.ros.org/jazzy/doc/ros2_controllers/joint_trajectory_controller/doc/userdoc.html
and ``validate_trajectory_msg`` and ``Trajectory::sample`` of its source, with its default
parameters. Accelerations are checked and then ignored.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tinyvla_ros.core.angles import nearest
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import time_to_ns

# The controller compares with the epsilon of float.
AT_REST = float(np.finfo(np.float32).eps)


class Refused(MessageError):
    """A command that the arm does not follow.

    Attributes:
        cause: kind of fault, to count by.
    """

    def __init__(self, cause: str, sentence: str):
        super().__init__(sentence)
        self.cause = cause


class TrajectoryFollower:
    """The joints of a controller, without dynamics: they are where the trajectory says.

    ::

        position |            o-----------  the last point is held
                 |       o  /
                 |   __/  \\/
                 |__/
                 +---|---|----|----> time
                 accepted     time_from_start of the points
                 (from where the joints are now)

    Args:
        joints: names; every trajectory must have all of them.
        start: (joints,) positions.
        turns: (joints,) one turn of each joint that turns without end, 0 for others: the
            controller reaches its positions by the shortest way (a continuous joint in the URDF).
    """

    def __init__(self, joints: Sequence[str], start: Sequence[float],
                 turns: Sequence[float] | float = 0.0):
        self._joints, self._turns = tuple(joints), np.asarray(turns, np.float64)
        self._accepted_ns = 0
        self._times = np.zeros(1, np.int64)
        self._positions = np.array([start], np.float64)
        self._velocities = np.zeros_like(self._positions)
        self._cubic = np.zeros(0, bool)

    @property
    def target(self) -> np.ndarray:
        """(joints,) positions at the end of the trajectory."""
        return self._positions[-1]

    def accept(self, msg, now_ns: int) -> None:
        """Follow a trajectory_msgs/JointTrajectory from now on, from the present positions.

        Raises:
            Refused: the controller would refuse it too, or a value is not finite, which the
                controller does not check. The trajectory before is continued.
        """
        order = self._order(msg)
        if not msg.points:
            raise Refused("no points", "The trajectory has no points; send at least one.")
        offsets = _times(msg)
        positions, velocities, has_velocity = _values(msg, order)
        start_ns = time_to_ns(msg.header.stamp)
        end_ns = start_ns + int(offsets[-1])
        if start_ns and end_ns < now_ns:
            raise Refused("in the past", f"The trajectory ended {(now_ns - end_ns) / 1e9:.3f} s "
                          "ago; send it earlier, or leave its stamp zero to start at once.")
        times = offsets + (start_ns or now_ns)
        position, velocity = self.sample(now_ns)
        if self._turns.any():
            begun = max(int(np.searchsorted(times, now_ns, side="right")) - 1, 0)
            positions += nearest(positions[begun], position, self._turns) - positions[begun]
        if times[0] > now_ns:
            times = np.concatenate([[now_ns], times])
            positions = np.concatenate([position[None], positions])
            velocities = np.concatenate([velocity[None], velocities])
            has_velocity = np.concatenate([[True], has_velocity])
        self._accepted_ns, self._times = now_ns, times
        self._positions, self._velocities = positions, velocities
        self._cubic = has_velocity[:-1] & has_velocity[1:]

    def go_to(self, positions: np.ndarray, now_ns: int, duration_ns: int) -> None:
        """Go straight from the present positions to (joints,) others."""
        position, _ = self.sample(now_ns)
        positions = nearest(positions, position, self._turns)
        self._accepted_ns, self._times = now_ns, np.array([now_ns, now_ns + duration_ns])
        self._positions = np.stack([position, positions])
        self._velocities = np.zeros_like(self._positions)
        self._cubic = np.zeros(1, bool)

    def sample(self, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (joints,) positions and (joints,) velocities at ``now_ns``.

        Before the time at which the trajectory was accepted: those of that time.
        """
        now_ns = max(now_ns, self._accepted_ns)
        return interpolate(self._times, self._positions, self._velocities, self._cubic, now_ns)

    def _order(self, msg) -> list[int]:
        """Return the columns of the message in the order of the joints."""
        names = list(msg.joint_names)
        if sorted(names) != sorted(self._joints):
            raise Refused("wrong joints", f"The trajectory names {', '.join(names) or 'nothing'}; "
                          f"it must name {', '.join(self._joints)}, each once.")
        return [names.index(joint) for joint in self._joints]


def interpolate(times: np.ndarray, positions: np.ndarray, velocities: np.ndarray,
                cubic: np.ndarray, now_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (joints,) positions and velocities between points; past the last one, at rest there.

    Args:
        times: (points,) ns, increasing, the first one not after ``now_ns``.
        positions: (points, joints); velocities likewise, per second.
        cubic: (points - 1,) whether a piece is a cubic with these velocities, or else a line.
    """
    i = int(np.searchsorted(times, now_ns, side="right")) - 1
    if i + 1 >= len(times):
        return positions[-1], np.zeros_like(positions[-1])
    span = (times[i + 1] - times[i]) / 1e9
    s = (now_ns - times[i]) / 1e9 / span
    (p, q), (v, w) = positions[i:i + 2], velocities[i:i + 2] * span
    if not cubic[i]:
        return p + s * (q - p), (q - p) / span
    # The cubic with these positions and velocities at both ends (Hermite).
    b, c = 3 * (q - p) - 2 * v - w, 2 * (p - q) + v + w
    return p + s * (v + s * (b + s * c)), (v + s * (2 * b + s * 3 * c)) / span


def _times(msg) -> np.ndarray:
    """Return (points,) int64 nanoseconds from the start."""
    times = [time_to_ns(p.time_from_start) for p in msg.points]
    for i, (before, after) in enumerate(itertools.pairwise(times)):
        if after <= before:
            raise Refused("times not increasing", f"Points {i} and {i + 1} of the trajectory are "
                          f"at {before / 1e9:g} and {after / 1e9:g} s; time_from_start must "
                          "increase strictly.")
    return np.array(times, np.int64)


def _values(msg, order: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (points, joints) positions and velocities, and (points,) has velocities."""
    shape = (len(msg.points), len(order))
    positions, velocities = np.empty(shape), np.zeros(shape)
    has_velocity = np.zeros(len(msg.points), bool)
    for i, point in enumerate(msg.points):
        if len(point.effort):
            raise Refused("effort", f"Point {i} of the trajectory has efforts, and these joints "
                          "take positions; leave the efforts out.")
        for name, needed in (("positions", True), ("velocities", False),
                             ("accelerations", False)):
            values = getattr(point, name)
            if len(values) != len(order) and (needed or len(values)):
                raise Refused("wrong length", f"Point {i} of the trajectory has {len(values)} "
                              f"{name} for {len(order)} joints.")
            if not np.isfinite(values).all():
                raise Refused("not finite", f"Point {i} of the trajectory has {name} "
                              f"{list(values)}, which a controller would pass on to the motors; "
                              "send finite values.")
        positions[i] = np.array(point.positions)[order]
        has_velocity[i] = len(point.velocities) > 0
        if has_velocity[i]:
            velocities[i] = np.array(point.velocities)[order]
    fastest = int(np.abs(velocities[-1]).argmax())
    if abs(velocities[-1, fastest]) > AT_REST:
        raise Refused("moving at the end", "The last point of the trajectory has velocity "
                      f"{velocities[-1, fastest]:g} for {msg.joint_names[order[fastest]]}; a "
                      "controller requires 0 there.")
    return positions, velocities, has_velocity
