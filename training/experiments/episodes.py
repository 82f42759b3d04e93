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

"""What the studies share: which episodes, run in other processes, each result logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sim_bridge.arms import HORIZON, METAWORLD
from sim_bridge.episodes import POLICY_SEED, plan_episodes
from sim_bridge.opengl import require_opengl
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import PolicyConfig
from training.experiments.options import STUDY_WORKERS, StudyOptions
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource, run_episode
from training.jobs.pool import Progress, Stopped, open_workers, work_through
from training.jobs.results_log import EPISODES, ResultsLog
from training.jobs.workers import Job, Workers

# What reports note about how episodes are run.
PROTOCOL = {"evaluation": "in process, lock-step", "horizon": HORIZON, "policy_seed": POLICY_SEED,
            "success": METAWORLD.success}
FINAL_SEEDS = 50  # seeds 0 to 49 are for published results; no decision may rest on them


def check_evaluation(tasks: Sequence[str], episodes: int, seed: int, config: PolicyConfig,
                     robot: SimulatedRobotConfig, n_action_steps: int | None = None) -> None:
    """Check an evaluation before anything starts.

    Raises:
        InputError: a task the policy does not know, a camera the robot lacks, seeds reserved for
            final results, numbers out of range, a machine that cannot draw.
    """
    plan_episodes(list(tasks), episodes, seed)
    if seed < FINAL_SEEDS:
        raise InputError(f"Seed is {seed}; seeds 0 to {FINAL_SEEDS - 1} are kept for published "
                         f"results, give one of at least {FINAL_SEEDS}.")
    for task in tasks:
        config.check_instruction(robot.instruction(task))
    robot.with_cameras(config.cameras)
    if n_action_steps is not None and not 1 <= n_action_steps <= config.action.horizon:
        raise InputError(f"--n-action-steps is {n_action_steps}; give a number from 1 to "
                         f"{config.action.horizon}.")
    require_opengl()


def checkpoint_runs(policy: PolicySource, tasks: Sequence[str], episodes: int, seed: int,
                    labels: Mapping[str, object]) -> list[EpisodeRun]:
    """Return the episodes of a checkpoint, the same ones for every checkpoint."""
    robot = SimulatedRobotConfig.load()
    return [EpisodeRun(policy, spec, robot,
                       {**labels, "task": spec.task, "episode_seed": spec.seed})
            for spec in plan_episodes(list(tasks), episodes, seed)]


def checkpoint_record(run: EpisodeRun, outcome: EpisodeOutcome) -> dict:
    """Return the line of an episode of ``checkpoint_runs``; a policy that cannot act fails it."""
    result = outcome.result
    return {**run.labels, "success": result.success, "steps": result.steps,
            "return": round(result.episode_return, 3),
            "error": None if outcome.error is None else str(outcome.error)}


def open_study_workers(options: StudyOptions) -> Workers:
    """Return the processes of a study, see ``open_workers``."""
    return open_workers(options.workers, options.ray, STUDY_WORKERS)


def missing_jobs(runs: Sequence[EpisodeRun], log: ResultsLog) -> list[Job]:
    """Return jobs for the episodes whose labels are not in the log yet."""
    names = list(runs[0].labels) if runs else []
    done = {tuple(record.get(n) for n in names) for record in log.records[EPISODES]}
    return [Job("episode", run_episode, run) for run in runs
            if tuple(run.labels[n] for n in names) not in done]


def run_missing(runs: Sequence[EpisodeRun], log: ResultsLog, workers: Workers,
                record: Callable[[EpisodeRun, EpisodeOutcome], dict]) -> bool:
    """Run the episodes that are not in the log yet, and log each as it ends.

    Args:
        record: makes the line of an episode, its labels included.

    Returns:
        Whether all were run; False after SIGINT or SIGTERM, when the same command continues.
    """
    def finished(job: Job, outcome: EpisodeOutcome) -> None:
        log.add(EPISODES, record(job.argument, outcome))

    jobs = missing_jobs(runs, log)
    return complete(jobs, finished, workers, {"episode": len(jobs)})


def complete(jobs: Sequence[Job], finished: Callable, workers: Workers,
             total: dict[str, int]) -> bool:
    """Run jobs as ``work_through`` does; False, with a message, if it was stopped."""
    try:
        if jobs:
            work_through(jobs, finished, workers, Progress(total, workers.count))
    except Stopped:
        print("stopped; what is finished is saved, the same command continues from here")
        return False
    return True
