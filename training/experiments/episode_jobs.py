# SPDX-License-Identifier: Apache-2.0
"""Single evaluation episodes of many checkpoints, as jobs for other processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sim_bridge.episodes import EpisodeSpec, plan_episodes
from sim_bridge.robot_config import RobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.policy.config import PolicyConfig
from training.jobs.pool import Job, Progress, Stopped, work_through
from training.jobs.results_log import ResultsLog

FINAL_SEEDS = 50  # seeds 0 to 49 are for published results and decide nothing
POLICY_SEED = 0


@dataclass(frozen=True)
class EpisodeJob:
    """An episode of a checkpoint.

    Attributes:
        checkpoint: checkpoint directory.
        spec: which episode.
        n_action_steps: actions executed per chunk, None for the checkpoint's own.
        labels: what to call the result, e.g. cell and seed.
    """

    checkpoint: Path
    spec: EpisodeSpec
    n_action_steps: int | None
    labels: dict


def check_tasks(tasks: Sequence[str], episodes: int, seed: int, config: PolicyConfig,
                robot: RobotConfig | None = None) -> None:
    """Check an evaluation before anything starts.

    Raises:
        InputError: a task the policy does not know, a camera the robot lacks, seeds kept for
            final results, numbers out of range.
    """
    plan_episodes(list(tasks), episodes, seed)
    if seed < FINAL_SEEDS:
        raise InputError(f"Seed is {seed}; seeds 0 to {FINAL_SEEDS - 1} are kept for published "
                         f"results, give one of at least {FINAL_SEEDS}.")
    robot = robot or RobotConfig.load()
    for task in tasks:
        config.check_instruction(robot.instruction(task))
    lacking = [name for name in config.cameras if name not in robot.cameras]
    if lacking:
        raise InputError(f"The policy sees the camera {lacking[0]!r}, the simulated robot has "
                         f"{', '.join(robot.cameras)}.")


def episode_jobs(checkpoint: Path, tasks: Sequence[str], episodes: int, seed: int,
                 n_action_steps: int | None, labels: dict, done: Sequence[dict]) -> list[Job]:
    """Return the episodes that are not in ``done`` yet, the same ones for every checkpoint.

    Args:
        done: results so far; those with the same ``labels`` count.
    """
    mine = {(r["task"], r["episode_seed"]) for r in done if labels.items() <= r.items()}
    return [Job("episode", run_episode, EpisodeJob(checkpoint, spec, n_action_steps, labels))
            for spec in plan_episodes(list(tasks), episodes, seed)
            if (spec.task, spec.seed) not in mine]


def gather(log: ResultsLog, name: str, jobs: list[Job], workers: int) -> bool:
    """Do jobs in other processes and log each result as it comes.

    Returns:
        Whether all were done; false after SIGINT or SIGTERM, when the same command goes on.
    """
    def finished(job: Job, result: dict) -> list[Job]:
        log.add(name, result)
        return []

    try:
        if jobs:
            work_through(jobs, finished, workers, Progress({jobs[0].kind: len(jobs)}, workers))
    except Stopped:
        print("stopped, all saved; the same command goes on from here")
        return False
    return True


def success_rate(results: Sequence[dict]) -> dict:
    """Return counts, rate and 95 % Wilson interval of episodes, at least one."""
    successes, total = sum(r["success"] for r in results), len(results)
    low, high = wilson_interval(successes, total)
    return {"successes": successes, "episodes": total, "rate": successes / total,
            "wilson_low": low, "wilson_high": high}


_envs: dict = {}
_policies: dict = {}


def run_episode(job: EpisodeJob) -> dict:
    """Run an episode; returns its line of the results.

    A policy whose weights or actions are not finite fails it: ``error`` says why.
    """
    from sim_bridge.metaworld_env import MetaWorldEnv
    from sim_bridge.rollout import Episode, rollout

    if job.spec.task not in _envs:
        _envs[job.spec.task] = MetaWorldEnv(job.spec.task, RobotConfig.load())
    episode, error = Episode(_envs[job.spec.task], job.spec), None
    try:
        for _ in rollout(_policy(job), episode):
            pass
    except InputError as err:
        error = str(err)
    result = episode.result()
    return {**job.labels, "task": job.spec.task, "episode_seed": job.spec.seed,
            "success": result.success, "steps": result.steps,
            "return": round(result.episode_return, 3), "error": error}


def _policy(job: EpisodeJob):
    """Return the policy, loaded once for the episodes in a row that use it."""
    from tinyvla_ros.policy.checkpoint import load_checkpoint
    from tinyvla_ros.policy.policy import Policy

    key = (job.checkpoint, job.n_action_steps)
    if key not in _policies:
        checkpoint = load_checkpoint(job.checkpoint)
        if job.n_action_steps is not None:
            config = checkpoint.config
            action = config.action.model_copy(update={"n_action_steps": job.n_action_steps})
            checkpoint = replace(checkpoint, config=config.model_copy(update={"action": action}))
        _policies.clear()
        _policies[key] = Policy(checkpoint, seed=POLICY_SEED, threads=1)
    return _policies[key]
