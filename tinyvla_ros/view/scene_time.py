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

"""One time for all that is viewed: the robot's, which goes on from the receive time."""

from __future__ import annotations

# A stamp this far from the time of its arrival is of another clock, s.
SAME_CLOCK_S = 5.0
# Simulation time that goes back by more was reset, s.
STEP_BACK_S = 0.2


class SceneTime:
    """Puts receive times, stamps and simulation time on one axis that never goes back.

    It is the receive time until ``/clock`` comes. From then on the axis advances with simulation
    time: in lock-step it stands still during inference, and a plan is as long as its execution.
    Simulation time that begins anew, as with every episode, goes on where it was.
    """

    def __init__(self):
        self._simulated_ns: int | None = None  # the last of /clock
        self._offset_ns = 0  # from simulation time to the axis
        self._now_ns = 0

    def tick(self, simulated_ns: int, received_ns: int) -> None:
        """Take the time of a ``/clock`` message, ns."""
        last = self._simulated_ns
        if last is None or simulated_ns < last - STEP_BACK_S * 1e9:
            self._offset_ns = self.now(received_ns) - simulated_ns
        self._simulated_ns = simulated_ns

    def now(self, received_ns: int) -> int:
        """Return the time of what has no stamp, ns."""
        now = received_ns if self._simulated_ns is None else self._simulated_ns + self._offset_ns
        self._now_ns = max(self._now_ns, now)
        return self._now_ns

    def stamped(self, stamp_ns: int, received_ns: int) -> int:
        """Return the time of what has a stamp, ns; when it came if the stamp is of another clock.

        Stamps may lie before or after ``now``.
        """
        now = self.now(received_ns)
        at = stamp_ns + self._offset_ns
        return at if stamp_ns > 0 and abs(at - now) <= SAME_CLOCK_S * 1e9 else now
