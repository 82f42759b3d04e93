# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint without ROS, on all cores, with the protocol of ``sim-eval``."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

from sim_bridge.episodes import POLICY_SEED, plan_episodes
from sim_bridge.results import EpisodeRecord, ResultsWriter, protocol
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import find_device
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource, run_episode
from training.jobs.pool import Job, work_through
from training.jobs.progress import progress_bar


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate; the same fields as ``tinyvla sim-eval``, without the mode.

    Attributes:
        tasks: MetaWorld task names.
        episodes: episodes per task.
        seed: seed of the first episode of every task; the next ones count up.
        checkpoint: checkpoint directory.
        device: torch device.
        policy_seed: seed of the sampler's noise.
        scenes: ``standard``, or ``shared`` (``sim_bridge.shared_scenes``).
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    checkpoint: Path
    device: str = "cpu"
    policy_seed: int = POLICY_SEED
    scenes: str = "standard"


def evaluate(options: EvaluationOptions, out: Path, workers: int | None = None) -> dict:
    """Run every episode and write ``results.json``, ``episodes.jsonl`` and images to ``out``.

    The outcome does not depend on ``workers``.

    Raises:
        InputError: an option, the checkpoint or the output directory cannot be used.
    """
    plan = plan_episodes(list(options.tasks), options.episodes, options.seed)
    robot = SimulatedRobotConfig.load(scenes=options.scenes)
    find_device(options.device)
    checkpoint = load_checkpoint(options.checkpoint)
    for task in options.tasks:
        checkpoint.config.check_instruction(robot.instruction(task))
    writer = ResultsWriter(out)
    policy = PolicySource(options.checkpoint, device=options.device, seed=options.policy_seed)
    jobs = [Job("episode", run_episode, EpisodeRun(
        policy, spec, robot,
        film_strip=writer.out / f"{spec.task}.png" if spec.seed == options.seed else None))
        for spec in plan]

    def finished(job: Job, outcome: EpisodeOutcome) -> tuple[Job, ...]:
        if outcome.error is not None:
            raise outcome.error
        result = outcome.result
        writer.add(EpisodeRecord(
            result.spec.task, result.spec.seed, result.success, result.steps,
            result.episode_return, len(outcome.latency_ms), outcome.latency_ms))
        progress.update()
        progress.set_postfix(success=f"{sum(r.success for r in writer.records)}"
                             f"/{len(writer.records)}")
        return ()

    workers = min(workers or multiprocessing.cpu_count(), len(plan))
    with progress_bar(total=len(plan), unit="episode", desc="evaluate") as progress:
        work_through(jobs, finished, workers, in_order=True)
    return writer.finish(protocol(
        checkpoint.config, checkpoint.digest, robot, tasks=options.tasks,
        episodes=options.episodes, seed=options.seed, mode="in process, lock-step",
        policy_seed=options.policy_seed, scenes=options.scenes))
