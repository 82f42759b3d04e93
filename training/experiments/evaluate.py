# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint in process: the protocol of ``sim-eval`` without ROS, on all cores."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

from sim_bridge.episodes import HORIZON, EpisodeSpec, plan_episodes
from sim_bridge.metaworld_env import MetaWorldEnv
from sim_bridge.results import EpisodeRecord, ResultsWriter, protocol
from sim_bridge.robot_config import RobotConfig
from sim_bridge.rollout import Episode, rollout
from tinyvla_ros.core.film_strip import FilmStrip
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy
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
    policy_seed: int = 0
    scenes: str = "standard"


def evaluate(options: EvaluationOptions, out: Path, workers: int | None = None) -> dict:
    """Run every episode and write ``results.json``, ``episodes.jsonl`` and pictures to ``out``.

    The outcome does not depend on ``workers``.

    Raises:
        InputError: an option, the checkpoint or the output directory cannot be used.
    """
    plan = plan_episodes(list(options.tasks), options.episodes, options.seed)
    robot = RobotConfig.load(scenes=options.scenes)
    checkpoint = load_checkpoint(options.checkpoint)
    for task in options.tasks:
        checkpoint.config.check_instruction(robot.instruction(task))
    writer = ResultsWriter(out)
    workers = min(workers or multiprocessing.cpu_count(), len(plan))
    context = multiprocessing.get_context("spawn")
    with (context.Pool(workers, _start_worker, (options, writer.out)) as pool,
          progress_bar(total=len(plan), unit="episode", desc="evaluate") as progress):
        for record in pool.imap(_run_episode, plan):
            writer.add(record)
            progress.update()
            progress.set_postfix(success=f"{sum(r.success for r in writer.records)}"
                                 f"/{len(writer.records)}")
    cameras = {name: pose.model_dump() for name, pose in robot.cameras.items()}
    return writer.finish(protocol(
        checkpoint.config, checkpoint.digest, tasks=options.tasks, episodes=options.episodes,
        seed=options.seed, mode="in process, lock-step", horizon=HORIZON, cameras=cameras,
        policy_seed=options.policy_seed, scenes=options.scenes))


_worker: dict = {}


def _start_worker(options: EvaluationOptions, out: Path) -> None:
    policy = Policy(options.checkpoint, options.device, options.policy_seed)
    _worker.update(policy=policy, out=out, envs={}, config=RobotConfig.load(scenes=options.scenes),
                   first_seed=options.seed)


def _run_episode(spec: EpisodeSpec) -> EpisodeRecord:
    envs = _worker["envs"]
    if spec.task not in envs:
        envs[spec.task] = MetaWorldEnv(spec.task, _worker["config"])
    strip = FilmStrip() if spec.seed == _worker["first_seed"] else None
    latencies = []
    episode = Episode(envs[spec.task], spec)
    for observation, chunk in rollout(_worker["policy"], episode):
        latencies.append(1e3 * chunk.latency_s)
        if strip is not None:
            strip.add(observation.images)
    result = episode.result()
    if strip is not None:
        strip.add(episode.observe().images)
        strip.write(_worker["out"] / f"{spec.task}.png",
                    f"{spec.task} seed {spec.seed}: {'success' if result.success else 'failure'}")
    return EpisodeRecord(spec.task, spec.seed, result.success, result.steps,
                         result.episode_return, len(latencies), tuple(latencies))
