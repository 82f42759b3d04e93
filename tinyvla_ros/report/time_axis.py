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

"""One time axis for everything in a bag: the robot's own clock where it can be trusted.

Images and joint states carry stamps; diagnostics and arrivals of chunks have only receive times.
In simulation the two clocks run at different speeds, so one is mapped to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# A clock was reset if stamps of a stream go back by more, s.
STEP_BACK_S = 0.2
# Stamps have jumped if they span more than this ratio of the recording, and these seconds.
MAX_RATIO, MAX_EXTRA_S = 4.0, 5.0
# Stamps this near to receive times are of the same clock, s.
SAME_CLOCK_S = 1.0

Pairs = Sequence[tuple[int, int]]


class TimeAxis:
    """Seconds since the first observation.

    Attributes:
        problem: why receive time is used instead of stamps, empty if stamps are.
        lockstep: simulation time stands still during inference.

    Args:
        streams: topic -> (receive time, stamp) of its messages, ns; stamps of 0 are ignored.
        clock: (receive time, simulation time) of /clock, ns.
        lockstep: as above.
        received: receive time of the first and the last message, ns.
    """

    def __init__(self, streams: Mapping[str, Pairs], clock: Pairs, lockstep: bool,
                 received: tuple[int, int]):
        stamped = {t: np.array([p for p in pairs if p[1] > 0], np.int64).reshape(-1, 2)
                   for t, pairs in streams.items()}
        stamped = {t: pairs for t, pairs in stamped.items() if len(pairs)}
        self.problem = _problem(stamped, received)
        self.lockstep = lockstep and not self.problem
        self._pairs = np.zeros((0, 2), np.int64)  # empty: receive time is the axis
        if not self.problem:
            self._pairs = _mapping(stamped, np.array(clock, np.int64).reshape(-1, 2))
        if self.problem:
            self.start_ns = received[0]
        else:
            self.start_ns = min(int(p[:, 1].min()) for p in stamped.values())

    def received(self, log_ns: int) -> float:
        """Return the second of a message without a stamp."""
        return self.seconds(self._mapped(log_ns))

    def stamped(self, stamp_ns: int, log_ns: int) -> float:
        """Return the second of a message with a stamp; of one stamped 0 when it was received."""
        return self.seconds(self.ns(stamp_ns, log_ns))

    def ns(self, stamp_ns: int, log_ns: int) -> int:
        """Return ``stamped`` in nanoseconds of the axis' own clock."""
        return self._mapped(log_ns) if self.problem or stamp_ns <= 0 else stamp_ns

    def taken_over_ns(self, stamp_ns: int, log_ns: int) -> int:
        """Return when a chunk of an observation with this stamp could first be executed."""
        if self.lockstep:
            return stamp_ns
        return max(self.ns(stamp_ns, log_ns), self._mapped(log_ns))

    def seconds(self, ns: int) -> float:
        """Return the second of a time of the axis' own clock."""
        return max(0.0, (ns - self.start_ns) / 1e9)

    def _mapped(self, log_ns: int) -> int:
        if not len(self._pairs):
            return log_ns
        # Simulation time advances in steps: the last one received applies.
        at = int(np.searchsorted(self._pairs[:, 0], log_ns, "right")) - 1
        return int(self._pairs[max(0, at), 1])


def _problem(stamped: Mapping[str, np.ndarray], received: tuple[int, int]) -> str:
    if not stamped:
        return "nothing in this bag has a stamp"
    for topic, pairs in stamped.items():
        back = float(-np.diff(pairs[:, 1]).min(initial=0)) / 1e9
        if back > STEP_BACK_S:
            return f"the stamps of {topic} go back by {back:.1f} s"
    first = min(p[:, 1].min() for p in stamped.values())
    last = max(p[:, 1].max() for p in stamped.values())
    span, length = (last - first) / 1e9, (received[1] - received[0]) / 1e9
    if span > MAX_RATIO * length + MAX_EXTRA_S:
        return f"the stamps span {span:.0f} s of a recording of {length:.1f} s"
    return ""


def _mapping(stamped: Mapping[str, np.ndarray], clock: np.ndarray) -> np.ndarray:
    if len(clock):
        return clock
    longest = max(stamped.values(), key=len)
    offset = float(np.median(longest[:, 0] - longest[:, 1])) / 1e9
    return longest[:0] if abs(offset) < SAME_CLOCK_S else longest
