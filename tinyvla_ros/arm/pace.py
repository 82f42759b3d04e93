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

"""Pace: the same motion in more time, so that less of it happens while the policy computes.

A policy's chunk has one row per control period of the demonstrations. At pace 0.5 each of its rows
takes two control periods: an increment is split between them, a position is reached on a straight
line. Chunks are stretched right after the policy, and what a chunk must continue is compressed
right before it; everything between the two knows control periods only.

::

    policy, increments            |    0.8    |    0.4    |
    executed at pace 0.5          | 0.4 | 0.4 | 0.2 | 0.2 |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from tinyvla_ros.core.types import ActionChunk

SLOWEST = 0.1
# What ``auto`` chooses from, fastest first.
PACES = (1.0, 0.75, 0.5, 1 / 3, 0.25)
# ``auto`` chooses the fastest pace at which so many rows or fewer pass between an image and the
# command, measured (docs/benchmarks.md).
MOST_ROWS = 4.5
# It returns to a faster one where that leaves this margin.
MARGIN = 0.8


def _check_pace(pace: object) -> object:
    is_number = isinstance(pace, int | float) and not isinstance(pace, bool)
    if pace != "auto" and not (is_number and SLOWEST <= pace <= 1.0):
        raise ValueError(f"give auto, or a number from {SLOWEST:g} to 1")
    return pace


PaceSetting = Annotated[float | Literal["auto"], BeforeValidator(_check_pace)]
# Of commands and nodes.
PaceOption = Annotated[float, Field(
    ge=0.0, le=1.0, description="How fast chunks are executed, see docs/arm.md: 1 as "
    "demonstrated, 0.5 in twice the time; 0 for the contract's execution.pace.")]


class PaceChooser:
    """Chooses the pace of the next chunk.

    Attributes:
        pace: the last one chosen.

    Args:
        setting: a pace, or ``auto``.
        dt: control period, s.
    """

    def __init__(self, setting: float | Literal["auto"], dt: float):
        self._setting, self._dt = setting, dt
        self.pace = PACES[0] if setting == "auto" else setting

    def choose(self, delay: float) -> float:
        """Return the pace for a chunk that is expected ``delay`` seconds after its image."""
        if self._setting == "auto":
            limit, floor = (self._fastest(delay, share) for share in (1.0, MARGIN))
            self.pace = min(max(self.pace, floor), limit)
        return self.pace

    def _fastest(self, delay: float, share: float) -> float:
        rows = delay / self._dt
        return next((p for p in PACES if rows * p <= share * MOST_ROWS + 1e-9), PACES[-1])


def stretch(chunk: ActionChunk, pace: float, rates: np.ndarray) -> ActionChunk:
    """Return a chunk with the same control period that takes ``1 / pace`` times as long.

    Args:
        chunk: of a policy.
        pace: from ``SLOWEST`` to 1, which returns the chunk itself.
        rates: (channels,) bool, whether a channel is an increment or a velocity, which becomes
            smaller; what others hold is reached later.
    """
    if pace == 1.0:
        return chunk
    rows = len(chunk.actions)
    # Not one row less because of a rounding error.
    ends = np.arange(1, int(rows / pace + 1e-9) + 1) * pace
    actions = np.where(rates, _mean_rates(chunk.actions, ends, pace) * pace,
                       _reached(chunk.actions, ends))
    return replace(chunk, actions=actions.astype(np.float32))


def compress(executed: np.ndarray, pace: float, rates: np.ndarray) -> np.ndarray:
    """Return the (n, channels) float64 rows of a policy that ``(m, channels)`` executed ones are.

    The inverse of ``stretch``, as far as whole rows go.
    """
    if pace == 1.0:
        return executed
    ends = np.arange(1, int(len(executed) * pace + 1e-9) + 1) / pace
    return np.where(rates, _mean_rates(executed, ends, 1 / pace) / pace,
                    _reached(executed, ends))


def _mean_rates(values: np.ndarray, ends: np.ndarray, length: float) -> np.ndarray:
    """Return the mean of rows over spans of ``length`` rows that end at ``ends``."""
    way = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0, np.float64)])
    times = np.arange(len(way))
    return np.stack([np.interp(ends, times, w) - np.interp(ends - length, times, w)
                     for w in way.T], axis=1) / length


def _reached(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return what is reached at ``ends``; row i is reached at its end, i + 1."""
    times = np.arange(1, len(values) + 1)
    return np.stack([np.interp(ends, times, v) for v in values.T.astype(np.float64)], axis=1)
