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

"""Does a lower loss mean a better policy? Loss and success of the snapshots of one run."""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.data.fingerprint import is_same_data
from training.experiments.episodes import (
    check_evaluation,
    checkpoint_record,
    checkpoint_runs,
    open_study_workers,
    run_missing,
)
from training.experiments.loss_success_report import BASELINES, LOSSES, write_report
from training.experiments.options import STUDY_WORKERS, LossStudyOptions
from training.jobs.episodes import PolicySource
from training.jobs.results_log import EPISODES, ResultsLog
from training.learning.held_out import (
    blind_baselines,
    fixed_draws,
    held_out_batches,
    held_out_losses,
)
from training.learning.learner import Learner
from training.learning.mixture import Mixture, load_mixture, parse_sources
from training.learning.recipe import Recipe
from training.learning.run_directory import RunDirectory
from training.learning.train import fit_normalizer
from training.learning.trainer import split_episodes


def compare_losses(options: LossStudyOptions) -> str | None:
    """Measure the losses and run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.
    """
    run_directory = RunDirectory(options.directory)
    report, places = run_directory.report(), run_directory.snapshots()
    if not places:
        raise InputError(f"{options.directory} has no snapshots; train with "
                         "optimization.snapshot_every above 0.")
    plan, tools = _prepare(options, report)
    with (open_study_workers(options) as workers,
          ResultsLog(options.out, plan, (LOSSES, EPISODES, BASELINES)) as log):
        labels = _measure_losses(log, places, *tools, options.workers or STUDY_WORKERS)
        del tools  # the images: the workers need the memory
        runs = [run for place in places for run in checkpoint_runs(
            PolicySource(place, options.n_action_steps), options.tasks, options.episodes,
            options.seed, labels[place])]
        finished = run_missing(runs, log, workers, checkpoint_record)
        return write_report(log) if finished else None


def _prepare(options: LossStudyOptions, report: dict) -> tuple[dict, tuple]:
    """Check everything; return the plan, and what measures a loss: learner and batches."""
    recipe = parse(Recipe, report.get("recipe"), f"{options.directory}/train.json: recipe")
    sources = parse_sources(options.data) or [(Path(d["path"]), d["weight"])
                                              for d in report["data"]]
    data = load_mixture(sources, recipe, options.cache)
    expected = "+".join(d["fingerprint"] for d in report["data"])
    if not is_same_data(expected, data.fingerprint, [root for root, _ in sources]):
        raise InputError(f"The data have the fingerprint {data.fingerprint}, the run was trained "
                         f"on {expected}; give --data with the same directories in the same "
                         "order.")
    config, fixed = recipe.policy_config(data.tasks), fixed_draws(recipe)
    robot = SimulatedRobotConfig.load()
    check_evaluation(options.tasks, options.episodes, options.seed, config, robot,
                     options.n_action_steps)
    _, held_out = split_episodes(recipe, len(data.starts))
    batches = {}
    for task in options.tasks:
        index = config.instruction_index(robot.instruction(task))
        mine = held_out[data.task_index[data.starts[held_out]] == index]
        if not len(mine):
            raise InputError(f"The run held out no episode of {task}; train with a larger "
                             "validation_fraction.")
        batches[task] = held_out_batches(data, mine, fixed)
    plan = {"run": options.directory.resolve().name, "tasks": options.tasks,
            "episodes": options.episodes, "seed": options.seed,
            "n_action_steps": options.n_action_steps, "fingerprint": data.fingerprint,
            "recipe": report["recipe"]}
    return plan, (Learner(fixed, config, fit_normalizer(data)), data, batches)


def _measure_losses(log: ResultsLog, places: list[Path], learner: Learner, data: Mixture,
                    batches: dict, threads: int) -> dict:
    """Measure the losses that are missing; return the labels of each snapshot's results."""
    torch.set_num_threads(threads)
    if not log.records[BASELINES]:
        log.add(BASELINES, {task: blind_baselines(learner, data, mine)
                            for task, mine in batches.items()})
    known = {r["digest"] for r in log.records[LOSSES]}
    labels = {}
    for place in tqdm(places, unit="snapshot", desc="losses"):
        labels[place] = {"step": int(place.name), "digest": checkpoint_digest(place)}
        if labels[place]["digest"] not in known:
            learner.network = load_checkpoint(place).network
            log.add(LOSSES, labels[place] | {"tasks": {
                task: held_out_losses(learner, mine) for task, mine in batches.items()}})
    return labels
