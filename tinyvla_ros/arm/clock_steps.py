# SPDX-License-Identifier: Apache-2.0
"""Notice that the system's clock was set: by NTP, or by hand."""

from __future__ import annotations

# A difference between ROS time and the steady clock that grows by more than this at once, s.
CLOCK_STEP_S = 0.1


class ClockSteps:
    """Compares ROS time with the steady clock, which nobody sets."""

    def __init__(self):
        self._offset: float | None = None  # ROS time minus steady time, s

    def step(self, now_s: float, now_ns: int) -> str:
        """Say by how much the clock was set since the last call, nothing if it was not.

        Args:
            now_s: steady seconds.
            now_ns: ROS time.
        """
        offset, before = now_ns / 1e9 - now_s, self._offset
        self._offset = offset
        if before is not None and abs(offset - before) > CLOCK_STEP_S:
            return f"the clock was set by {offset - before:+.3f} s"
        return ""
