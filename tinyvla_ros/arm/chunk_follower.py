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

"""Follow action chunks by time, as an arm's controller does."""

from __future__ import annotations

import numpy as np

from tinyvla_ros.core.types import ActionChunk


class ChunkFollower:
    """Action to execute now, from the newest chunk.

    A new chunk replaces the old one at once and is followed from the row of the current time on.
    Past the last row the robot holds.
    """

    def __init__(self):
        self._chunk: ActionChunk | None = None
        self._not_before_ns = 0

    def reset(self, now_ns: int) -> None:
        """Start an episode: chunks computed from earlier observations are refused."""
        self._chunk, self._not_before_ns = None, now_ns

    def accept(self, chunk: ActionChunk) -> bool:
        """Take a chunk; False if it is older than the one followed or than the episode."""
        if chunk.stamp_ns < self._not_before_ns:
            return False
        if self._chunk is not None and chunk.stamp_ns < self._chunk.stamp_ns:
            return False
        self._chunk = chunk
        return True

    def action(self, now_ns: int) -> np.ndarray | None:
        """Return the (channels,) action for now, None to hold."""
        if self._chunk is None:
            return None
        row = self._chunk.index_at(now_ns)
        if not 0 <= row < len(self._chunk.actions):
            return None
        return self._chunk.actions[row]
