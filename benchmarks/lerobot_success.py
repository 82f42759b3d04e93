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

"""Success under the same latency: a DiffusionPolicy that LeRobot trained on our data, and ours.

The LeRobot checkpoint is imported (equal to LeRobot's own code, see ``lerobot_equality.py``) and
runs with DDIM. Both drive the same episodes in simulated time, with the supervisor of
``policy_node``. LeRobot's chunks replace each other, and a new one is asked for when LeRobot's
asynchronous client does by default: when half of the actions to execute are left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from sim_bridge.arms import METAWORLD
from sim_bridge.delayed_rollout import RealTime, delayed_rollout
from sim_bridge.episodes import EpisodeSpec, plan_episodes
from sim_bridge.rollout import Episode
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.lerobot_import.importer import import_checkpoint
from tinyvla_ros.lerobot_import.options import ImportOptions
from tinyvla_ros.policy.policy import Policy
from training.jobs.episodes import environment
from training.jobs.local_processes import LocalProcesses
from training.jobs.pool import Progress, work_through
from training.jobs.workers import Job

# LeRobot's default for ``chunk_size_threshold``.
LEFT = 0.5


class FramePolicy:
    """A policy whose action is a frame of several control steps, as one of single steps.

    The columns of our datasets, which LeRobot learns as one action, are named ``ee_dx.0``,
    ``ee_dy.0``, ... ``gripper.3``.

    Attributes:
        config: with a row per control step.
    """

    def __init__(self, policy: Policy):
        self._policy, action = policy, policy.config.action
        names = [name.rpartition(".") for name in action.channels]
        channels = tuple(dict.fromkeys(channel for channel, _, _ in names))
        self._shape = (-1, len(channels))
        rows = len(names) // len(channels)
        if [f"{c}.{i}" for i in range(rows) for c in channels] != list(action.channels):
            raise InputError(f"The actions are {', '.join(action.channels)}; they must be those "
                             "of a dataset of `tinyvla collect`.")
        low, high = (np.reshape(v, self._shape) for v in (action.low, action.high))
        self.config = policy.config.model_copy(update={"action": action.model_copy(update={
            "channels": channels, "units": action.units[:len(channels)],
            "low": tuple(low.min(axis=0)), "high": tuple(high.max(axis=0)),
            "dt": action.dt / rows, "horizon": rows * action.horizon,
            "n_action_steps": rows * action.n_action_steps})})

    def infer(self, observation, prefix=None, past=()) -> ActionChunk:
        """Return a chunk, see ``Policy.infer``; it continues nothing."""
        chunk = self._policy.infer(observation, None, past)
        action = self.config.action
        return ActionChunk(chunk.stamp_ns, action.channels, chunk.actions.reshape(self._shape),
                           action.dt, chunk.latency_s)


@dataclass(frozen=True)
class Cell:
    """An episode of a policy under a latency.

    Attributes:
        checkpoint: directory.
        is_lerobot: whether LeRobot trained it.
        latency_ms: from image to chunk, simulated time.
        pace: of the execution; 0 for the contract's.
        spec: which episode.
    """

    checkpoint: Path
    is_lerobot: bool
    latency_ms: int
    pace: float
    spec: EpisodeSpec


@lru_cache
def load(checkpoint: Path, is_lerobot: bool) -> Policy | FramePolicy:
    """Return this process's policy."""
    policy = Policy(checkpoint)
    return FramePolicy(policy) if is_lerobot else policy


def run(cell: Cell) -> tuple[bool, int]:
    """Return success and control steps of an episode."""
    policy = load(cell.checkpoint, cell.is_lerobot)
    every = round((1 - LEFT) * policy.config.action.n_action_steps) if cell.is_lerobot else 0
    episode = Episode(environment(cell.spec.task, SimulatedRobotConfig.load()), cell.spec)
    result = delayed_rollout(policy, episode, RealTime(
        join="replace" if cell.is_lerobot else "", pace=cell.pace,
        latency_ns=cell.latency_ms * 1_000_000, replan_every=every)).episode
    return result.success, result.steps


def main() -> None:
    """Import, run the episodes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="LeRobot's pretrained_model directory")
    parser.add_argument("--dataset", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--tasks", nargs="+", default=["reach-v3", "button-press-v3"])
    parser.add_argument("--latencies", type=int, nargs="+", default=[0, 50, 100, 200])
    parser.add_argument("--paces", type=float, nargs="+", default=[1.0, 0.0])
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=40000)
    parser.add_argument("--sample-steps", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        imported = Path(place) / "imported"
        import_checkpoint(ImportOptions(source=args.source, out=imported, dataset=args.dataset,
                                        sampler="ddim", sample_steps=args.sample_steps))
        compare({f"LeRobot, DDIM, {args.sample_steps} steps": (imported, True),
                 "ours": (args.checkpoint, False)}, args)


def compare(policies: dict[str, tuple[Path, bool]], args) -> None:
    """Run the episodes of all policies, and print how they went."""
    cells = [Cell(*policy, latency, pace, spec)
             for spec in plan_episodes(args.tasks, args.episodes, args.seed)
             for policy, pace, latency in product(policies.values(), args.paces, args.latencies)]
    results: dict[Cell, tuple[bool, int]] = {}

    def finished(job: Job, result: tuple[bool, int]) -> None:
        results[job.argument] = result

    with LocalProcesses(args.workers) as workers:
        work_through((Job("episode", run, cell) for cell in cells), finished, workers,
                     Progress({"episode": len(cells)}, workers.count))
    rows = []
    for (name, policy), pace, latency in product(policies.items(), args.paces, args.latencies):
        found = {c: r for c, r in results.items()
                 if (c.checkpoint, c.is_lerobot, c.latency_ms, c.pace) == (*policy, latency, pace)}
        rates = [rate_text([success for cell, (success, _) in found.items()
                            if cell.spec.task == task]) for task in args.tasks]
        times = [METAWORLD.control_dt * steps for success, steps in found.values() if success]
        rows.append([name, f"{pace:g}" if pace else "robot's", latency, *rates,
                     rate_text([success for success, _ in found.values()]),
                     f"{np.mean(times):.2f}" if times else "-"])
    print(markdown_table(["", "pace", "latency ms", *args.tasks, "all tasks", "s to success"],
                         rows))


if __name__ == "__main__":
    try:
        main()
    except InputError as err:
        sys.exit(f"error: {err}")
