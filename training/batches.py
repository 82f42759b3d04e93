# SPDX-License-Identifier: Apache-2.0
"""Random batches of demonstrations: balanced over tasks, images shifted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tinyvla_ros.policy import to_network_image
from training.dataset import Demonstrations


@dataclass(frozen=True)
class Batch:
    """One training batch, raw units.

    Attributes:
        images: per camera (B, 3, H, W) float in [-1, 1].
        state: (B, state) float32.
        instruction: (B,) int64.
        actions: (B, horizon, channels) float32.
        valid: (B, horizon) float32, 0 past the end of the demonstration.
        future: (B, len(future_frames), state) float32 states later in the same episode.
    """

    images: list[torch.Tensor]
    state: torch.Tensor
    instruction: torch.Tensor
    actions: torch.Tensor
    valid: torch.Tensor
    future: torch.Tensor


class BatchSampler:
    """Draw batches from some episodes of a dataset.

    Args:
        data: the demonstrations.
        episodes: indices of the episodes to draw from.
        horizon: control steps per chunk.
        future_frames: how many frames ahead ``Batch.future`` looks, clamped to the episode.
        shift: images move by up to this many pixels (DrQ, Yarats et al. 2021); 0 for none.
        rng: source of randomness.
    """

    def __init__(self, data: Demonstrations, episodes: np.ndarray, horizon: int,
                 future_frames: tuple[int, ...], shift: int, rng: np.random.Generator):
        self._data, self._horizon, self._future = data, horizon, np.array(future_frames, int)
        self._shift, self._rng = shift, rng
        frames = np.concatenate([np.arange(data.starts[e], data.ends[e]) for e in episodes])
        self._end_of = np.zeros(len(data.states), np.int64)
        for e in episodes:
            self._end_of[data.starts[e]:data.ends[e]] = data.ends[e]
        tasks = data.task_index[frames]
        self._by_task = [frames[tasks == t] for t in np.unique(tasks)]

    def draw(self, size: int) -> Batch:
        """Draw a batch; every task gets an equal share in expectation."""
        rng, data = self._rng, self._data
        tasks = rng.integers(len(self._by_task), size=size)
        frames = np.array([self._by_task[t][rng.integers(len(self._by_task[t]))] for t in tasks])
        order = np.sort(frames)  # memory-mapped reads go forward
        images = self._shifted(data.images[order])
        chunks = [data.chunk(f, self._horizon, self._end_of[f]) for f in order]
        later = np.minimum(order[:, None] + self._future, self._end_of[order][:, None] - 1)
        return Batch(
            [to_network_image(torch.from_numpy(images[:, c])) for c in range(images.shape[1])],
            torch.from_numpy(data.states[order]),
            torch.from_numpy(data.task_index[order]),
            torch.from_numpy(np.stack([c[0] for c in chunks])),
            torch.from_numpy(np.stack([c[1] for c in chunks])),
            torch.from_numpy(data.states[later]))

    def _shifted(self, images: np.ndarray) -> np.ndarray:
        """Shift every image of (B, cameras, H, W, 3) on its own, repeating the border."""
        if not self._shift:
            return images
        s, (size, cameras, height, width, _) = self._shift, images.shape
        padded = np.pad(images, ((0, 0), (0, 0), (s, s), (s, s), (0, 0)), mode="edge")
        out = np.empty_like(images)
        offsets = self._rng.integers(0, 2 * s + 1, (size, cameras, 2))
        for b in range(size):
            for c in range(cameras):
                y, x = offsets[b, c]
                out[b, c] = padded[b, c, y:y + height, x:x + width]
        return out
