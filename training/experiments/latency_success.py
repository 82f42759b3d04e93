# SPDX-License-Identifier: Apache-2.0
"""How much latency does a policy bear, and which way of joining chunks bears most?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sim_bridge.episodes import EpisodeSpec, plan_episodes
from training.experiments.options import LatencyStudyOptions

EPISODES = "episodes"


@dataclass(frozen=True)
class DelayedJob:
    """An episode under latency."""

    checkpoint: Path
    spec: EpisodeSpec
    join: str
    latency_ms: float


def compare_latencies(options: LatencyStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to go on with the same options.
    """
    from tinyvla_ros.core.resources import default_checkpoint
    from tinyvla_ros.policy.checkpoint import load_checkpoint
    from training.experiments.episode_jobs import check_tasks, gather
    from training.experiments.latency_report import write_report
    from training.jobs.pool import Job
    from training.jobs.results_log import ResultsLog

    checkpoint = (options.checkpoint or default_checkpoint()).resolve()
    loaded = load_checkpoint(checkpoint)
    check_tasks(options.tasks, options.episodes, options.seed, loaded.config)
    plan = {"checkpoint": loaded.digest, "tasks": options.tasks, "joins": options.joins,
            "latencies_ms": options.latencies, "episodes": options.episodes,
            "seed": options.seed, "horizon": loaded.config.action.horizon,
            "dt": loaded.config.action.dt}
    with ResultsLog(options.out, plan, (EPISODES,)) as log:
        done = {(r["join"], r["latency_ms"], r["task"], r["seed"]) for r in log.records[EPISODES]}
        jobs = [Job("episode", run_episode, DelayedJob(checkpoint, spec, join, latency))
                for spec in plan_episodes(options.tasks, options.episodes, options.seed)
                for join in options.joins for latency in options.latencies
                if (join, latency, spec.task, spec.seed) not in done]
        if not gather(log, EPISODES, jobs, options.workers):
            return None
        return write_report(log)


_envs: dict = {}
_policies: dict = {}


def run_episode(job: DelayedJob) -> dict:
    """Run an episode; returns its line of the results."""
    from sim_bridge.delayed_rollout import delayed_rollout
    from sim_bridge.metaworld_env import MetaWorldEnv
    from sim_bridge.rollout import Episode
    from tinyvla_ros.policy.policy import Policy

    if job.spec.task not in _envs:
        _envs[job.spec.task] = MetaWorldEnv(job.spec.task)
    if job.checkpoint not in _policies:
        _policies[job.checkpoint] = Policy(job.checkpoint, threads=1)
    result = delayed_rollout(_policies[job.checkpoint], Episode(_envs[job.spec.task], job.spec),
                             job.join, round(job.latency_ms * 1e6))
    return {"join": job.join, "latency_ms": job.latency_ms, "task": job.spec.task,
            "seed": job.spec.seed, "success": result.episode.success,
            "steps": result.episode.steps, "held_steps": result.held_steps,
            "seams": [[round(s.position, 5), round(s.velocity, 4)] for s in result.seams]}
