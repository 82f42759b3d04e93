# SPDX-License-Identifier: Apache-2.0
"""How much memory a training step takes: computed without allocating it, and measured.

Computed: the step runs on fake tensors, which have shapes and no storage
(https://docs.pytorch.org/docs/stable/torch.compiler_fake_tensor.html), and every storage that
torch would have allocated is counted from its birth to its death. torch's own ``MemTracker`` does
the same and gave the same totals; it takes ten times as long, because it keeps a snapshot per
module, and it counts the averaged weights as weights.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tinyvla_ros.normalizer import Normalizer
from tinyvla_ros.policy_config import PolicyConfig
from training.batches import Batch
from training.learner import Learner
from training.recipe import Recipe
from training.trainer import use_bfloat16

MB = 1e6


@dataclass(frozen=True)
class MemoryPlan:
    """Memory at the moment of a training step that takes most, in MB (10^6 bytes).

    Attributes:
        weights: float32 weights, the training-only head included.
        gradients: those alive at that moment.
        optimiser: AdamW's two moments.
        averaged: averaged weights.
        activations: what the forward pass keeps for the backward pass, and temporary tensors.
        other: the batch and the noise schedule.
    """

    weights: float
    gradients: float
    optimiser: float
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
        device: torch device; it must exist, because torch chooses kernels by it.
    """
    with FakeTensorMode(), torch.device(device):
        learner = Learner(recipe, config, _empty_normalizer(config)).to(device)
        parameters = list(learner.parameters())
        optimiser = torch.optim.AdamW(parameters)
        batch = _empty_batch(recipe, batch_size)
        bfloat16 = use_bfloat16(recipe.optimisation.precision, device)
        peak = _Peak(lambda: sum(_bytes(p.grad) for p in parameters if p.grad is not None))
        # In the first step gradients and moments come into being; the second is as all others.
        _step(learner, optimiser, batch, bfloat16)
        gradients = sum(_bytes(p.grad) for p in parameters)
        with peak:
            # The last step's gradients live until this step's backward pass.
            peak.used = gradients
            peak.note()
            _step(learner, optimiser, batch, bfloat16)
    weights = sum(_bytes(p) for p in parameters)
    moments = sum(_bytes(t) for s in optimiser.state.values() for t in s.values())
    inputs = [*batch.images, *(getattr(batch, f.name) for f in fields(batch)[1:])]
    other = sum(_bytes(t) for t in [*inputs, *learner.buffers()])
    return MemoryPlan(weights / MB, peak.gradients / MB, moments / MB, weights / MB,
                      (peak.most - peak.gradients) / MB, other / MB)
