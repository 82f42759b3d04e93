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

"""What an alarm of the monitor could do by itself, and whether it pays.

A policy acts in lock-step, undisturbed and disturbed in nine ways, with its monitor. From an alarm
on it goes on as if nothing was, slows down, executes fewer rows of each chunk, chooses the sample
that agrees most with its last plan, or goes back along its executed path to the last moment that
the monitor trusted, and tries again; or the arm holds, and a second later a person, here the
scripted expert, does the rest. All have the same time. Episodes without an alarm are the same for
all and run once.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from _disturbances import KINDS, Disturbance, disturbed_episode
from _figures import print_heading
from tqdm import tqdm

from sim_bridge.environment import ArmEnvironment
from sim_bridge.make_environment import make_environment
from sim_bridge.metaworld.experts import make_expert
from sim_bridge.rollout import Episode
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import expand_tasks
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.monitor.monitor import Monitor
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

ACTIONS = ("nothing", "slow", "fewer rows", "resample", "rewind", "help")
SCENES = 85_000  # seeds, apart from those that the monitors were calibrated and judged with
SAMPLES, TRIES = 8, 3
TRUSTED = 0.6  # score below which a moment is trusted
LEAST_BACK, MOST_BACK = 24, 160  # control steps
REACTION = 80  # control steps until a person drives


@dataclass
class Outcome:
    """What became of an episode.

    Attributes:
        action: of ``ACTIONS``.
        kind: of disturbance.
        task, seed: of the scene.
        success: within the horizon.
        steps: control steps.
        alarms: how often one was raised.
    """

    action: str
    kind: str
    task: str
    seed: int
    success: bool
    steps: int
    alarms: int


@dataclass
class Attempt:
    """An episode with a policy, its monitor, and what an alarm does."""

    policies: list[Policy]
    monitor: Monitor
    action: str
    episode: Episode
    disturbance: Disturbance
    alarms: int = 0
    _tries: int = 0
    _path: list[np.ndarray] = field(default_factory=list)  # since the last rewind
    _trusted: int = 0  # how much of the path the monitor trusted
    _plan: np.ndarray | None = None  # rows that were planned beyond what was executed
    _begins: bool = True
    _was_alarm: bool = False

    def run(self) -> None:
        for policy in self.policies:
            policy.reset()
        while not self.episode.done:
            seen = self.disturbance.seen(self.episode.observe(), self.episode.steps)
            first = self.policies[0]
            reading = self.monitor.look(first.network_inputs(seen)[1], seen.stamp_ns,
                                        seen.instruction, begins=self._begins)
            self._begins = False
            is_alarm = bool(reading.reason)
            self.alarms += is_alarm and not self._was_alarm
            if is_alarm and self.action == "rewind" and self._tries < TRIES:
                self._rewind()
                self._was_alarm = False
                continue
            if is_alarm and self.action == "help":
                self._help()
                return
            self._was_alarm = is_alarm
            if reading.score < TRUSTED:
                self._trusted = len(self._path)
            self._act(seen, is_alarm)

    def _act(self, seen, is_alarm: bool) -> None:
        first = self.policies[0]
        rows = first.config.action.n_action_steps
        chunk = first.infer(seen).actions
        if is_alarm and self.action == "resample" and self._plan is not None:
            chunks = [chunk, *(p.infer(seen).actions for p in self.policies[1:])]
            chunk = min(chunks, key=lambda c: float(np.abs(
                c[:len(self._plan)] - self._plan[:len(c)]).mean()))
        if is_alarm and self.action == "fewer rows":
            rows = max(1, rows // 2)
        self._plan = chunk[rows:]
        for row in chunk[:rows]:
            if is_alarm and self.action == "slow":
                half = np.array([*row[:3] / 2, row[3]])
                self._execute(half)
                self._execute(half)
            else:
                self._execute(row)

    def _rewind(self) -> None:
        self._tries += 1
        back = int(np.clip(len(self._path) - self._trusted, LEAST_BACK, MOST_BACK))
        for row in reversed(self._path[-back:]):
            self._execute(np.array([*-row[:3], row[3]]))
        self._path, self._trusted, self._plan, self._begins = [], 0, None, True
        for policy in self.policies:
            policy.reset()

    def _help(self) -> None:
        env = self.episode.env
        person = make_expert(env.task, env.config.scenes)
        for _ in range(REACTION):
            self._execute(env.hold_action())
        while not self.episode.done:
            self._execute(np.clip(person.get_action(env.privileged_observation), -1.0, 1.0))

    def _execute(self, row: np.ndarray) -> None:
        if not self.episode.done:
            executed = self.disturbance.executed(row, self.episode.steps)
            self.episode.control(executed)
            self._path.append(np.array(executed))


def attempt(env: ArmEnvironment, policies: list[Policy], monitor: Monitor, action: str, kind: str,
            seed: int, horizon: int) -> Outcome | None:
    """Run an episode; None if its scene has no room for it."""
    begun = disturbed_episode(env, kind, seed, horizon)
    if begun is None:
        return None
    disturbance, episode = begun
    with disturbance.of_model():
        one = Attempt(policies, monitor, action, episode, disturbance)
        one.run()
    return Outcome(action, kind, env.task, seed, episode.success, episode.steps, one.alarms)


def main() -> None:
    """Run episodes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="with a monitor")
    parser.add_argument("--tasks", nargs="+", required=True, help="of the checkpoint, or a suite")
    parser.add_argument("--episodes", type=int, default=6, help="of each task and disturbance")
    parser.add_argument("--horizon", type=int, default=480, help="control steps of 12.5 ms")
    parser.add_argument("--actions", nargs="+", choices=ACTIONS[1:], default=ACTIONS[1:])
    parser.add_argument("--out", type=Path, help="file for one line of JSON per episode")
    options = parser.parse_args()
    tasks = list(expand_tasks(options.tasks))
    saved = SavedCheckpoint.read(options.checkpoint)
    print_heading("What an alarm does", ["mujoco", "metaworld", "onnxruntime"],
                  checkpoint=options.checkpoint.name, digest=saved.digest, tasks=len(tasks),
                  horizon=options.horizon, episodes=options.episodes, seed=SCENES, tries=TRIES)
    policies = [Policy(options.checkpoint, seed=seed) for seed in range(SAMPLES)]
    monitor = Monitor.of(saved, is_needed=True)
    robot = SimulatedRobotConfig.for_tasks(tasks).with_cameras(saved.config.cameras)
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for task in tasks:
        env = make_environment(task, robot)
        wanted = [(kind, SCENES + n) for kind in KINDS for n in range(options.episodes)]
        for kind, seed in tqdm(wanted, desc=task, mininterval=30.0):
            base = attempt(env, policies, monitor, ACTIONS[0], kind, seed, options.horizon)
            if base is None:
                continue
            for action in (ACTIONS[0], *options.actions):
                found = base if action == ACTIONS[0] or not base.alarms else attempt(
                    env, policies, monitor, action, kind, seed, options.horizon)
                outcomes[action].append(found)
                if options.out:
                    line = asdict(found) | {"action": action}
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
    rows = []
    for kind in (*KINDS, "disturbed"):
        of_kind = {action: [o.success for o in found if kind in (o.kind, "disturbed")
                            and (kind, o.kind) != ("disturbed", "clean")]
                   for action, found in outcomes.items()}
        rows.append([kind, *(rate_text(found) for found in of_kind.values())])
    hours = {action: sum(o.steps for o in found) * 0.0125 / 3600.0
             for action, found in outcomes.items()}
    rows.append(["alarms an hour", *(f"{sum(o.alarms for o in found) / hours[action]:.0f}"
                                     for action, found in outcomes.items())])
    print("\n" + markdown_table(["", *outcomes], rows), flush=True)


if __name__ == "__main__":
    main()
