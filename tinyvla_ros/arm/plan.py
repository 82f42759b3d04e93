# SPDX-License-Identifier: Apache-2.0
"""A plan: the commands that are sent to the arm, with their times."""

from __future__ import annotations

from dataclasses import dataclass

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
        chunk: the chunk it was made from, cut and limited as it is executed; None for a hold.
        instruction: the instruction of that chunk.
    """

    start_ns: int
    dt_ns: int
    commands: np.ndarray
    channels: tuple[str, ...]
    begin: Motion
    chunk: ActionChunk | None = None
    instruction: str = ""

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
        other times can continue from there within the same limits.
        """
        if now_ns <= self.start_ns:
            return self.begin
        if now_ns >= self.end_ns:
            return Motion.at_rest(self.commands[-1])
        row, rest_ns = divmod(now_ns - self.start_ns, self.dt_ns)
        before = self._reached(row)
        if rest_ns == 0:
            return before
        after, share = self._reached(row + 1), rest_ns / self.dt_ns
        return Motion(before.value + share * after.step,
                      before.step + share * (after.step - before.step))

    def values(self, now_ns: int) -> np.ndarray | None:
        """Return the (channels,) commands to send now: the values to reach one period later.

        None after the plan; before its start, the values that it starts from.
        """
        if self.row(now_ns) >= len(self.commands):
            return None
        return self.motion(now_ns + self.dt_ns).value

    def _reached(self, rows: int) -> Motion:
        """Return the motion at the end of the first ``rows`` rows."""
        if rows == 0:
            return self.begin
        last = self.commands[rows - 1]
        return Motion(last, last - (self.commands[rows - 2] if rows >= 2 else self.begin.value))

    def slopes(self) -> np.ndarray:
        """Return (rows, channels) velocities at the end of each row, per second; the last is zero.

        Each is the harmonic mean of the slopes on both sides, or zero where these differ in sign
        (Fritsch and Butland 1984). A cubic through the rows then never leaves the interval between
        two of them, so the position limits hold between the rows too.
        """
        steps = np.diff(self.commands, axis=0, prepend=self.begin.value[None]) / (self.dt_ns / 1e9)
        left, right = steps, np.concatenate([steps[1:], np.zeros((1, steps.shape[1]))])
        same = left * right > 0
        total = np.where(same, left + right, 1.0)
        return np.where(same, 2.0 * left * right / total, 0.0)
