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

"""What does each fix of a recipe do? Runs of every cell, then the episodes of each run."""

from __future__ import annotations

from functools import partial

from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.experiments.ablation.cells import RUNS, make_cells, run_path, with_budget
from training.experiments.ablation.report import write_report
from training.experiments.ablation.run import TrainingRun, train_and_measure
from training.experiments.episodes import (
    check_evaluation,
    checkpoint_record,
    checkpoint_runs,
    complete,
    missing_jobs,
    open_study_workers,
)
from training.experiments.options import AblationOptions
from training.jobs.episodes import PolicySource
from training.jobs.results_log import EPISODES, PLAN, ResultsLog
from training.jobs.workers import Job
from training.learning.mixture import load_mixture, parse_sources
from training.learning.recipe import Recipe
from training.learning.run_directory import LAST
from training.learning.trainer import split_episodes


def compare_fixes(options: AblationOptions) -> str | None:
    """Train and evaluate what is missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.
    """
    cells = make_cells(*_recipes(options))
    sources = parse_sources(options.data)
    with (open_study_workers(options) as workers,
          ResultsLog(options.out, _plan(options, cells, sources), (RUNS, EPISODES)) as log):
        # Statistics differ wherever data do.
        in_place = (log.path / PLAN, *(path / "meta/stats.json" for path, _ in sources))

        def evaluation(cell: str, seed: int) -> list[Job]:
            if not options.episodes:
                return []
            return missing_jobs(checkpoint_runs(
                PolicySource(run_path(log.path, cell, seed) / LAST, options.n_action_steps),
                options.tasks, options.episodes, options.eval_seed,
                {"cell": cell, "seed": seed}), log)

        def finished(job: Job, result) -> list[Job] | None:
            if job.kind == "run":
                log.add(RUNS, result)
                return evaluation(result["cell"], result["seed"])
            log.add(EPISODES, checkpoint_record(job.argument, result))
            return None

        trained = {(r["cell"], r["seed"]) for r in log.records[RUNS]}
        # Seed by seed, so that an early report compares all cells.
        todo = [(cell, seed) for seed in options.seeds for cell in cells
                if (cell, seed) not in trained]
        jobs = [job for key in sorted(trained) for job in evaluation(*key)]
        episodes = len(jobs) + len(todo) * len(options.tasks) * options.episodes
        jobs += [Job("run", train_and_measure, TrainingRun(
            run_path(log.path, cell, seed), cell,
            with_budget(cells[cell], options.samples, seed), tuple(sources),
            options.cache), in_place) for cell, seed in todo]
        total = {"run": len(todo), "episode": episodes}
        return write_report(log) if complete(jobs, finished, workers, total) else None


def _recipes(options: AblationOptions) -> tuple[Recipe, Recipe, Recipe | None]:
    shipped = share_directory() / "config" / "train"
    load = partial(Recipe.load, overrides=options.settings)
    return (load(options.bad or shipped / "exploding.yaml"),
            load(options.good or shipped / "stable.yaml"),
            load(options.reference) if options.reference else None)


def _plan(options: AblationOptions, cells: dict[str, Recipe], sources) -> dict:
    """Check everything that can be checked before hours of training; return what is to be done.

    Also decodes the images once, before several processes need them.
    """
    recipes = {cell: with_budget(recipe, options.samples, 0).model_dump(mode="json")
               for cell, recipe in cells.items()}
    seen = {}
    for recipe in cells.values():
        inputs = str((recipe.cameras, recipe.state, recipe.action))
        data = seen.get(inputs) or load_mixture(sources, recipe, options.cache)
        seen[inputs] = data
        config = recipe.policy_config(data.tasks)
        if options.episodes:
            check_evaluation(options.tasks, options.episodes, options.eval_seed, config,
                             SimulatedRobotConfig.load(), options.n_action_steps)
        if not len(split_episodes(recipe, len(data.starts))[1]):
            raise InputError(f"A validation fraction of {recipe.optimization.validation_fraction} "
                             f"holds out none of {len(data.starts)} episodes; raise it or give "
                             "more data.")
    fingerprints = data.fingerprint.split("+")
    return {"samples": options.samples, "seeds": options.seeds, "tasks": options.tasks,
            "episodes": options.episodes, "eval_seed": options.eval_seed,
            "n_action_steps": options.n_action_steps,
            "data": [{"name": path.name, "weight": weight, "fingerprint": fingerprint}
                     for (path, weight), fingerprint in zip(sources, fingerprints, strict=True)],
            "cells": recipes}
