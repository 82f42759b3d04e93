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

"""Chunk blending: how a new chunk takes over from the one being executed.

::

    previous chunk   |s0 . . . . . . . . . . . . . . . |
    inference of the next        |<- latency ->|
    next chunk                   |s1 . . . . . ^ . . . . . . . . . . . . . |
                                               executed from here: the seam

Each row belongs to a time. In every mode the rows whose time passed during inference are skipped.

- ``replace``: the new chunk unchanged.
- ``ensemble``: the weighted mean of all chunks that cover a time; an older chunk weighs
  exp(0.01 * age in chunks) times as much (temporal ensembling, Zhao et al. 2023,
  arXiv:2304.13705).
- ``rtc``: the new chunk is sampled so that it continues the old one. Rows that will have been
  executed when it is ready are held fixed; the rest of the overlap is held with decreasing weight
  (real-time chunking, Black et al. 2025, arXiv:2506.07339; here by inpainting the clean sample
  at every DDIM step instead of by gradient guidance).
- ``committed``: only rows that will have been executed are held fixed, and the policy was trained
  to go on from them (arXiv:2512.05964), which costs nothing when it runs.
- ``auto``: ``committed`` for a checkpoint that was trained for it, ``replace`` for others.

Rows of increments or velocities that were skipped leave something undone: the arm executed those
of the old chunk instead. The difference is made up for in the rows that follow, ``catch_up`` of
what is left of it in each, so that the arm gets where the new chunk leads. Positions need none of
this.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tinyvla_ros.arm.pace import compress
from tinyvla_ros.core.angles import nearest, unwrapped
from tinyvla_ros.core.types import ActionChunk, Prefix

# Temporal ensembling: weight exp(-ENSEMBLE_DECAY * i), i = 0 for the oldest chunk.
ENSEMBLE_DECAY = 0.01

# So many rows' worth of an increment of 1 are made up for.
NOTHING_LEFT = 1e-4

ChunkBlending = Literal["auto", "replace", "ensemble", "rtc", "committed"]


@dataclass(frozen=True)
class Seam:
    """The discontinuity where a new chunk takes over, as the largest over the channels.

    Attributes:
        position: first executed row of the new chunk minus the old chunk's value for that time,
            as a fraction of the channel's range.
        velocity: slope after it (new chunk) minus slope before it (old chunk), in ranges per
            second.
    """

    position: float
    velocity: float


class ChunkBlender:
    """Turns the policy's chunks into the chunks that are executed.

    Attributes:
        current: the chunk being executed; None before the first.

    Args:
        mode: how; not ``auto``.
        ranges: (channels,) high minus low of each channel, the unit of the seams.
        rates: (channels,) bool, see ``tinyvla_ros.arm.pace``.
        most_committed: most rows that the policy can be given in mode ``committed``.
        catch_up: share of what skipped rates left undone that each row makes up for.
        takeover: how far a chunk may depart from the one before in each row, in ranges, where rows
            were skipped.
        fastest: (channels,) lowest and highest rates to catch up with.
    """

    def __init__(self, mode: ChunkBlending, ranges: np.ndarray, rates: np.ndarray | bool = False,
                 most_committed: int = 0, catch_up: float = 0.0, takeover: float = 1.0,
                 fastest: tuple[np.ndarray, np.ndarray] = (np.zeros(1), np.zeros(1))):
        self._mode, self._ranges = mode, np.asarray(ranges, np.float64)
        self._rates, self._most_committed = np.asarray(rates), most_committed
        self._catch_up, self._takeover, self._fastest = catch_up, takeover, fastest
        self._raw: deque[ActionChunk] = deque(maxlen=32)
        self.current: ActionChunk | None = None

    def reset(self) -> None:
        """Forget all chunks, because the arm was held or time jumped."""
        self._raw.clear()
        self.current = None

    def prefix(self, stamp_ns: int, ready_ns: int, horizon: int, pace: float = 1.0
               ) -> Prefix | None:
        """Return what the next chunk must continue; None if it is free.

        Args:
            stamp_ns: stamp of the observation that it will be computed from.
            ready_ns: time at which it will be ready.
            horizon: number of its rows.
            pace: at which it will be executed.
        """
        if self._mode not in ("rtc", "committed") or self.current is None:
            return None
        values, known = resample(self.current, stamp_ns, math.ceil(horizon / pace))
        overlap = int(np.argmin(known)) if not known.all() else len(known)
        rows = compress(values[:overlap], pace, self._rates)[:horizon]
        committed = math.ceil(max(ready_ns - stamp_ns, 0) / self.current.dt_ns * pace - 1e-9)
        committed = min(committed, len(rows))
        weights = np.zeros(horizon, np.float32)
        if self._mode == "committed":
            committed = min(committed, self._most_committed)
            if not committed:
                return None
        elif not len(rows):
            return None
        else:
            # Equation 5 of the paper: from 1 at the end of the committed part to 0 at the
            # overlap's.
            c = (len(rows) - np.arange(committed, len(rows))) / (len(rows) - committed + 1)
            weights[committed:len(rows)] = c * (np.exp(c) - 1.0) / (math.e - 1.0)
        weights[:committed] = 1.0
        actions = np.zeros((horizon, self.current.actions.shape[1]), np.float32)
        actions[:len(rows)] = rows
        return Prefix(actions, weights)

    def blend(self, chunk: ActionChunk, now_ns: int, pace: float = 1.0) -> Seam | None:
        """Blend a new chunk into ``current``; return the seam, None where there is none.

        Args:
            chunk: the new chunk.
            now_ns: when it takes over. Its rows before that are replaced by what was executed.
            pace: at which it is executed.
        """
        old = self.current
        self._raw.append(chunk)
        self.current = self._ensemble(chunk) if self._mode == "ensemble" else chunk
        if old is None:
            return None
        self.current = self._after(old, self.current, now_ns, pace)
        return self._seam(old, self.current, now_ns)

    def hand_over(self, chunk: ActionChunk, now_ns: int) -> None:
        """Execute a chunk of another driver as it is, from ``now_ns`` on."""
        old, first = self.current, min(chunk.index_at(now_ns), len(chunk.actions))
        self.reset()
        if old is not None and first > 0:
            before, known = resample(old, chunk.stamp_ns, first)
            actions = chunk.actions.copy()
            actions[:first][known] = before[known]
            chunk = replace(chunk, actions=actions)
        self.current = chunk

    def _after(self, old: ActionChunk, new: ActionChunk, now_ns: int, pace: float) -> ActionChunk:
        """Return a chunk with what was executed of the old one, and with what that left undone."""
        first = min(new.index_at(now_ns), len(new.actions))
        if first <= 0:
            return new
        before, known = resample(old, new.stamp_ns, len(new.actions))
        actions, wanted = new.actions.copy(), new.actions.astype(np.float64)
        actions[:first][known[:first]] = before[:first][known[:first]]
        left = (wanted[:first] - actions[:first]).sum(0) * self._rates
        low, high = (np.where(self._rates, limit * pace, 0.0) for limit in self._fastest)
        # Within those rates, unless the chunk itself is beyond them.
        slower, faster = np.minimum(low - wanted, 0.0), np.maximum(high - wanted, 0.0)
        farthest = (np.arange(len(wanted)) - first + 1)[:, None] * self._takeover * self._ranges
        # At once is without any bound: what is out of range must reach the safety layer as it is.
        farthest[~known | (self._takeover == 1.0)] = np.inf
        before[~known] = 0.0
        is_far = (np.abs(wanted - before) > farthest).any(1)
        last_far = int(np.flatnonzero(is_far)[-1]) if is_far.any() else first - 1
        for i in range(first, len(actions)):
            if i > last_far and self._catch_up * np.abs(left).max() < NOTHING_LEFT:
                break
            more = np.clip(self._catch_up * left, slower[i], faster[i]) * self._rates
            actions[i] = before[i] + np.clip(wanted[i] + more - before[i], -farthest[i],
                                             farthest[i])
            left -= (actions[i] - wanted[i]) * self._rates
        return replace(new, actions=actions)

    def _ensemble(self, chunk: ActionChunk) -> ActionChunk:
        horizon = len(chunk.actions)
        total, weight = np.zeros(chunk.actions.shape), np.zeros((horizon, 1))
        for age, other in enumerate(self._raw):
            values, known = resample(other, chunk.stamp_ns, horizon)
            w = math.exp(-ENSEMBLE_DECAY * age)
            total[known] += w * values[known]
            weight[known] += w
        actions = (total / weight).astype(np.float32)
        return ActionChunk(chunk.stamp_ns, chunk.channels, actions, chunk.dt, chunk.latency_s)

    def _seam(self, old: ActionChunk, new: ActionChunk, now_ns: int) -> Seam | None:
        jumps = seam_jumps(old, new, now_ns)
        if jumps is None:
            return None
        return Seam(*(float((np.abs(jump) / self._ranges).max()) for jump in jumps))


def seam_jumps(old: ActionChunk, new: ActionChunk, now_ns: int
               ) -> tuple[np.ndarray, np.ndarray] | None:
    """Compare two chunks at the time the new one takes over.

    Returns:
        (channels,) difference of the values, in the channels' units, and of the slopes, per
        second; None where the old one ran out, or had not begun.
    """
    first = new.index_at(now_ns)
    start_ns = new.stamp_ns + first * new.dt_ns
    before, known = resample(old, start_ns - old.dt_ns, 2)  # the row before, and this one
    if not (known.all() and 0 <= first < len(new.actions) - 1):
        return None
    position = new.actions[first] - before[1]
    slopes = (new.actions[first + 1] - new.actions[first] - (before[1] - before[0])) / new.dt
    return position, slopes


def resample(chunk: ActionChunk, stamp_ns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a chunk at the times of the rows of another one.

    Stamps are not multiples of the control period, so values are interpolated between rows.

    Args:
        chunk: the chunk to read.
        stamp_ns: stamp of the other chunk.
        rows: number of rows of the other chunk.

    Returns:
        (rows, channels) float64 values, and (rows,) bool: whether the chunk covers that time.
    """
    shift, rest_ns = divmod(stamp_ns - chunk.stamp_ns, chunk.dt_ns)
    row = shift + np.arange(rows)
    last = len(chunk.actions) - 1
    before = chunk.actions[np.clip(row, 0, last)].astype(np.float64)
    after = chunk.actions[np.clip(row + 1, 0, last)]
    known = (row >= 0) & (row + (rest_ns > 0) <= last)
    return before + rest_ns / chunk.dt_ns * (after - before), known


def shortest_way(chunk: ActionChunk, start_ns: int, value: np.ndarray, turn: np.ndarray
                 ) -> ActionChunk:
    """Return a chunk whose continuous channels go on from a value by the shortest way.

    Args:
        chunk: the chunk to go on with.
        start_ns: when it takes over.
        value: (channels,) values before it.
        turn: (channels,) one turn of each channel, 0 for those that do not turn without end.
    """
    if not turn.any():
        return chunk
    actions = unwrapped(chunk.actions, turn)
    first = actions[np.clip(chunk.index_at(start_ns), 0, len(actions) - 1)]
    actions = actions + (nearest(first, value, turn) - first)
    return replace(chunk, actions=actions.astype(np.float32))


def seam_summary(seams: Sequence[Seam]) -> dict[str, float]:
    """Return p50, p99 and maximum of position and velocity of some seams."""
    seams = list(seams)  # one atomic copy: the control thread may append meanwhile
    if not seams:
        return {}
    values = {"seam_position": [s.position for s in seams],
              "seam_velocity": [s.velocity for s in seams]}
    return {f"{name}_{label}": float(np.percentile(v, q)) for name, v in values.items()
            for label, q in (("p50", 50), ("p99", 99), ("max", 100))}
