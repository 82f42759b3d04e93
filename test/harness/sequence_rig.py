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

"""A sequence_node, the policy that it leads, a recorder, and the dry-run arm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from harness.teleop_rig import PAUSE_S, TeleopRig
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint
from tinyvla_ros.nodes.shared.runner import LATCHED

OPEN, CLOSE = "open the drawer", "close the drawer"


class SequenceRig(TeleopRig):
    """The arm, its policy and a sequence_node.

    Attributes:
        feedback: values of each message so far, with its ``state``.
        instructions: of the policy's chunks so far.
        homed: how often the service of a step was called.
        homed_s: when that was last, steady seconds.
    """

    def __init__(self, place: Path, instruction_timeout: float = PAUSE_S):
        super().__init__(place, driver="policy_node", instruction_timeout=instruction_timeout)
        write_untrained_checkpoint(self.contract, self.checkpoint, OPEN, CLOSE)
        self.file, self.bags = place / "sequence.yaml", place / "bags"
        self.feedback: list[dict[str, str]] = []
        self.instructions: list[str] = []
        self.homed, self.homed_s, self._ids = 0, 0.0, 0
        self.done = self.node.create_publisher(Bool, "done", LATCHED)
        self.level = self.node.create_publisher(Float32, "level", 10)
        self.texts = self.node.create_publisher(String, "sequence_node/run", 10)
        self.node.create_subscription(
            DiagnosticStatus, "sequence_node/feedback", self._on_feedback,
            QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.node.create_subscription(
            JointTrajectory, "policy_node/chunk",
            lambda m: self.instructions.append(m.header.frame_id), 10)
        self.node.create_service(Trigger, "home", self._on_home)
        self._clients = {name: self.node.create_client(Trigger, f"sequence_node/{name}")
                         for name in ("start", "cancel")}

    def start_sequence_node(self) -> None:
        self.start("sequence_node", file=str(self.file), robot=str(self.path),
                   checkpoint=str(self.checkpoint), episodes=True)
        # Services of one that was killed are there for a while.
        self.until_state("idle")
        # It looks for other runs first.
        self.wait(lambda: "looks for another run" not in self.ask("start").message, "it")
        self.until_state("succeeded")

    def recorded(self, name: str) -> list[Path]:
        """Return the complete bags of a step."""
        return sorted(p.parent for p in self.bags.glob(f"*_{name}/metadata.yaml"))

    def start_policy(self, **more) -> None:
        self.start("policy_node", robot=str(self.path), checkpoint=str(self.checkpoint),
                   input_timeout=PAUSE_S, **self._parameters, **more)

    def start_arm(self) -> None:
        self.start("dry_run_arm_node", robot=str(self.path), checkpoint=str(self.checkpoint),
                   **self._arm)

    def ask(self, name: str):
        """Call a service of sequence_node."""
        assert self._clients[name].wait_for_service(30.0), name
        future = self._clients[name].call_async(Trigger.Request())
        self.wait(future.done, f"an answer of {name}")
        return future.result()

    def write(self, *steps: dict, **more) -> None:
        self.file.write_text(yaml.safe_dump({"steps": list(steps), **more}))

    def begin(self, *steps: dict) -> None:
        """Begin a sequence; what a topic said for the one before counts no more."""
        self._ids += 1
        self.done.publish(Bool(data=False))
        self.write(*steps, id=f"{self._ids}")
        answer = self.ask("start")
        assert answer.success, answer.message
        self.until(lambda now: now["id"] == f"{self._ids}", "its feedback")

    def wait(self, *arguments, **more) -> None:
        """Wait for a condition."""
        try:
            super().wait(*arguments, **more)
        except TimeoutError as err:
            raise TimeoutError(f"{err}\nfeedback: {self.feedback[-2:]}\n"
                               f"{self.log('sequence_node')[-2000:]}") from None

    @property
    def now(self) -> dict[str, str]:
        return self.feedback[-1]

    def until(self, condition: Callable[[dict[str, str]], bool], what: str) -> None:
        """Wait until the newest feedback meets a condition."""
        self.wait(lambda: self.feedback and condition(self.now), f"{what} (feedback)")

    def until_state(self, *states: str) -> dict[str, str]:
        self.until(lambda now: now["state"] in states, " or ".join(states))
        return self.now

    def until_end(self) -> dict[str, str]:
        return self.until_state("succeeded", "failed", "cancelled")

    def until_policy(self, state: str) -> None:
        self.wait(lambda: self.values.get("state") == state, f"the policy to be {state}")

    def _on_feedback(self, msg: DiagnosticStatus) -> None:
        self.feedback.append({v.key: v.value for v in msg.values} | {"state": msg.message})

    def _on_home(self, request, response):
        self.homed, self.homed_s = self.homed + 1, time.monotonic()
        response.success, response.message = self.homed > 1, "not yet"
        return response


def run_recorded(rig: SequenceRig) -> Iterator[SequenceRig]:
    """Yield a rig whose nodes run beside a recorder; nothing may have gone wrong afterwards."""
    rig.write({"instruction": OPEN, "until": {"seconds": 0.1}})
    with rig:
        rig.start("episode_recorder_node", out=str(rig.bags), robot=str(rig.path))
        rig.start_sequence_node()
        yield rig
        assert not rig.wrong
        assert "Traceback" not in rig.log() + rig.log("sequence_node")
