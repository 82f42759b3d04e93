# SPDX-License-Identifier: Apache-2.0
"""Training speed of a recipe: observations per second on the processor.

Random demonstrations in memory stand in for a dataset: the arithmetic does not depend on what the
pictures show. A step draws a batch, shifts its images, runs both losses backwards, clips and
updates; averaging the weights, logging and saving are left out. Settings alternate step by step
on one learner.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _figures import alternate, print_heading, print_table
from torch import nn

from sim_bridge.robot_config import RobotConfig
from tinyvla_ros.model import PolicyNetwork
from tinyvla_ros.normalizer import Normalizer
from tinyvla_ros.resources import share_directory
from training.batches import BatchSampler
from training.dataset import Demonstrations
from training.recipe import Optimisation, Recipe
from training.train import Learner

EPISODES, FRAMES = 20, 50
PRECISIONS = ("float32", "bfloat16")
NOISE_SAMPLES = (1, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="recipe, YAML",
                        default=share_directory() / "config" / "train" / "default.yaml")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15, help="steps per setting")
    parser.add_argument("--warmup", type=int, default=2, help="steps per setting, not counted")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds to stop after")
    args = parser.parse_args()
    recipe = Recipe.load(args.config)
    options = recipe.optimisation
    torch.set_num_threads(args.threads)
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, random_demonstrations(recipe))
    settings = {}
    for precision in PRECISIONS:
        for samples in NOISE_SAMPLES:
            changed = options.model_copy(
                update={"precision": precision, "noise_samples": samples})
            label = f"{precision}, {samples} noise sample{'s' * (samples > 1)}"
            settings[label] = partial(trainer.step, changed)
    print_heading("Training steps", ("torch", "diffusers", "numpy"),
                  recipe=args.config.name, batch_size=options.batch_size, threads=args.threads,
                  cpu_capability=torch.backends.cpu.get_cpu_capability(), data="random, in memory",
                  steps=args.steps, warm_up=args.warmup, order="settings alternate")
    print_table(alternate(settings, args.steps, args.warmup, args.limit), list(settings)[:1],
                ("observations", options.batch_size))


class Trainer:
    """One learner and its optimiser, stepped with the options of the setting at hand."""

    def __init__(self, recipe: Recipe, data: Demonstrations):
        options = recipe.optimisation
        self._normalizer = Normalizer.fit(torch.from_numpy(data.states),
                                          torch.from_numpy(data.actions).flatten(0, 1))
        self._learner = Learner(PolicyNetwork(recipe.policy_config(data.tasks)),
                                len(options.future_frames))
        self._optimiser = torch.optim.AdamW(self._learner.parameters(), options.learning_rate,
                                            weight_decay=options.weight_decay)
        self._sampler = BatchSampler(
            data, np.arange(len(data.starts)), recipe.action.horizon, options.future_frames,
            options.shift_pixels, np.random.default_rng(recipe.seed))
        self._generator = torch.Generator().manual_seed(recipe.seed)

    def step(self, options: Optimisation) -> None:
        """Draw a batch and update the weights."""
        batch = self._sampler.draw(options.batch_size)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16"):
            loss, future = self._learner(batch, self._normalizer, options, self._generator)
        self._optimiser.zero_grad(set_to_none=True)
        (loss + options.future_weight * future).backward()
        nn.utils.clip_grad_norm_(self._learner.parameters(), options.gradient_norm)
        self._optimiser.step()


def random_demonstrations(recipe: Recipe) -> Demonstrations:
    """Return noise in the shape of a dataset that fits the recipe."""
    rng, frames = np.random.default_rng(0), EPISODES * FRAMES
    camera = next(iter(recipe.cameras.values()))  # all have the same size, see training.dataset
    images = rng.integers(
        0, 256, (frames, len(recipe.cameras), camera.height, camera.width, 3), np.uint8)
    actions = rng.uniform(
        -1.0, 1.0, (frames, RobotConfig.load().camera_every, len(recipe.action.channels)))
    starts = np.arange(0, frames, FRAMES)
    return Demonstrations(
        Path(), ("random",), images,
        rng.standard_normal((frames, len(recipe.state)), np.float32), actions.astype(np.float32),
        np.zeros(frames, np.int64), starts, starts + FRAMES)


if __name__ == "__main__":
    main()
