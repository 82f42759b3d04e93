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

"""Whether messages of one topic come from several publishers, by the numbers they carry."""

from __future__ import annotations

from collections import deque

# Steps back of the numbers within so long that mean several publishers, s. A publisher that starts
# again makes one, because it counts from 1.
WINDOW_S = 5.0
STEPS_BACK = 2


class Interleaving:
    """Sees that publishers alternate: each numbers its own messages, so the numbers go back.

    Publishers in the graph prove nothing: one may be silent, or gone without a word.
    """

    def __init__(self):
        self._number: int | None = None
        self._steps_back: deque[float] = deque(maxlen=STEPS_BACK)

    def arrived(self, number: int | None, now_s: float) -> None:
        """Note a message's number; None if the middleware gives none. Steady seconds."""
        if number is None:
            return
        if self._number is not None and number <= self._number:
            self._steps_back.append(now_s)
        self._number = number

    def is_mixed(self, now_s: float) -> bool:
        """Return whether several publishers sent messages lately."""
        return len(self._steps_back) == STEPS_BACK and now_s - self._steps_back[0] < WINDOW_S
