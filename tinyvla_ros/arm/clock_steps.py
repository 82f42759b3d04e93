# SPDX-License-Identifier: Apache-2.0
"""Detect that the system clock was set, by NTP or by hand."""

from __future__ import annotations

# A change of (ROS time - steady time) between two calls that counts as a step, s.
CLOCK_STEP_S = 0.1


class ClockSteps:
    """Compares ROS time with the steady clock, which cannot be set."""

    def __init__(self):
        self._offset: float | None = None  # ROS time minus steady time, s

    def step(self, now_s: float, now_ns: int) -> str:
        """Return by how much the clock was set since the last call, empty if it was not.

        Args:
            now_s: steady time, s.
            now_ns: ROS time, ns.
        """
        offset, before = now_ns / 1e9 - now_s, self._offset
        self._offset = offset
        if before is not None and abs(offset - before) > CLOCK_STEP_S:
            return f"the clock was set by {offset - before:+.3f} s"
        return ""
