# SPDX-License-Identifier: Apache-2.0
"""Commands with their times, as the outputs get them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyvla_ros.arm.safety import Motion
from tinyvla_ros.core.types import ActionChunk


@dataclass(frozen=True)
class Plan:
    """What the arm is to do from now on, down to standing still.

    Attributes:
        start_ns: when the first row begins, ROS time; a row is reached at the end of its period.
        dt_ns: length of a row.
        commands: (rows, channels) float64 within all limits; the last ones bring the arm to rest.
        channels: names of the columns.
        begin: the motion it goes on from.
        chunk: the chunk it was made from, with what of it is executed; None for a hold.
        instruction: what it was computed for.
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
        """When the last row ends."""
        return self.start_ns + len(self.commands) * self.dt_ns

    def row(self, now_ns: int) -> int:
        """Return the row that applies now: negative before the plan, >= rows after it."""
        return (now_ns - self.start_ns) // self.dt_ns

    def motion(self, now_ns: int) -> Motion:
        """Return where the arm is to be at ``now_ns`` and what it moved in the period before.

        Between the ends of two rows both are interpolated, so that a plan whose rows begin at
        other times can go on from there within the same limits.
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
        return Motion(before.value + share * after.change,
                      before.change + share * (after.change - before.change))

    def values(self, now_ns: int) -> np.ndarray | None:
        """Return the (channels,) commands for now, to be reached a period later; None after it.

        Before it begins, what it goes on from.
        """
        if self.row(now_ns) >= len(self.commands):
            return None
        return self.motion(now_ns + self.dt_ns).value

    def _reached(self, rows: int) -> Motion:
        """Return the motion at the end of a number of rows."""
        if rows == 0:
            return self.begin
        last = self.commands[rows - 1]
        return Motion(last, last - (self.commands[rows - 2] if rows >= 2 else self.begin.value))

    def slopes(self) -> np.ndarray:
        """Return (rows, channels) changes per second at the end of each row, the last one zero.

        The harmonic mean of the slopes on both sides, zero where they differ in sign: a cubic
        through the rows then never leaves the range between two of them (Fritsch and Butland
        1984), so what is within the limits stays there between the rows too.
        """
        steps = np.diff(self.commands, axis=0, prepend=self.begin.value[None]) / (self.dt_ns / 1e9)
        left, right = steps, np.concatenate([steps[1:], np.zeros((1, steps.shape[1]))])
        same = left * right > 0
        total = np.where(same, left + right, 1.0)
        return np.where(same, 2.0 * left * right / total, 0.0)
