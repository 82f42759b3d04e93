# SPDX-License-Identifier: Apache-2.0
"""Losses on held-out episodes with fixed draws, comparable between checkpoints and recipes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from tinyvla_ros.model import PolicyNetwork
from training.batches import VALIDATION, Batch, BatchSampler
from training.learner import Learner
from training.mixture import Mixture
from training.recipe import Recipe

BATCHES, BATCH_SIZE, NOISE_SAMPLES = 8, 64, 2
LEVELS = 4


def fixed_draws(recipe: Recipe) -> Recipe:
    """Return a recipe whose validation batches do not depend on how it is trained.

    The draws depend on the seed, the horizon and the noise schedule only.
    """
    optimisation = recipe.optimisation.model_copy(
        update={"batch_size": BATCH_SIZE, "noise_samples": NOISE_SAMPLES, "future_frames": ()})
    return recipe.model_copy(update={"optimisation": optimisation})


def held_out_batches(data: Mixture, episodes: np.ndarray, recipe: Recipe) -> list[Batch]:
    """Draw validation batches from some episodes; ``recipe`` is one of ``fixed_draws``."""
    sampler = BatchSampler(data, episodes, recipe, VALIDATION)
    return [sampler[number] for number in range(BATCHES)]


@torch.no_grad()
def held_out_losses(learner: Learner, batches: Iterable[Batch]) -> dict:
    """Return mean squared errors on batches.

    Args:
        learner: made with a recipe of ``fixed_draws``.
        batches: drawn with the same recipe.

    Returns:
        ``own``: of the quantity the network predicts, which is what training minimises;
        ``noise``: of the noise its prediction amounts to, 1 for predicting none;
        ``noise_by_level``: the latter in each quarter of the noise schedule, least noise first.
    """
    network = learner.network.eval()
    train_steps = network.config.diffusion.train_steps
    own, noise, level, valid_sums = [], [], [], []
    for batch in batches:
        rows = learner.noisy_rows(batch, learner.condition(batch))
        actions, valid, condition = rows
        for of, into in ((None, own), ("epsilon", noise)):
            error = network.errors(condition, actions, batch.noise, batch.step, of)
            into.append((error * valid).sum(1))
        valid_sums.append(valid.sum(1))
        level.append(batch.step * LEVELS // train_steps)
    own, noise, level, weight = (torch.cat(t) for t in (own, noise, level, valid_sums))
    by_level = [(noise[level == k].sum() / weight[level == k].sum()).item()
                for k in range(LEVELS)]
    return {"own": (own.sum() / weight.sum()).item(),
            "noise": (noise.sum() / weight.sum()).item(), "noise_by_level": by_level}


class _Constant(nn.Module):
    """A denoiser that has learned nothing but a mean."""

    def __init__(self, value: torch.Tensor):
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, noisy: torch.Tensor, step, condition) -> torch.Tensor:
        return self.value.expand_as(noisy)


def constant_baselines(learner: Learner, data: Mixture, batches: list[Batch]) -> dict:
    """Return ``held_out_losses`` of two predictors that ignore their input.

    ``no_noise`` predicts that there is no noise, ``mean_action`` the mean normalised action of
    all demonstrations; ``own`` is the error of that prediction in its own units (noise, or
    normalised actions).
    """
    config = learner.network.config
    mean = learner.normalizer.action(torch.from_numpy(data.actions).flatten(0, 1)).mean(0)
    result, network = {}, learner.network
    for name, prediction, value in (("no_noise", "epsilon", torch.zeros_like(mean)),
                                    ("mean_action", "sample", mean)):
        diffusion = config.diffusion.model_copy(update={"prediction": prediction})
        constant = PolicyNetwork(config.model_copy(update={"diffusion": diffusion}))
        constant.encoder, constant.denoiser = network.encoder, _Constant(value)
        learner.network = constant
        result[name] = held_out_losses(learner, batches)
    learner.network = network
    return result
