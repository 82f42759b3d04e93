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

"""Which message belongs to a moment: the one rule of the live node, of replay and of export.

The message whose stamp is nearest, at most a tolerance away, both bounds included. Of two that
are equally near it is the later one, of several with the same stamp the one that came last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from tinyvla_ros.core.errors import MessageError

# A value this much older than the newest of its stream is forgotten.
WINDOW_NS = 1_000_000_000


def nearest_index(stamps: Sequence[int], at_ns: int, tolerance_ns: int) -> int | None:
    """Return the index of the message that belongs to a moment, None if there is none.

    Args:
        stamps: of the messages of one stream, ns, never decreasing.
        at_ns: the moment.
        tolerance_ns: largest distance between the two.
    """
    after = bisect_right(stamps, at_ns)
    best, distance = None, tolerance_ns
    if after and at_ns - stamps[after - 1] <= distance:
        best, distance = after - 1, at_ns - stamps[after - 1]
    if after < len(stamps) and stamps[after] - at_ns <= distance:
        best = bisect_right(stamps, stamps[after]) - 1
    return best


class StampedValues:
    """The newest values of one stream and their stamps, which never decrease.

    Args:
        length: at most so many are kept.
    """

    def __init__(self, length: int):
        self.stamps: deque[int] = deque(maxlen=length)
        self.values: deque = deque(maxlen=length)
        self._late: int | None = None

    def clear(self) -> None:
        """Forget everything."""
        self.stamps.clear()
        self.values.clear()
        self._late = None

    def is_clock_reset(self, stamp_ns: int) -> bool:
        """Return whether a stamp confirms that the clock was set back.

        Raises:
            MessageError: it is older than the newest one and nothing confirms it yet.
        """
        if not self.stamps or stamp_ns >= self.stamps[-1]:
            self._late = None
            return False
        if self._late is not None and stamp_ns >= self._late:
            return True
        self._late = stamp_ns
        older = (self.stamps[-1] - stamp_ns) / 1e9
        raise MessageError(f"The stamp is {older:.3f} s older than that of the message before; "
                           "messages must come in order.")

    def append(self, stamp_ns: int, value) -> None:
        """Add a value that is not older than the newest one."""
        self.stamps.append(stamp_ns)
        self.values.append(value)
        while self.stamps[0] < stamp_ns - WINDOW_NS:
            self.stamps.popleft()
            self.values.popleft()

    def nearest(self, stamp_ns: int, tolerance_ns: int):
        """Return the value that belongs to a moment, None if there is none."""
        index = nearest_index(self.stamps, stamp_ns, tolerance_ns)
        return None if index is None else self.values[index]
