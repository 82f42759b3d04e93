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

"""Does a policy use its instruction? The same episodes with different instructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sim_bridge.episodes import EpisodeSpec, plan_episodes
from sim_bridge.metaworld.shared_scenes import partner
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import expand_tasks, twin
from tinyvla_ros.core.configuration import read_yaml
from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import mt10_checkpoint, share_directory
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.language_config import fold
from training.experiments.episodes import check_evaluation, open_study_workers, run_missing
from training.experiments.figures import COLORS, label_axes, new_figure, save, success_percent
from training.experiments.options import PROMPT_CONDITIONS, LanguageStudyOptions
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource
from training.jobs.results_log import EPISODES, ResultsLog


def compare_instructions(options: LanguageStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.
    """
    checkpoint = (options.checkpoint or mt10_checkpoint()).resolve()
    loaded = load_checkpoint(checkpoint)
    robot = SimulatedRobotConfig.load(scenes=options.scenes)
    shipped = "mt10" if robot.scenes == "standard" else "shared"
    wordings = read_wordings(options.wordings or
                             share_directory() / "config" / f"{shipped}_unseen_wordings.yaml")
    # Without a choice, all that the policy was trained for.
    tasks = list(expand_tasks(options.tasks or [
        task for task in wordings if robot.instruction(task) in loaded.config.instructions] or
        wordings))
    check_evaluation(tasks, options.episodes, options.seed, loaded.config, robot)
    check_wordings(wordings, tasks, loaded.config, "unseen" in options.told)
    if "other" in options.told and len(tasks) < 2:
        raise InputError(f"Tasks are {tasks[0]} alone, and --told other needs another one; name "
                         "two tasks or more, or leave 'other' out of --told.")
    instructions = {task: robot.instruction(task) for task in tasks}
    twins = twin_instructions(tasks, robot, loaded.config) if "twin" in options.told else {}
    plan = {"checkpoint": loaded.digest, "tasks": tasks, "told": options.told,
            "wordings": {task: wordings.get(task, []) for task in tasks},
            "scenes": robot.scenes, "episodes": options.episodes, "seed": options.seed}
    runs = []
    for spec in plan_episodes(tasks, options.episodes, options.seed):
        for condition in options.told:
            text = twins[spec.task] if condition == "twin" else choose_instruction(
                condition, spec, instructions, wordings, robot.scenes)
            runs.append(EpisodeRun(
                PolicySource(checkpoint, ignore_instruction=text is None), spec, robot,
                {"told": condition, "task": spec.task, "seed": spec.seed, "instruction": text},
                text))
    with (open_study_workers(options) as workers,
          ResultsLog(options.out, plan, (EPISODES,)) as log):
        return write_report(log) if run_missing(runs, log, workers, _record) else None


def _record(run: EpisodeRun, outcome: EpisodeOutcome) -> dict:
    """Return the line of an episode; after a refused instruction nothing has moved."""
    refused = isinstance(outcome.error, UnknownInstructionError)
    if outcome.error is not None and not refused:
        raise outcome.error
    return {**run.labels, "refused": refused, "success": outcome.result.success,
            "steps": outcome.result.steps}


def read_wordings(path: Path) -> dict[str, list[str]]:
    """Read a file of wordings per task.

    Raises:
        InputError: it is not a mapping of tasks to lists of texts.
    """
    data = read_yaml(path)
    good = isinstance(data, dict) and data and all(
        isinstance(v, list) and v and all(isinstance(w, str) for w in v) for v in data.values())
    if not good:
        raise InputError(f"{path} is not a mapping of tasks to lists of wordings; write, for "
                         "example, 'reach-v3: [go to the red dot]'.")
    return data


def check_wordings(wordings: Mapping[str, Sequence[str]], tasks: Sequence[str],
                   config: PolicyConfig, unseen: bool) -> None:
    """Check that unseen wordings were not trained on, and that each task has some.

    Raises:
        InputError: a wording was trained on, or a task has none.
    """
    known = {fold(wording) for wording in config.wordings}
    for task in tasks:
        for wording in wordings.get(task, ()):
            if fold(wording) in known:
                raise InputError(f"The wording {wording!r} of {task} was trained on; take it out "
                                 "of the file of unseen ones.")
        if unseen and not wordings.get(task):
            raise InputError(f"There is no unseen wording for {task}; add one, or leave 'unseen' "
                             "out of --told.")


def twin_instructions(tasks: Sequence[str], robot: SimulatedRobotConfig, config: PolicyConfig
                      ) -> dict[str, str]:
    """Return task -> the instruction of the task that looks like it.

    Raises:
        InputError: a task looks like no other, or the policy does not know that one.
    """
    for task in tasks:
        if twin(task) is None:
            raise InputError(f"No task looks like {task}; leave it out, or 'twin' out of --told.")
        config.instruction_index(robot.instruction(twin(task)))
    return {task: robot.instruction(twin(task)) for task in tasks}


def choose_instruction(condition: str, spec: EpisodeSpec, instructions: Mapping[str, str],
                       wordings: Mapping[str, Sequence[str]], scenes: str = "standard"
                       ) -> str | None:
    """Return the instruction of an episode; a function of its task and seed alone.

    Args:
        condition: key of ``PROMPT_CONDITIONS`` other than ``twin``.
        spec: which episode.
        instructions: task -> its own instruction.
        wordings: task -> wordings never trained on.
        scenes: ``standard``, ``shared`` or ``chained``; in the last two "another task" is the
            partner in the scene.

    Returns:
        None for no instruction.
    """
    if condition == "none":
        return None
    if condition == "unseen":
        # In chained scenes the parity of the seed says how the episode begins.
        number = spec.seed // 2 if scenes == "chained" else spec.seed
        return wordings[spec.task][number % len(wordings[spec.task])]
    if condition == "right":
        return instructions[spec.task]
    if scenes != "standard" and partner(spec.task) in instructions:
        return instructions[partner(spec.task)]
    others = [task for task in instructions if task != spec.task]
    number = np.random.default_rng([spec.seed, list(instructions).index(spec.task)]).integers(
        len(others))
    return instructions[others[number]]


def write_report(log: ResultsLog) -> str:
    """Write ``language.md`` and ``language.png``; return the text."""
    plan, records = log.plan, log.records[EPISODES]
    found = {condition: [r for r in records if r["told"] == condition]
             for condition in plan["told"]}
    rows = [[task, *(rate_text(_outcomes(rs, task)) for rs in found.values())]
            for task in plan["tasks"]]
    rows.append(["all", *(rate_text(_outcomes(rs)) for rs in found.values())])
    rows.append(["refused, arm not moved",
                 *(f"{sum(r['refused'] for r in rs)} of {len(rs)}" for rs in found.values())])
    table = markdown_table(["task", *map(PROMPT_CONDITIONS.get, found)], rows)
    text = (f"Checkpoint {plan['checkpoint']}, {plan['episodes']} episodes per task and column, "
            f"seeds from {plan['seed']} on, {plan['scenes']} scenes; success at the task of the "
            f"scene, 95 % Wilson intervals.\n\n{table}")
    (log.path / "language.md").write_text(text + "\n", encoding="utf-8")
    _draw(found, plan["tasks"], log.path / "language.png")
    return text


def _outcomes(records: Sequence[dict], task: str | None = None) -> list[bool]:
    return [r["success"] for r in records if task in (None, r["task"])]


def _draw(found: dict, tasks: Sequence[str], path: Path) -> None:
    figure = new_figure(11, 4.2)
    axes = figure.subplots()
    places = np.arange(len(tasks) + 1)
    width = 0.8 / len(found)
    for i, (condition, records) in enumerate(found.items()):
        rates, errors = success_percent([_outcomes(records, task) for task in (*tasks, None)])
        axes.bar(places + (i - (len(found) - 1) / 2) * width, rates, width, yerr=errors,
                 color=COLORS[i], label=PROMPT_CONDITIONS[condition],
                 error_kw={"linewidth": 0.8})
    label_axes(axes, "Success by instruction", "", "%")
    axes.set_xticks(places, [t.removesuffix("-v3") for t in tasks] + ["all"], rotation=30,
                    ha="right")
    axes.set_ylim(0, 135)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(frameon=False, ncols=2, fontsize=8, loc="upper left")
    save(figure, path)
