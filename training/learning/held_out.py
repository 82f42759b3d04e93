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

"""Losses on held-out episodes with fixed draws, comparable between checkpoints and recipes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from tinyvla_ros.policy.config import DiffusionConfig
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.noise_schedule import NoiseSchedule
from training.learning.batches import VALIDATION, Batch, BatchSampler
from training.learning.learner import Learner
from training.learning.mixture import Mixture
from training.learning.recipe import Recipe

BATCHES, BATCH_SIZE, NOISE_SAMPLES = 8, 64, 2
LEVELS = 4
CHUNKS = 4096


def fixed_draws(recipe: Recipe) -> Recipe:
    """Return a recipe whose validation batches do not depend on how it is trained.

    The draws depend on the seed, the horizon and the noise schedule only.
    """
    optimization = recipe.optimization.model_copy(
        update={"batch_size": BATCH_SIZE, "noise_samples": NOISE_SAMPLES, "future_frames": (),
                "free_share": 1.0, "sampled_levels": False})
    return recipe.model_copy(update={"optimization": optimization})


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
        ``own``: of the quantity the network predicts, which is what training minimizes;
        ``noise``: of the noise its prediction amounts to, 1 for predicting none;
        ``noise_by_level``: the latter in each quarter of the noise schedule, least noise first.
    """
    network = learner.network.eval()
    train_steps = network.config.diffusion.train_steps
    own, noise, level, valid_sums = [], [], [], []
    for batch in batches:
        actions, valid, condition = learner.noisy_rows(batch, learner.condition(batch))[:3]
        for quantity, into in ((None, own), ("epsilon", noise)):
            error = network.errors(condition, actions, batch.noise, batch.step, quantity)
            into.append((error * valid).sum(1))
        valid_sums.append(valid.sum(1))
        level.append(batch.step * LEVELS // train_steps)
    own, noise, level, weight = (torch.cat(t) for t in (own, noise, level, valid_sums))
    by_level = [(noise[level == k].sum() / weight[level == k].sum()).item()
                for k in range(LEVELS)]
    return {"own": (own.sum() / weight.sum()).item(),
            "noise": (noise.sum() / weight.sum()).item(), "noise_by_level": by_level}


class _Blind(nn.Module):
    """An encoder that sees nothing."""

    def forward(self, images, state: torch.Tensor, instruction) -> torch.Tensor:
        return torch.zeros(len(state), 1)


class _Constant(nn.Module):
    """A denoiser that has learned nothing but a mean."""

    committed = None  # it is given no rows

    def __init__(self, value: torch.Tensor):
        super().__init__()
        self.value = value

    def forward(self, noisy: torch.Tensor, step, condition) -> torch.Tensor:
        return self.value.expand_as(noisy)


class _BlindLinear(nn.Module):
    """The best linear denoiser of chunks, by their mean and covariance; predicts the noise.

    Args:
        chunks: (n, horizon, channels) normalized actions.
        diffusion: the noise schedule.
    """

    committed = None

    def __init__(self, chunks: torch.Tensor, diffusion: DiffusionConfig):
        super().__init__()
        flat = chunks.flatten(1).double()
        self.mean = flat.mean(0)
        self.variances, self.axes = torch.linalg.eigh(torch.cov(flat.T))
        self.kept = NoiseSchedule(diffusion).kept.double()

    def forward(self, noisy: torch.Tensor, step: torch.Tensor, condition) -> torch.Tensor:
        kept = self.kept[step][:, None]
        # Along each axis the noisy value is that of the chunk plus noise, both Gaussian.
        along = (noisy.flatten(1).double() - kept.sqrt() * self.mean) @ self.axes
        share = (1.0 - kept).sqrt() / (kept * self.variances.clamp(min=0.0) + 1.0 - kept)
        return ((along * share) @ self.axes.T).view_as(noisy).float()


def blind_baselines(learner: Learner, data: Mixture, batches: list[Batch]) -> dict:
    """Return ``held_out_losses`` of predictors that see no image, state or instruction.

    ``no_noise`` predicts that there is no noise, ``mean_action`` the mean normalized action of
    all demonstrations, ``linear`` the noise by the best linear map of the noisy chunk. ``own`` is
    the error of that prediction in its own units (noise, or normalized actions).
    """
    network, config = learner.network, learner.network.config
    frames = np.random.default_rng(0).integers(0, len(data.states), CHUNKS)
    ends = data.ends[np.searchsorted(data.ends, frames, "right")]
    chunks = learner.normalizer.action(torch.from_numpy(np.stack(
        [data.chunk(f, config.action.horizon, e)[0] for f, e in zip(frames, ends, strict=True)])))
    mean = chunks.mean((0, 1))
    result = {}
    for name, prediction, denoiser in (
            ("no_noise", "epsilon", _Constant(torch.zeros_like(mean))),
            ("mean_action", "sample", _Constant(mean)),
            ("linear", "epsilon", _BlindLinear(chunks, config.diffusion))):
        diffusion = config.diffusion.model_copy(update={"prediction": prediction})
        blind = PolicyNetwork(config.model_copy(update={"diffusion": diffusion}))
        blind.encoder, blind.denoiser = _Blind(), denoiser
        learner.network = blind
        result[name] = held_out_losses(learner, batches)
    learner.network = network
    return result
