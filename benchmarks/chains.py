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

"""Tasks that follow each other in one scene: how often is each done, and the whole chain?

A simulated arm in a chained scene, a policy and sequence_node, each in its own process, on the
wall clock. Every step ends by what the monitor tells, and nothing else; what is true then is what
the simulation says of the step at that moment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
import yaml
from _figures import print_heading
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from tqdm import tqdm

from harness.processes import Listener, Output, start_node, stop
from sim_bridge import task_suites
from sim_bridge.metaworld.shared_scenes import success_topic
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.core.tables import markdown_table

REACH, PICK = "reach-v3", "pick-place-v3"
SCENES = task_suites.SCENES | {"puck": (PICK, REACH)}
ENDS = ("succeeded", "failed", "cancelled")
LATCHED = QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass
class Chain:
    """What became of one chain.

    Attributes:
        scene: key of ``SCENES``.
        seed: of the scene.
        length: how many steps it has.
        done: of each step that was said to be done, whether the simulation says it is done then.
        seconds: that each of these took.
        reason: why the sequence ended.
        is_unnoticed: whether a step that came to no end is done for the simulation.
    """

    scene: str
    seed: int
    length: int
    done: list[bool]
    seconds: list[float]
    reason: str
    is_unnoticed: bool

    def outcome_of(self, number: int) -> list[bool]:
        """Return whether a step was done, in a list that is empty if it was never begun."""
        if number < len(self.done):
            return [self.done[number]]
        begun = number == len(self.done) < self.length
        return [False] if begun else []

    @property
    def succeeded(self) -> bool:
        return len(self.done) == self.length and all(self.done)


@dataclass(frozen=True)
class Said:
    """A feedback of sequence_node, and what the simulation had said of each task by then."""

    of: str
    state: str
    step: int
    time_s: float
    text: str
    true: dict[str, bool]


class ChainRig(Listener):
    """The arm in a scene, a policy and sequence_node."""

    def __init__(self, scene: str, checkpoint: Path, seed: int, place: Path):
        super().__init__()
        self.scene, self.tasks, self.seed = scene, SCENES[scene], seed
        self._words = SimulatedRobotConfig.load(scenes="chained").instruction
        robot = str(robot_file("metaworld"))
        file = place / "sequence.yaml"
        file.write_text(yaml.safe_dump({"steps": [self._step(0, {"done": 0.5}, 20.0)]}))
        self._processes = [
            start_node("sim_robot_node", task=self.tasks[0], seed=seed, scenes="chained"),
            start_node("policy_node", robot=robot, checkpoint=str(checkpoint),
                       instruction_timeout=1.0),
            start_node("sequence_node", robot=robot, checkpoint=str(checkpoint),
                       file=str(file))]
        self._outputs = [Output(process) for process in self._processes]
        self.true = dict.fromkeys(self.tasks, False)
        self.feedback: list[Said] = []
        self._run = self.node.create_publisher(String, "sequence_node/run", 10)
        self.node.create_subscription(DiagnosticStatus, "sequence_node/feedback",
                                      self._on_feedback, LATCHED)
        for task in self.tasks:
            self.node.create_subscription(
                Bool, success_topic(task),
                lambda msg, task=task: self.true.update({task: msg.data}), LATCHED)
        self._outputs[1].wait_for("ready")
        self._outputs[0].wait_for("is there")
        self.until(lambda: self.feedback, "sequence_node")

    def close(self) -> None:
        for process in self._processes:
            stop(process)
        super().close()

    def run(self, length: int, until: dict[str, float], limit: float) -> Chain:
        """Run one chain in a new scene."""
        answer = self.call(Trigger, "sim_robot_node/reset", Trigger.Request())
        if not answer.success:
            raise SystemExit(answer.message)
        self.seed += 1
        name = f"{self.scene} {length} {self.seed}"
        text = yaml.safe_dump({"id": name, "steps": [
            self._step(number, until, limit) for number in range(length)]})
        self.feedback.clear()
        self.until(self._run.get_subscription_count, "sequence_node to listen")
        self._run.publish(String(data=text))
        self.until(lambda: any(s.of == name and s.state in ENDS for s in self.feedback),
                   "the end of the chain")
        # Before its first step it has none.
        mine = [s for s in self.feedback if s.of == name and (s.step or s.state in ENDS)]
        end = next(number for number, s in enumerate(mine) if s.state in ENDS)
        chain = Chain(self.scene, self.seed, length, [], [], mine[end].text, False)
        since_s = mine[0].time_s
        for before, now in itertools.pairwise(mine[:end + 1]):
            if now.state == "succeeded" or (now.step != before.step and now.state not in ENDS):
                chain.done.append(now.true[self._task(before.step - 1)])
                chain.seconds.append(now.time_s - since_s)
                since_s = now.time_s
        last = mine[end - 1]
        chain.is_unnoticed = mine[end].state == "failed" and last.true[self._task(last.step - 1)]
        return chain

    def _task(self, number: int) -> str:
        """Return the task of a step: to and fro, or with a puck to one mark after the other."""
        return self.tasks[min(number, 1) if PICK in self.tasks else number % 2]

    def _step(self, number: int, until: dict[str, float], limit: float) -> dict:
        task = self._task(number)
        step = {"instruction": self._words(task), "until": until, "limit": limit}
        # Somebody puts the mark elsewhere.
        return step | ({"call": "sim_robot_node/move_goal"} if number and PICK in self.tasks
                       else {})

    def _on_feedback(self, msg: DiagnosticStatus) -> None:
        values = {v.key: v.value for v in msg.values}
        self.feedback.append(Said(values["id"], msg.message, int(values["step"]),
                                  time.monotonic(), values["text"], dict(self.true)))


@contextmanager
def chain_rig(scene: str, checkpoint: Path, seed: int) -> Iterator[ChainRig]:
    """Run a rig."""
    with tempfile.TemporaryDirectory() as place:
        rig = ChainRig(scene, checkpoint, seed, Path(place))
        try:
            yield rig
        finally:
            rig.close()


def main() -> int:
    """Run chains and print how often their steps and they succeed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="with a monitor")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[2, 4], help="steps of a chain")
    parser.add_argument("--times", type=int, default=20, help="chains of each length and scene")
    parser.add_argument("--seed", type=int, default=90000, help="of the first scene")
    parser.add_argument("--until", nargs=2, default=("done", "0.5"), metavar=("WHAT", "VALUE"),
                        help="what ends a step: done or progress, and more than which value")
    parser.add_argument("--lasts", type=float, default=0.2, help="for how long, s")
    parser.add_argument("--limit", type=float, default=15.0, help="of a step, s")
    parser.add_argument("--out", type=Path, help="file for one line of JSON per chain")
    args = parser.parse_args()
    print_heading("Chains by the monitor alone", ["ros-jazzy-rclpy", "mujoco"],
                  checkpoint=checkpoint_digest(args.checkpoint), times=args.times,
                  seed=args.seed, until=" ".join(args.until), lasts=args.lasts, limit=args.limit)
    chains, until = [], {args.until[0]: float(args.until[1]), "lasts": args.lasts}
    with tqdm(total=len(args.scenes) * len(args.lengths) * args.times, unit="chain") as bar:
        for scene in args.scenes:
            with chain_rig(scene, args.checkpoint, args.seed) as rig:
                for length in args.lengths:
                    for _ in range(args.times):
                        chains.append(rig.run(length, until, args.limit))
                        bar.update()
                        if args.out:
                            with args.out.open("a", encoding="utf-8") as file:
                                file.write(json.dumps(asdict(chains[-1])) + "\n")
    print_results(chains)
    return 0


def print_results(chains: list[Chain]) -> None:
    """Print success of chains, and of the steps in them that were begun."""
    rows, longest = [], max(chain.length for chain in chains)
    for length in sorted({chain.length for chain in chains}):
        of_length = [chain for chain in chains if chain.length == length]
        for scene in (*dict.fromkeys(chain.scene for chain in of_length), "all"):
            mine = [chain for chain in of_length if scene in (chain.scene, "all")]
            seconds = [s for chain in mine for s in chain.seconds]
            rows.append([scene, length, rate_text([chain.succeeded for chain in mine]),
                         *(rate_text([done for chain in mine for done in chain.outcome_of(number)])
                           for number in range(longest)),
                         f"{np.median(seconds):.1f}" if seconds else "-"])
    print(markdown_table(("scene", "steps", "chain", *(f"step {n + 1}" for n in range(longest)),
                          "median of a step, s"), rows))
    for chain in chains:
        if not chain.succeeded:
            print(f"{chain.scene} {chain.length} seed {chain.seed}: {chain.done} {chain.reason}"
                  f"{', though it is' if chain.is_unnoticed else ''}",
                  file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
