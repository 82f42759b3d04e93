# SPDX-License-Identifier: Apache-2.0
"""How much memory a training step takes: computed without allocating it, and measured.

Computed: the step runs on fake tensors, which have shapes and no storage
(https://docs.pytorch.org/docs/stable/torch.compiler_fake_tensor.html), and every storage that
torch would have allocated is counted from its birth to its death. torch's ``MemTracker`` does the
same and takes ten times as long, because it keeps a snapshot per module; it also counts the
averaged weights as weights.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.pretrained import BaseModelSource
from training.learning.batches import Batch
from training.learning.learner import Learner
from training.learning.recipe import Recipe
from training.learning.trainer import use_bfloat16

MB = 1e6
# The smallest piece CUDA's caching allocator hands out, bytes.
CUDA_BLOCK = 512


@dataclass(frozen=True)
class MemoryPlan:
    """Memory at the moment of a training step that takes most, in MB (10^6 bytes).

    Attributes:
        weights: those of the policy, frozen ones included, and of the training-only head.
        gradients: those alive at that moment.
        optimizer: AdamW's two moments of the weights that are trained.
        averaged: averaged weights; frozen ones have no second copy.
        activations: what the forward pass keeps for the backward pass, and temporary tensors.
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


def compute_plan(recipe: Recipe, config: PolicyConfig, batch_size: int,
                 device: str = "cpu") -> MemoryPlan:
    """Compute the memory of a training step without allocating it.

    Args:
        recipe: how it is trained.
        config: the policy's, for the number of instructions.
        batch_size: observations per step, in place of the recipe's.
        device: torch device; it must exist, because torch chooses its kernels by it.
    """
    bfloat16 = use_bfloat16(recipe.optimization.precision, device)
    with FakeTensorMode():
        with torch.device(device):
            learner = Learner(recipe, config, _empty_normalizer(config),
                              BaseModelSource(weights=False))
            batch = _empty_batch(recipe, batch_size)
        trained = [p for p in learner.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained)
        # Gradients and moments come into being in the first step; the second is like all others.
        _step(learner, optimizer, batch, bfloat16)
        peak = _Peak(learner)
        with peak:
            _step(learner, optimizer, batch, bfloat16)
        weights, averaged = (sum(map(_size, p)) for p in (learner.parameters(), trained))
        moments = sum(_size(t) for state in optimizer.state.values() for t in state.values())
        inputs = [*batch.images, *(getattr(batch, f.name) for f in fields(batch)[1:])]
        other = sum(map(_size, [*inputs, *learner.buffers()]))
    return MemoryPlan(weights / MB, peak.gradients / MB, moments / MB, averaged / MB,
                      (peak.most - peak.gradients) / MB, other / MB)


def largest_batch(total: Callable[[int], float], limit: float, start: int) -> int:
    """Return the largest batch size whose memory is within a limit; 0 if not even 1 fits.

    Memory grows nearly in proportion: a line through two sizes finds the size in few attempts.

    Args:
        total: memory by batch size, MB, increasing.
        limit: MB.
        start: a batch size to begin with.
    """
    known = {1: total(1)}
    if known[1] > limit:
        return 0
    size = max(2, start)
    while True:
        known[size] = total(size)
        fits = max(s for s in known if known[s] <= limit)
        beyond = min((s for s in known if known[s] > limit), default=None)
        if beyond == fits + 1:
            return fits
        small, large = (fits, beyond) if beyond else sorted(known)[-2:]
        slope = (known[large] - known[small]) / (large - small)
        size = int(small + (limit - known[small]) / slope)
        if size in known:
            size = fits + 1
        # Convexity can only make a guess too large, never outside of what is bracketed.
        size = max(size, fits + 1) if beyond is None else min(max(size, fits + 1), beyond - 1)


def measure_peak(work: Callable[[], object], device: str) -> float:
    """Return the most memory that torch's allocator held for ``work``, MB.

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


class _Peak(TorchDispatchMode):
    """Sum up the storages that operations allocate, and keep the largest sum.

    Attributes:
        most: the largest sum, bytes, gradients included.
        gradients: the part of it that was gradients of weights.
    """

    def __init__(self, learner: Learner):
        super().__init__()
        self.most = self.gradients = self._used = 0
        self._parameters = [(p, _size(p)) for p in learner.parameters() if p.requires_grad]
        # Storages that are there from the beginning and counted by the caller.
        self._seen = {id(p.untyped_storage()) for p in learner.parameters()}
        for parameter, _ in self._parameters:
            self._add(parameter.grad)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation and count what it allocates."""
        arguments = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs))
                     if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            # A result that lies in an argument's storage is a view or was written in place.
            if isinstance(tensor, torch.Tensor) and \
                    id(tensor.untyped_storage()) not in arguments:
                self._add(tensor)
        return result

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self._seen:
            return
        size = _size(tensor)
        self._seen.add(id(storage))
        weakref.finalize(storage, self._remove, id(storage), size)
        self._used += size
        if self._used > self.most:
            self.most = self._used
            self.gradients = sum(n for p, n in self._parameters if p.grad is not None)

    def _remove(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._used -= size


def _step(learner: Learner, optimizer, batch: Batch, bfloat16: bool) -> None:
    """Allocate as ``Trainer`` does; the averaging of weights allocates nothing."""
    options = learner.options
    with torch.autocast(batch.state.device.type, torch.bfloat16, enabled=bfloat16):
        loss, future = learner(batch)
    total = loss + options.future_weight * future
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    parameters = [p for p in learner.parameters() if p.requires_grad]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if options.gradient_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, options.gradient_norm, norm)
    optimizer.step()


def _size(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor's storage."""
    size = tensor.untyped_storage().nbytes()
    return -(-size // CUDA_BLOCK) * CUDA_BLOCK if tensor.is_cuda else size


def _empty_normalizer(config: PolicyConfig) -> Normalizer:
    state, channels = torch.empty(len(config.state)), torch.empty(len(config.action.channels))
    return Normalizer(state, state, channels, channels)


def _empty_batch(recipe: Recipe, size: int) -> Batch:
    options, action, state = recipe.optimization, recipe.action, len(recipe.state)
    chunk, rows = (action.horizon, len(action.channels)), size * options.noise_samples
    return Batch(
        tuple(torch.empty(size, c.height, c.width, 3, dtype=torch.uint8)
              for c in recipe.cameras.values()),
        torch.empty(size, state), torch.empty(size, dtype=torch.int64), torch.empty(size, *chunk),
        torch.empty(size, action.horizon), torch.empty(size, len(options.future_frames), state),
        torch.empty(rows, *chunk), torch.empty(rows, dtype=torch.int64), torch.empty(()))
