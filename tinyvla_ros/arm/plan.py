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

"""A plan: the commands that are sent to the arm, with their times.

A joint_trajectory_controller follows some of its channels along a curve: the quadratic B-spline
whose control points are the rows. ::

    rows                       o         o         o       at the end of each period
    points of the trajectory        x         x            in the middle between two rows

In the middle between two rows the curve is where the line between them is, and as fast. From one
middle to the next its acceleration is constant: the difference of the two steps, which the safety
layer limits. So the curve keeps the velocity and acceleration limits of the rows everywhere, and
never leaves the range of three rows. The controller's cubics through the middles are this curve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinyvla_ros.arm.safety import Motion
from tinyvla_ros.core.types import ActionChunk


@dataclass(frozen=True)
class Plan:
    """Commands from now until the arm stands still.

    Attributes:
        start_ns: ROS time at which the first row begins; a row is reached when its period ends.
        dt_ns: length of a period.
        commands: (rows, channels) float64 within all limits; the last ones bring the arm to rest.
        channels: names of the columns.
        begin: the motion that it continues.
        curved: (channels,) whether a channel is followed along the curve; others go in lines from
            row to row.
        before: the plan that applies until this one begins; None if the arm stands still.
        made_ns: ROS time at which it was made.
        offset: (channels,) what is subtracted from values that are sent: whole turns of
            continuous joints, whose commands are near the measured value.
        chunk: the chunk it was made from, cut, limited and sent as it is executed; None for a
            hold.
        instruction: the instruction of that chunk.
    """

    start_ns: int
    dt_ns: int
    commands: np.ndarray
    channels: tuple[str, ...]
    begin: Motion
    curved: np.ndarray | bool = False
    before: Plan | None = None
    made_ns: int = 0
    offset: np.ndarray | float = 0.0
    chunk: ActionChunk | None = None
    instruction: str = ""

    @property
    def departs_ns(self) -> int:
        """ROS time at which the curve leaves that of the plan before: half a period early."""
        return self.start_ns - self.dt_ns // 2

    @property
    def end_ns(self) -> int:
        """ROS time at which the last row ends."""
        return self.start_ns + len(self.commands) * self.dt_ns

    def row(self, now_ns: int) -> int:
        """Return the row that applies now: negative before the plan, >= rows after it."""
        return (now_ns - self.start_ns) // self.dt_ns

    def motion(self, now_ns: int) -> Motion:
        """Return the commanded value at ``now_ns`` and its step over the period before.

        Both are interpolated between the ends of two rows, so that a plan whose rows begin at
        other times can continue from there within the same limits. For a curved channel they are
        the control points of the same curve for those other times.
        """
        if now_ns < self.start_ns and self.before is not None:
            return self.before.motion(now_ns)
        if now_ns <= self.start_ns:
            return self.begin
        if now_ns >= self.end_ns:
            return Motion.at_rest(self.commands[-1])
        row, rest_ns = divmod(now_ns - self.start_ns, self.dt_ns)
        before = self._reached(row)
        if rest_ns == 0:
            return before
        after, share = self._reached(row + 1), rest_ns / self.dt_ns
        change = after.step - before.step
        bend = np.where(self.curved, share * (1 - share) / 2 * change, 0.0)
        return Motion(before.value + share * after.step - bend, before.step + share * change)

    def values(self, now_ns: int) -> np.ndarray | None:
        """Return the (channels,) commands to send now: the values to reach one period later.

        None after the plan; before its start, the values that it starts from.
        """
        if self.row(now_ns) >= len(self.commands):
            return None
        return self.motion(now_ns + self.dt_ns).value - self.offset

    def _reached(self, rows: int) -> Motion:
        """Return the motion at the end of the first ``rows`` rows."""
        if rows == 0:
            return self.begin
        last = self.commands[rows - 1]
        return Motion(last, last - (self.commands[rows - 2] if rows >= 2 else self.begin.value))

    def trajectory(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the curve from the time the plan was made, as points for a controller.

        The first point is at or before that time, unless the arm stands still until the plan
        begins: wherever in the curve the controller takes over, it is where it would be anyway.

        Returns:
            (points,) int64 ROS times in ns; (points, channels) positions, and velocities per
            second, zero in the last point of a channel that is a position.
        """
        times, positions, velocities = self.points()
        first = max(int(np.searchsorted(times, self.made_ns, side="right")) - 1, 0)
        return times[first:], positions[first:] - self.offset, velocities[first:]

    def forget_before(self, now_ns: int) -> Plan:
        """Return the plan without what lies before the time ``now_ns``."""
        if self.before is None:
            return self
        before = None if self.departs_ns <= now_ns else self.before.forget_before(now_ns)
        return replace(self, before=before)

    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return all points that are known of the curve; see ``trajectory``."""
        begin = self.begin
        rows = np.concatenate([[begin.value - begin.step, begin.value], self.commands])
        steps = np.diff(rows, axis=0)
        times = self.departs_ns + self.dt_ns * np.arange(len(steps))
        own = times, rows[1:] - steps / 2, steps / (self.dt_ns / 1e9)
        if self.before is None:
            return own
        earlier = self.before.points()
        kept = earlier[0] < self.departs_ns
        return tuple(np.concatenate([a[kept], b]) for a, b in zip(earlier, own, strict=True))
