# SPDX-License-Identifier: Apache-2.0
"""What are words worth to a policy? The same episodes, told different things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim_bridge.episodes import EpisodeSpec, expand_tasks, plan_episodes
from sim_bridge.robot_config import RobotConfig
from sim_bridge.shared_scenes import partner
from training.experiments.options import LanguageStudyOptions

EPISODES = "episodes"


@dataclass(frozen=True)
class ToldJob:
    """An episode and what the policy is told in it; ``None`` for nothing."""

    checkpoint: Path
    spec: EpisodeSpec
    told: str
    instruction: str | None
    robot: RobotConfig


def compare_instructions(options: LanguageStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to go on with the same options.
    """
    from tinyvla_ros.core.errors import InputError
    from tinyvla_ros.core.resources import mt10_checkpoint, share_directory
    from tinyvla_ros.policy.checkpoint import load_checkpoint
    from training.experiments.episode_jobs import check_tasks, gather
    from training.experiments.language_report import write_report
    from training.jobs.pool import Job
    from training.jobs.results_log import ResultsLog

    checkpoint = (options.checkpoint or mt10_checkpoint()).resolve()
    loaded = load_checkpoint(checkpoint)
    shipped = "mt10" if options.scenes == "standard" else "shared"
    wordings = read_wordings(options.wordings or
                             share_directory() / "config" / f"{shipped}_unseen_wordings.yaml")
    tasks = list(expand_tasks(options.tasks or wordings))
    robot = RobotConfig.load(scenes=options.scenes)
    check_tasks(tasks, options.episodes, options.seed, loaded.config, robot)
    check_wordings(wordings, tasks, loaded.config, "unseen" in options.told)
    if "other" in options.told and len(tasks) < 2:
        raise InputError(f"Tasks are {tasks[0]} alone, and --told other needs another one; name "
                         "two tasks or more, or leave 'other' out of --told.")
    said = {task: robot.instruction(task) for task in tasks}
    plan = {"checkpoint": loaded.digest, "tasks": tasks, "told": options.told,
            "wordings": {task: wordings.get(task, []) for task in tasks},
            "scenes": options.scenes, "episodes": options.episodes, "seed": options.seed}
    with ResultsLog(options.out, plan, (EPISODES,)) as log:
        done = {(r["told"], r["task"], r["seed"]) for r in log.records[EPISODES]}
        jobs = [Job("episode", run_episode, ToldJob(
                    checkpoint, spec, told, words(told, spec, said, wordings, robot.scenes),
                    robot))
                for spec in plan_episodes(tasks, options.episodes, options.seed)
                for told in options.told if (told, spec.task, spec.seed) not in done]
        if not gather(log, EPISODES, jobs, options.workers):
            return None
        return write_report(log)


def read_wordings(path: Path) -> dict[str, list[str]]:
    """Read a file of wordings per task.

    Raises:
        InputError: it is no mapping of tasks to lists of texts.
    """
    from tinyvla_ros.core.configuration import read_yaml
    from tinyvla_ros.core.errors import InputError

    data = read_yaml(path)
    good = isinstance(data, dict) and data and all(
        isinstance(v, list) and v and all(isinstance(w, str) for w in v) for v in data.values())
    if not good:
        raise InputError(f"{path} is no mapping of tasks to lists of wordings; write "
                         "'reach-v3: [go to the red dot]'.")
    return data


def check_wordings(wordings: dict, tasks: list[str], config, unseen: bool) -> None:
    """Check that wordings called unseen are, and that there are some for each task.

    Raises:
        InputError: a wording was trained on, or a task has none.
    """
    from tinyvla_ros.core.errors import InputError
    from tinyvla_ros.policy.language_config import fold

    known = {fold(wording) for wording in config.wordings}
    for task in tasks:
        for wording in wordings.get(task, ()):
            if fold(wording) in known:
                raise InputError(f"The wording {wording!r} of {task} was trained on; take it out "
                                 "of the file of unseen ones.")
        if unseen and not wordings.get(task):
            raise InputError(f"There is no unseen wording for {task}; add one, or leave 'unseen' "
                             "out of --told.")


def words(told: str, spec: EpisodeSpec, said: dict[str, str], wordings: dict,
          scenes: str = "standard") -> str | None:
    """Return what to tell the policy in an episode; a function of its task and seed alone.

    In shared scenes, "another task" is the one that begins with the same picture.
    """
    if told == "none":
        return None
    if told == "unseen":
        return wordings[spec.task][spec.seed % len(wordings[spec.task])]
    if told == "other" and scenes == "shared" and partner(spec.task) in said:
        return said[partner(spec.task)]
    if told == "other":
        others = [task for task in said if task != spec.task]
        number = np.random.default_rng([spec.seed, list(said).index(spec.task)]).integers(
            len(others))
        return said[others[number]]
    return said[spec.task]


_envs: dict = {}
_policies: dict = {}


def run_episode(job: ToldJob) -> dict:
    """Run an episode; returns its line of the results. A refused instruction moves nothing."""
    from sim_bridge.metaworld_env import MetaWorldEnv
    from sim_bridge.rollout import Episode, rollout
    from tinyvla_ros.core.errors import UnknownInstructionError
    from tinyvla_ros.policy.policy import Policy

    without_words = job.instruction is None
    if job.spec.task not in _envs:
        _envs[job.spec.task] = MetaWorldEnv(job.spec.task, job.robot)
    if (job.checkpoint, without_words) not in _policies:
        _policies[job.checkpoint, without_words] = Policy(job.checkpoint, threads=1,
                                                          ignore_instruction=without_words)
    episode = Episode(_envs[job.spec.task], job.spec, job.instruction)
    refused = False
    try:
        for _ in rollout(_policies[job.checkpoint, without_words], episode):
            pass
    except UnknownInstructionError:
        refused = True
    result = episode.result()
    return {"told": job.told, "task": job.spec.task, "seed": job.spec.seed,
            "instruction": job.instruction, "refused": refused, "success": result.success,
            "steps": result.steps}
