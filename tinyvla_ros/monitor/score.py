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

"""How unlike a success an episode is so far."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.monitor.monitor_file import Calibration

# An observation stands for the time since the one before, but not for longer, s.
LONGEST_STEP_S = 0.5
# What an observation stands for where there is none before, s.
FIRST_STEP_S = 0.05


@dataclass(frozen=True)
class NoveltyLevel:
    """The novelty of an episode after an observation.

    The sum grows with time as well: an episode that looks familiar and takes longer than successes
    do is unlike them, too.

    Attributes:
        seconds: since the first observation.
        mean: over the last part.
        total: summed over time, unit s.
    """

    seconds: float
    mean: float
    total: float


class NoveltyTrace:
    """Follows the novelty of an episode.

    Args:
        window: of the mean, s.
        pause: after so long without an observation something new begins, s.
    """

    def __init__(self, window: float, pause: float):
        self._window, self._pause = window, pause
        self._recent: deque[tuple[float, float, float]] = deque()  # until when, duration, novelty
        self._start_ns = self._last_ns = -1
        self._total = 0.0

    def continues(self, stamp_ns: int) -> bool:
        """Return whether an observation belongs to this episode, and not to a later one."""
        return self._last_ns < 0 or 0 <= stamp_ns - self._last_ns <= self._pause * 1e9

    def add(self, stamp_ns: int, novelty: float) -> NoveltyLevel:
        """Take the novelty of an observation; stamps rise."""
        if self._last_ns < 0:
            self._start_ns, step = stamp_ns, FIRST_STEP_S
        else:
            step = min((stamp_ns - self._last_ns) / 1e9, LONGEST_STEP_S)
        self._last_ns, seconds = stamp_ns, (stamp_ns - self._start_ns) / 1e9
        self._total += step * novelty
        self._recent.append((seconds, step, novelty))
        while self._recent[0][0] <= seconds - self._window:
            self._recent.popleft()
        weights = [max(step, 1e-6) for _, step, _ in self._recent]
        mean = float(np.average([n for *_, n in self._recent], weights=weights))
        return NoveltyLevel(seconds, mean, self._total)


def novelty_ratios(level: NoveltyLevel, calibration: Calibration) -> tuple[float, float]:
    """Return mean and sum of the novelty, each divided by what is 1 at this time."""
    limit = np.interp(level.seconds, calibration.times, calibration.sums)
    return level.mean / calibration.scale, level.total / float(limit)
