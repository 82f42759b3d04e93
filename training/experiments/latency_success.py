# SPDX-License-Identifier: Apache-2.0
"""How much latency does a policy tolerate, and with which blending of chunks?"""

from __future__ import annotations

from sim_bridge.episodes import plan_episodes
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.experiments.episodes import check_evaluation, run_missing
from training.experiments.latency_report import write_report
from training.experiments.options import LatencyStudyOptions
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource
from training.jobs.results_log import EPISODES, ResultsLog


def compare_latencies(options: LatencyStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.
    """
    checkpoint = (options.checkpoint or default_checkpoint()).resolve()
    loaded, robot = load_checkpoint(checkpoint), SimulatedRobotConfig.load()
    check_evaluation(options.tasks, options.episodes, options.seed, loaded.config, robot)
    plan = {"checkpoint": loaded.digest, "tasks": options.tasks, "joins": options.joins,
            "latencies_ms": options.latencies, "episodes": options.episodes,
            "seed": options.seed, "horizon": loaded.config.action.horizon,
            "dt": loaded.config.action.dt}
    runs = [EpisodeRun(PolicySource(checkpoint), spec, robot,
                       {"join": join, "latency_ms": latency, "task": spec.task, "seed": spec.seed},
                       delay=(join, round(latency * 1e6)))
            for spec in plan_episodes(list(options.tasks), options.episodes, options.seed)
            for join in options.joins for latency in options.latencies]
    with ResultsLog(options.out, plan, (EPISODES,)) as log:
        return write_report(log) if run_missing(runs, log, options.workers, _record) else None


def _record(run: EpisodeRun, outcome: EpisodeOutcome) -> dict:
    if outcome.error is not None:
        raise outcome.error
    return {**run.labels, "success": outcome.result.success, "steps": outcome.result.steps,
            "held_steps": outcome.delayed.held_steps,
            "seams": [[round(s.position, 5), round(s.velocity, 4)] for s in outcome.delayed.seams]}
