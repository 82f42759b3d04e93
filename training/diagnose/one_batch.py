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

"""The training loop on one batch again and again, to see whether the recipe can learn it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tinyvla_ros.core.errors import InputError
from training.data.consistency import Finding
from training.learning.batches import Batch
from training.learning.learner import Learner
from training.learning.mixture import Mixture
from training.learning.processes import Process
from training.learning.recipe import Recipe
from training.learning.trainer import Trainer

# Measured with 16 real observations and 150 steps, two seeds each. Last loss over first: below
# 0.001 for default.yaml, stable.yaml and exploding.yaml, up to 0.05 for stable.yaml at a tenth of
# its learning rate; 1 at 1e-12, 1e14 for default.yaml at 0.1. Highest over first: 1.0 for
# default.yaml and stable.yaml, 2.2 where warm-up takes only 4 steps, up to 2.9 for exploding.yaml,
# 7.5 for default.yaml at 0.01.
LARGEST_RATIO = 0.3
LARGEST_RISE = 3.0


@dataclass(frozen=True)
class Overfit:
    """Losses of a network that sees the same batch in every step.

    Attributes:
        first: loss before the first step.
        last: mean of the last five losses.
        highest: highest of all.
        steps: optimizer steps taken.
        learning_rate: the recipe's, reached in the first tenth of the steps and kept.
        skipped: steps whose loss or gradient was not finite.
    """

    first: float
    last: float
    highest: float
    steps: int
    learning_rate: float
    skipped: int


class _SameBatch(torch.utils.data.Dataset):
    """A sampler that always draws the same batch."""

    def __init__(self, batch: Batch):
        self._batch = batch

    def __getitem__(self, number: int) -> Batch:
        return self._batch


def repeat_batch(learner: Learner, recipe: Recipe, data: Mixture, batch: Batch, steps: int,
                 device: str) -> Trainer:
    """Train on one batch by the recipe, with the learning rate at its peak.

    Args:
        learner: on ``device``; changed.
        recipe: ``noise_samples`` must be the batch's.
        data: the demonstrations.
        batch: on the CPU; images, actions, noise and diffusion steps stay as they are.
        steps: optimizer steps.
        device: torch device.

    Raises:
        InputError: more than a hundred losses or gradients are not finite.
    """
    trainer = quiet_trainer(learner, recipe, data, steps, device)
    trainer.sampler = _SameBatch(batch)
    if not trainer.run(lambda best: None, None):
        raise KeyboardInterrupt
    return trainer


def quiet_trainer(learner: Learner, recipe: Recipe, data: Mixture, steps: int,
                  device: str) -> Trainer:
    """Return a trainer that keeps its learning rate, validates nothing and logs nothing."""
    options = recipe.optimization
    constant = {"steps": steps, "save_every": steps, "warmup_steps":
                min(options.warmup_steps, steps // 10), "final_fraction": 1.0, "compile": False,
                "validation_fraction": 0.0}
    recipe = recipe.model_copy(update={"optimization": options.model_copy(update=constant)})
    # Rank 1 is not the main process: it shows no progress and logs nothing.
    return Trainer(learner, recipe, data, Process(1, 1, device), keep_images=False)


def overfit(learner: Learner, recipe: Recipe, data: Mixture, batch: Batch, steps: int,
            device: str) -> Overfit:
    """Train on one batch and watch the loss; see ``repeat_batch`` for the arguments."""
    losses: list[torch.Tensor] = []
    handle = learner.register_forward_hook(
        lambda module, inputs, output: losses.append(output[0].detach()))
    try:
        skipped = repeat_batch(learner, recipe, data, batch, steps, device).skipped
    except InputError:
        skipped = len(losses)  # the trainer gave up
    finally:
        handle.remove()
    values = torch.stack(losses).float().nan_to_num(nan=torch.inf)
    return Overfit(float(values[0]), float(values[-5:].mean()), float(values.max()), len(losses),
                   recipe.optimization.learning_rate, skipped)


def overfit_findings(result: Overfit) -> Iterator[Finding]:
    """Judge whether the batch was learned."""
    rate = f"learning rate {result.learning_rate:g}"
    if result.skipped:
        yield Finding("overfit", f"{result.skipped} of {result.steps} steps on one batch had a "
                      f"loss or gradient that was not finite at {rate}, none is normal; lower the "
                      "learning rate and look at the data with 'tinyvla data check'.")
    elif not result.last <= LARGEST_RATIO * result.first:
        grew = result.last > result.first
        yield Finding("overfit", f"The loss of one batch {'rose' if grew else 'only came'} from "
                      f"{result.first:.3g} to {result.last:.3g} in {result.steps} steps at {rate},"
                      f" and below {LARGEST_RATIO:g} of the first is normal; "
                      + ("lower the learning rate and clip gradients." if grew else
                         "try a learning rate between 1e-4 and 1e-3, then look at states, "
                         "actions and images."))
    elif result.highest > LARGEST_RISE * result.first:
        yield Finding("overfit", f"The loss of one batch rose from {result.first:.3g} to "
                      f"{result.highest:.3g} before it fell to {result.last:.3g} at {rate}, and a "
                      f"rise to less than {LARGEST_RISE:g} times the first is normal; lower the "
                      "learning rate or clip gradients.", error=False)
