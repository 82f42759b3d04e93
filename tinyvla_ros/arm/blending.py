# SPDX-License-Identifier: Apache-2.0
"""How a new chunk takes over from the one being executed.

::

    previous chunk   |s0 . . . . . . . . . . . . . . . |
    inference of the next        |<- latency ->|
    next chunk                   |s1 . . . . . ^ . . . . . . . . . . . . . |
                                               executed from here: the seam

Rows stand for times, so what went by while the chunk was computed is skipped in every mode.

- ``replace``: the new chunk as it is.
- ``ensemble``: the mean of all chunks that say something about a time, old ones weighing
  exp(0.01 * age in chunks) more (temporal ensembling, Zhao et al. 2023, arXiv:2304.13705).
- ``rtc``: the new chunk is sampled to go on from the old one. What will have been executed when
  it is ready is held fixed while it is sampled, and the overlap after that is held with a
  weight that falls off (real-time chunking, Black et al. 2025, arXiv:2506.07339; by
  inpainting the clean sample at every DDIM step instead of by gradient guidance).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.core.types import ActionChunk, Prefix

# Temporal ensembling: weight exp(-ENSEMBLE_DECAY * i), i = 0 for the oldest chunk.
ENSEMBLE_DECAY = 0.01


@dataclass(frozen=True)
class Seam:
    """What a join does to the commands.

    Attributes:
        position: largest difference over channels between the first row executed of the new chunk
            and what the old one said for that time, in units of the channels' ranges.
        velocity: largest difference between the slopes before it (old chunk) and after it (new
            chunk), in ranges per second.
    """

    position: float
    velocity: float


class Joiner:
    """Turns the policy's chunks into the ones that are executed.

    Args:
        mode: ``replace``, ``ensemble`` or ``rtc``.
        scale: (channels,) range of each channel, for the seam.
    """

    def __init__(self, mode: str, scale: np.ndarray):
        self._mode, self._scale = mode, np.asarray(scale, np.float64)
        self._raw: deque[ActionChunk] = deque(maxlen=32)
        self.current: ActionChunk | None = None

    def reset(self) -> None:
        """Forget all chunks: the arm was held, or time jumped."""
        self._raw.clear()
        self.current = None

    def prefix(self, stamp_ns: int, ready_ns: int, horizon: int) -> Prefix | None:
        """Return what a chunk to be computed must go on from; None if it is free.

        Args:
            stamp_ns: of the observation it will be computed from.
            ready_ns: when it will be ready.
            horizon: its rows.
        """
        if self._mode != "rtc" or self.current is None:
            return None
        values, known = at_times_of(self.current, stamp_ns, horizon)
        if not known[0]:
            return None
        overlap = int(np.argmin(known)) if not known.all() else horizon
        committed = -((stamp_ns - ready_ns) // self.current.dt_ns)
        committed = min(max(committed, 0), overlap)
        weights = np.zeros(horizon, np.float32)
        weights[:committed] = 1.0
        # Equation 5 of the paper: from 1 at the end of the committed part to 0 at the overlap's.
        c = (overlap - np.arange(committed, overlap)) / (overlap - committed + 1)
        weights[committed:overlap] = c * (np.exp(c) - 1.0) / (math.e - 1.0)
        actions = np.zeros((horizon, self.current.actions.shape[1]), np.float32)
        actions[:overlap] = values[:overlap]
        return Prefix(actions, weights)

    def join(self, chunk: ActionChunk, now_ns: int) -> Seam | None:
        """Take over a new chunk, which becomes ``current``; None if there was nothing to join."""
        old = self.current
        self._raw.append(chunk)
        self.current = self._ensemble(chunk) if self._mode == "ensemble" else chunk
        return self._seam(old, self.current, now_ns) if old is not None else None

    def _ensemble(self, chunk: ActionChunk) -> ActionChunk:
        horizon = len(chunk.actions)
        total, weight = np.zeros(chunk.actions.shape), np.zeros((horizon, 1))
        for age, other in enumerate(self._raw):
            values, known = at_times_of(other, chunk.stamp_ns, horizon)
            w = math.exp(-ENSEMBLE_DECAY * age)
            total[known] += w * values[known]
            weight[known] += w
        actions = (total / weight).astype(np.float32)
        return ActionChunk(chunk.stamp_ns, chunk.channels, actions, chunk.dt, chunk.latency_s)

    def _seam(self, old: ActionChunk, new: ActionChunk, now_ns: int) -> Seam | None:
        """Compare both at the time they change places."""
        first = new.index_at(now_ns)
        start_ns = new.stamp_ns + first * new.dt_ns
        said, known = at_times_of(old, start_ns - old.dt_ns, 2)  # the row before, and this one
        if not (known.all() and 0 <= first < len(new.actions) - 1):
            return None  # the old one ran out, or had not begun
        position = new.actions[first] - said[1]
        slopes = (new.actions[first + 1] - new.actions[first] - (said[1] - said[0])) / new.dt
        return Seam(float((np.abs(position) / self._scale).max()),
                    float((np.abs(slopes) / self._scale).max()))


def at_times_of(chunk: ActionChunk, stamp_ns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Say what a chunk commands at the times of the rows of one stamped ``stamp_ns``.

    Cameras do not keep to the control period: between two rows of the chunk it is interpolated.

    Returns:
        (rows, channels) float64 values, and (rows,) whether the chunk says anything about them.
    """
    shift, rest_ns = divmod(stamp_ns - chunk.stamp_ns, chunk.dt_ns)
    row = shift + np.arange(rows)
    last = len(chunk.actions) - 1
    before = chunk.actions[np.clip(row, 0, last)].astype(np.float64)
    after = chunk.actions[np.clip(row + 1, 0, last)]
    known = (row >= 0) & (row + (rest_ns > 0) <= last)
    return before + rest_ns / chunk.dt_ns * (after - before), known
