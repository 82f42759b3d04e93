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

"""Evaluate a checkpoint without ROS, on all cores, with the protocol of ``sim-eval``."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.episodes import POLICY_SEED, plan_episodes
from sim_bridge.opengl import require_opengl
from sim_bridge.protocol import trained_with, under_protocol
from sim_bridge.results.writing import EpisodeRecord, ResultsWriter, protocol
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.resources import default_checkpoint
from training.experiments.options import EvaluationOptions
from training.jobs.episodes import (
    EpisodeOutcome,
    EpisodeRun,
    PolicySource,
    load_policy,
    run_episode,
)
from training.jobs.pool import open_workers, work_through
from training.jobs.progress import progress_bar
from training.jobs.workers import Job


def evaluate(options: EvaluationOptions) -> dict:
    """Run every episode and write ``results.json``, ``episodes.jsonl`` and images.

    The outcome does not depend on where and how many ``options.workers`` run.

    Returns:
        The content of ``results.json``.

    Raises:
        InputError: an option, the checkpoint, the output directory, the Ray cluster or this
            machine's OpenGL cannot be used.
    """
    options, under = under_protocol(options)
    tasks = options.tasks
    plan = plan_episodes(list(tasks), options.episodes, options.seed)
    robot = SimulatedRobotConfig.for_tasks(tasks, options.config, options.scenes)
    require_opengl()
    source = PolicySource(Path(options.checkpoint or default_checkpoint()),
                          device=options.device, seed=POLICY_SEED, backend=options.backend)
    policy = load_policy(source)
    robot.with_cameras(policy.config.cameras)
    demonstrations = trained_with(source.checkpoint)
    if under is not None:
        under.check_policy(policy.config, demonstrations)
    for task in tasks:
        policy.config.check_instruction(robot.instruction(task))
    jobs = [Job("episode", run_episode, EpisodeRun(
        source, spec, robot, horizon=options.horizon,
        film_strip=spec.seed == options.seed)) for spec in plan]

    def finished(job: Job, outcome: EpisodeOutcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        result = outcome.result
        if outcome.film_strip is not None:
            writer.out.mkdir(parents=True, exist_ok=True)
            (writer.out / f"{result.spec.task}.png").write_bytes(outcome.film_strip)
        writer.add(EpisodeRecord(
            result.spec.task, result.spec.seed, result.success, result.steps,
            result.episode_return, len(outcome.latency_ms), outcome.latency_ms))
        progress.update()
        progress.set_postfix(success=f"{sum(r.success for r in writer.records)}"
                             f"/{len(writer.records)}")

    with open_workers(options.workers, options.ray) as workers:
        writer = ResultsWriter(options.out)
        with progress_bar(total=len(plan), unit="episode", desc="evaluate") as progress:
            work_through(jobs, finished, workers, in_order=True)
    return writer.finish(protocol(
        policy.config, policy.digest, robot, tasks=tasks,
        episodes=options.episodes, seed=options.seed, horizon=options.horizon, under=under,
        demonstrations=demonstrations, mode="in process, lock-step",
        policy_seed=POLICY_SEED, backend=str(policy.backend),
        sample_steps=policy.backend.sample_steps))
