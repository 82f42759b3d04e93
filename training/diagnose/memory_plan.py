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

"""How much memory a training step takes, and the largest batch that fits.

What is there before a step begins is the sum of its tensors. What a step adds is measured with
torch's allocator at several batch sizes; beyond them it grows in a straight line.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np
import torch

from training.learning.batches import Batch
from training.learning.trainer import Trainer

MB = 1e6
# The smallest piece CUDA's caching allocator hands out, bytes.
CUDA_BLOCK = 512


@dataclass(frozen=True)
class MemoryPlan:
    """Memory at the moment of a training step that takes most, in MB (10^6 bytes).

    Attributes:
        weights: those of the policy, frozen ones included, and of the training-only head.
        gradients: those of the weights that are trained.
        optimizer: AdamW's two moments of the weights that are trained.
        averaged: averaged weights; frozen ones have no second copy.
        activations: what a step adds: what the forward pass keeps for the backward pass, and
            temporary tensors.
        other: the batch and the normalizer.
    """

    weights: float
    gradients: float
    optimizer: float
    averaged: float
    activations: float
    other: float

    @property
    def total(self) -> float:
        """The sum, MB."""
        return sum(getattr(self, f.name) for f in fields(self))


class StepMemory:
    """Memory of a training step by batch size.

    Args:
        trainer: a trainer whose weights may change.
        draw: returns a batch of a given number of observations.
    """

    def __init__(self, trainer: Trainer, draw: Callable[[int], Batch]):
        self._trainer, self._draw = trainer, draw
        # The first step allocates gradients and moments; the second is like all others.
        trainer.train_step(draw(1).to(trainer.process.device), False)
        trained, learner = trainer.trained.values(), trainer.learner
        states = trainer.optimizer.state.values()
        self._weights = _megabytes(learner.parameters())
        self._trained = _megabytes(trained)
        self._gradients = _megabytes(p.grad for p in trained if p.grad is not None)
        self._moments = _megabytes(t for state in states for t in state.values())
        self._buffers = _megabytes(learner.buffers())
        self._inputs: dict[int, float] = {}
        self._added: dict[int, float] = {}

    @property
    def largest_measured(self) -> int:
        """The largest batch size that was measured."""
        return max(self._added)

    def measure(self, batch_size: int, free: float = float("inf")) -> None:
        """Measure steps of 1, 2, 4 ... up to ``batch_size`` observations.

        Args:
            batch_size: at least 2 are measured.
            free: memory that may be used, MB; larger batches are left out.
        """
        batch_size = max(2, batch_size)
        size = 1
        while size <= 2 or self._linear(self._added, size) < free:
            batch = self._draw(size).to(self._trainer.process.device)
            tensors = [*batch.images, *(getattr(batch, f.name) for f in fields(batch)[1:])]
            self._inputs[size] = _megabytes(tensors)
            self._added[size] = measure_peak(
                lambda batch=batch: self._trainer.train_step(batch, False),
                self._trainer.process.device)
            if size == batch_size:
                return
            size = min(2 * size, batch_size)

    def plan(self, batch_size: int) -> MemoryPlan:
        """Return the memory of a step; ``measure`` comes first."""
        return MemoryPlan(
            self._weights, self._gradients, self._moments, self._trained,
            self._linear(self._added, batch_size),
            self._buffers + self._linear(self._inputs, batch_size))

    def largest_batch(self, limit: float) -> int:
        """Return the largest batch size whose memory is within ``limit`` MB; 0 for none."""
        if self.plan(1).total > limit:
            return 0
        fits, beyond = 1, 2
        while self.plan(beyond).total <= limit:
            fits, beyond = beyond, 2 * beyond
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            fits, beyond = (middle, beyond) if self.plan(middle).total <= limit else (fits, middle)
        return fits

    @staticmethod
    def _linear(known: dict[int, float], size: int) -> float:
        sizes = sorted(known)
        if size <= sizes[-1]:
            return float(np.interp(size, sizes, [known[s] for s in sizes]))
        small, large = sizes[-2:]
        slope = (known[large] - known[small]) / (large - small)
        return known[large] + slope * (size - large)


def measure_peak(work: Callable[[], object], device: str) -> float:
    """Return how much more memory torch's allocator held during ``work`` than before, MB.

    Args:
        work: what to run; what it returns is dropped.
        device: torch device whose memory counts.
    """
    if device.startswith("cuda"):
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return (torch.cuda.max_memory_allocated(device) - before) / MB
    # Garbage that is collected in between would count as negative.
    gc.collect()
    with torch.autograd.profiler.profile(profile_memory=True, use_kineto=False) as profile:
        work()
    events = sorted((e.start_ns(), e.nbytes()) for e in profile.kineto_results.events()
                    if e.name() == "[memory]")
    used = most = 0
    for _, size in events:
        used += size
        most = max(most, used)
    return most / MB


def _megabytes(tensors: Iterable[torch.Tensor]) -> float:
    """Return the memory of tensors that share none."""
    return sum(-(-t.nbytes // CUDA_BLOCK) * CUDA_BLOCK if t.is_cuda else t.nbytes
               for t in tensors) / MB
