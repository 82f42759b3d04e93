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

"""One run of an ablation as a job for another process: train, or resume, then measure."""

from __future__ import annotations

import contextlib
import gc
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.diagnose.probe import output_std
from training.jobs.pool import Stopped
from training.learning.batches import BatchSampler
from training.learning.held_out import fixed_draws, held_out_batches, held_out_losses
from training.learning.learner import Learner
from training.learning.mixture import load_mixture
from training.learning.recipe import Recipe
from training.learning.run_directory import LAST, STATE
from training.learning.train import RunOptions, fit_normalizer, resume, train
from training.learning.trainer import DivergedError, split_episodes


@dataclass(frozen=True)
class TrainingRun:
    """A run to train to its last step.

    Attributes:
        path: run directory.
        cell: name of the recipe.
        recipe: with seed and number of steps.
        sources: dataset directories and weights.
        cache: see ``load_demonstrations``.
    """

    path: Path
    cell: str
    recipe: Recipe
    sources: tuple[tuple[Path, float], ...]
    cache: Path | None = None

    def __str__(self) -> str:
        return str(self.path)


def train_and_measure(run: TrainingRun) -> dict:
    """Train and measure a run; return its line of the results.

    A run that diverges is a result too.

    Raises:
        Stopped: SIGTERM came while training; the run is saved.
        InputError: see ``training.learning.train.train``.
    """
    run.path.parent.mkdir(parents=True, exist_ok=True)
    error = None
    with (run.path.with_suffix(".log").open("a", encoding="utf-8") as log,
          contextlib.redirect_stderr(log)):
        try:
            if not _train(run):
                raise Stopped
        except DivergedError as err:
            error = str(err)
        gc.collect()  # the trainer is a reference cycle and holds the images, read again below
        return {"cell": run.cell, "seed": run.recipe.seed,
                "outcome": "diverged" if error else "finished", "error": error} | _measure(run)


def _train(run: TrainingRun) -> bool:
    """Start or resume the run; return False if it was stopped."""
    last = run.path / LAST
    if (last / STATE).is_file():
        finished = int(last.resolve().name) >= run.recipe.optimization.steps
        return finished or resume(run.path, threads=1, cache=run.cache)
    shutil.rmtree(run.path, ignore_errors=True)  # of a run that was killed before it saved
    return train(run.recipe, RunOptions(run.sources, threads=1, cache=run.cache), run.path)


def _measure(run: TrainingRun) -> dict:
    """Compare the network before and after, on the same held-out draws for every recipe."""
    torch.set_num_threads(1)
    recipe, fixed = run.recipe, fixed_draws(run.recipe)
    data = load_mixture(run.sources, recipe, run.cache)
    train_episodes, held_out = split_episodes(recipe, len(data.starts))
    config, normalizer = recipe.policy_config(data.tasks), fit_normalizer(data)
    torch.manual_seed(recipe.seed)  # the initial weights of the run itself
    initial = Learner(recipe, config, normalizer)
    first_loss, _ = initial(BatchSampler(data, train_episodes, recipe)[1])
    learner = Learner(fixed, config, normalizer)
    learner.network = initial.network
    batches = held_out_batches(data, held_out, fixed)
    before = {"output_std": output_std(learner, batches[0]),
              "held_out": held_out_losses(learner, batches)}
    result = {"steps": recipe.optimization.steps, "first_loss": first_loss.item(),
              "before": before, "after": None, "skipped": None, "seconds": None, "digest": None}
    last = run.path / LAST
    if not (last / STATE).is_file():
        return result  # diverged before the first save
    checkpoint, course = load_checkpoint(last), read_json(last / "training.json")
    learner.network = checkpoint.network
    after = {"output_std": output_std(learner, batches[0]),
             "held_out": held_out_losses(learner, batches)}
    return result | {"after": after, "skipped": course["skipped_batches"],
                     "seconds": course["seconds"], "digest": checkpoint.digest}
