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

"""How soon a person has the arm that a policy drives, and how smoothly it changes hands.

A real policy node with an untrained policy and an arm, each in its own process; the
gamepad's messages and the commands are in this process. Take: from the first message with the dead
man to the first command of the person. Give back: from the first message without it to the first
command of the policy. Lost: from the last message of a gamepad that falls silent to the hold, of
which the parameter input_timeout is a part. Jump: how position and velocity of a
joint_trajectory_controller change in the moment it takes a command, in the quarter of a second
about a change of hands. For an arm that is commanded by increments (``--robot metaworld --task
reach-v3``), how the increment that is executed then changes; its position cannot jump.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import latency_row, print_heading
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from harness.controller import Controller
from harness.teleop_moves import PAN
from harness.teleop_rig import DEAD_MAN, TeleopRig
from tinyvla_ros.arm.chunk_follower import ChunkFollower
from tinyvla_ros.core.ros.messages import trajectory_to_chunk
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.nodes.shared.runner import LATCHED

WAIT_S, ABOUT_S = 1.0, 0.25
DRIVES = "a person drives"


class Positions:
    """Jumps of a joint_trajectory_controller that takes trajectories."""

    columns = ("position, rad", "velocity, rad/s")

    def __init__(self, rig: TeleopRig):
        self._controller: Controller | None = None

    def take(self, msg: JointTrajectory, now_ns: int) -> list[float]:
        """Return by how much a trajectory changes each of ``columns``."""
        if self._controller is None:
            self._controller = Controller(msg.joint_names, msg.points[0].positions)
        before = self._controller.state(now_ns)
        self._controller.accept(msg, now_ns)
        after = self._controller.state(now_ns)
        return [float(np.abs(a - b).max()) for a, b in zip(before[:2], after[:2], strict=True)]


class Increments:
    """Jumps of an arm that executes chunks of increments, row by row; without one it holds."""

    columns = ("increment, in its unit",)

    def __init__(self, rig: TeleopRig):
        channels, self._chunks = rig.contract.outputs[0].channels, ChunkFollower()
        self._channels = tuple(channels)
        self._moves = np.array([rig.contract.actions[c].hold == "zero" for c in channels])

    def take(self, msg: JointTrajectory, now_ns: int) -> list[float]:
        """Return by how much a chunk changes each of ``columns``."""
        before = self._executed(now_ns)
        self._chunks.accept(trajectory_to_chunk(msg, self._channels))
        return [float(np.abs(self._executed(now_ns) - before).max())]

    def _executed(self, now_ns: int) -> np.ndarray:
        row = self._chunks.action(now_ns)
        return np.zeros(self._moves.sum()) if row is None else row[self._moves]


class Follower:
    """An arm that takes every command, and how far it jumped at each."""

    def __init__(self, rig: TeleopRig):
        self._rig = rig
        self.arm = (Increments if rig.contract.outputs[0].type == "chunk" else Positions)(rig)
        self.jumps: list[tuple[float, ...]] = []  # steady s, and the columns of the arm
        self.first: list[tuple[str, float]] = []  # who commands, and when the first command came
        self._said = ""
        rig.node.create_subscription(String, f"{rig.driver}/commander", self._hear, LATCHED)
        rig.node.create_subscription(JointTrajectory, rig.contract.outputs[0].topic, self._take,
                                     50)

    def _hear(self, msg: String) -> None:
        self._said = msg.data

    def _take(self, msg: JointTrajectory) -> None:
        if self._said:
            self.first.append((self._said, time.monotonic()))
            self._said = ""
        self.jumps.append((time.monotonic(), *self.arm.take(msg, self._rig.now_ns())))

    def until_first(self, name: str, since_s: float) -> float:
        """Return seconds until the first command of somebody; infinite if none comes."""
        deadline = since_s + WAIT_S
        while time.monotonic() < deadline:
            for who, moment in self.first[-3:]:
                if who == name and moment > since_s:
                    return moment - since_s
            time.sleep(0.0005)
        return float("inf")

    def about(self, moments: list[float]) -> np.ndarray:
        """Return (n, columns) largest jumps about each of some steady times."""
        return np.array([np.max([j[1:] for j in self.jumps if abs(j[0] - m) < ABOUT_S], axis=0)
                         for m in moments])


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--robot", default="so101")
    parser.add_argument("--task", default="", help="of a simulated arm in place of the dry run's, "
                        "such as so101-pick-place")
    parser.add_argument("--checkpoint", type=Path, help="for the task; by default an untrained "
                        "policy")
    parser.add_argument("--camera-rate", type=float, default=0.0,
                        help="of the task's cameras, Hz; drawing them may take all of a processor")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--losses", type=int, default=50,
                        help="0 for an arm that takes chunks, which ends with their last row")
    options = parser.parse_args()
    print_heading("A person takes over", ["ros-jazzy-rclpy", "numpy"], robot=options.robot,
                  task=options.task or "none", camera_rate=options.camera_rate or "usual",
                  times=options.times, losses=options.losses)
    random.seed(0)
    with tempfile.TemporaryDirectory() as place, TeleopRig(
            Path(place), options.robot, driver="policy_node", task=options.task,
            checkpoint=options.checkpoint, takeover="joy",
            arm={"camera_rate": options.camera_rate} if options.camera_rate else {},
            enabled=True, input_timeout=0.2) as rig:
        rig.wait(lambda: rig.status == "running", "the policy")
        follower = Follower(rig)
        takes, returns, moments = change_hands(rig, follower, options.times)
        time.sleep(ABOUT_S)
        jumps = follower.about(moments)
        losses = lose(rig, options.losses)
        if rig.wrong:
            print(f"error: commands outside of the limits: {rig.wrong[:3]}", file=sys.stderr)
            return 1
    rows = [("dead man to the person's command", takes),
            ("release to the policy's command", returns), ("gamepad silent to the hold", losses)]
    print(markdown_table(("", "n", "answered", "p50 ms", "p99 ms", "max ms"),
                         [latency_row(name, values) for name, values in rows if values]))
    print(markdown_table(("jump as a hand changes", "n", "p50", "p99", "max"), [
        [name, len(jumps), *(f"{v:.5f}" for v in np.percentile(column, [50, 99, 100]))]
        for name, column in zip(follower.arm.columns, jumps.T, strict=True)]))
    return 0


def change_hands(rig: TeleopRig, follower: Follower, count: int
                 ) -> tuple[list[float], list[float], list[float]]:
    """Return seconds until the person's and the policy's command, and when hands changed."""
    takes, returns, moments = [], [], []
    while len(returns) < count:
        give_back(rig)
        time.sleep(random.uniform(0.3, 0.6))
        value = inward(rig, len(returns))
        pressed_s = time.monotonic()
        rig.press(DEAD_MAN)
        seconds = follower.until_first("human", pressed_s)
        rig.push(PAN, value)
        # Not so far that the contract's jump forbids the policy to begin there after a hold.
        time.sleep(random.uniform(0.2, 0.35))
        if rig.status != DRIVES:  # a pause of the machine was taken for an unplugged device
            continue
        released_s = time.monotonic()
        rig.release(DEAD_MAN)
        takes.append(seconds)
        returns.append(follower.until_first("policy", released_s))
        moments += [pressed_s, released_s]
    return takes, returns, moments


def lose(rig: TeleopRig, count: int) -> list[float]:
    """Return seconds from the last message of a gamepad that moves the arm to the hold."""
    seconds = []
    while len(seconds) < count:
        give_back(rig)
        rig.press(DEAD_MAN)
        rig.wait(lambda: rig.status == DRIVES or rig.must_release, "the person")
        rig.push(PAN, inward(rig, len(seconds)))
        time.sleep(random.uniform(0.1, 0.2))
        if rig.status != DRIVES:
            continue
        silent_s = time.monotonic()
        rig.joy = lambda msg: []
        deadline = silent_s + 2 * WAIT_S
        while not rig.commands[-1].is_hold and time.monotonic() < deadline:
            time.sleep(0.0005)
        seconds.append(rig.commands[-1].time_s - silent_s if rig.commands[-1].is_hold
                       else float("inf"))
    return seconds


def inward(rig: TeleopRig, number: int) -> float:
    """Return the deflection that keeps the arm within its range."""
    if rig.has_position:
        return -1.0 if rig.position[0] > 0 else 1.0
    return (-1.0) ** number


def give_back(rig: TeleopRig) -> None:
    """The policy drives, whatever was before."""
    rig.let_go()
    if "was lost" in rig.status:
        rig.call("enable", SetBool.Request(data=True))
    rig.wait(lambda: rig.status == "running", "the policy")


if __name__ == "__main__":
    sys.exit(main())
