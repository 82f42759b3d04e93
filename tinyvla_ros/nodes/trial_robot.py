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

"""What an operator's terminal does with a policy and a recorder that run: begin, watch, end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.nodes.shared.recorder_watch import (
    FINDS_S,
    RECORDER,
    RecorderWatch,
    measured_topics,
)
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED, status_name
from tinyvla_ros.nodes.shared.sent_request import SentRequest
from tinyvla_ros.nodes.survey.stream_meter import listening_node

# Longest wait for a node that was started to be there, and for an answer of a service, s.
READY_S, ANSWER_S = 120.0, 10.0
POLL_S = 0.05


class TrialRobot:
    """One trial's policy and recorder, as seen from the operator's terminal.

    Args:
        node: for topics and services.
        spin: handles messages for some seconds, or until a condition holds.
        contract: of the robot.
        check: raises if a node that should run has ended; called while waiting.
    """

    def __init__(self, node: Node, spin: Callable[..., None], contract: RobotContract,
                 check: Callable[[], None]):
        self._node, self._spin, self._check = node, spin, check
        self._policy = status_name(node, "policy_node", "policy")
        self._recorder = status_name(node, RECORDER, "recording")
        self._messages: dict[str, str] = {}
        self._bags: int | None = None  # of the recorder, kept and discarded
        self._bags_before = 0
        self._values: dict[str, object] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._words = node.create_publisher(String, contract.instruction, LATCHED)
        self._events = node.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        self._enable = node.create_client(SetBool, "policy_node/enable")
        self._recorder_watch = RecorderWatch(node, measured_topics(contract), FINDS_S)

    def tell(self, instruction: str) -> None:
        """Publish the instruction, and wait until the policy and the recorder are there.

        Raises:
            InputError: one of them is not there in time.
        """
        self._words.publish(String(data=instruction))
        self._wait(lambda: self._policy in self._messages and self._bags is not None
                   and self._enable.service_is_ready() and self._recorder_watch.is_complete(),
                   READY_S, "policy_node and episode_recorder_node")

    def begin(self, values: dict[str, object]) -> str:
        """Begin an episode and enable the policy; return why it may not move, empty if it may.

        Args:
            values: of the episode's events.
        """
        self._values, self._bags_before = values, self._bags
        self._publish(BEGIN)
        problem = self._call(True)
        if problem:
            self.abort()
        return problem

    def end(self, success: bool) -> None:
        """Hold the arm and end the episode; its bag is complete when this returns."""
        self._call(False)
        self._publish(END, success=str(success).lower())
        self._wait_for_bag()

    def abort(self) -> None:
        """Hold the arm and throw the episode away."""
        self._call(False)
        self._publish(ABORT, discard="true")
        self._wait_for_bag()

    def hold(self) -> None:
        """Hold the arm; the episode goes on."""
        self._call(False)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Handle messages for so long, or until a condition holds."""
        self._check()
        self._spin(seconds, until)

    def _wait_for_bag(self) -> None:
        self._wait(lambda: self._bags > self._bags_before, ANSWER_S,
                   "bag of episode_recorder_node")

    def _call(self, enabled: bool) -> str:
        sent = SentRequest(self._enable, SetBool.Request(data=enabled), repeats=not enabled)
        try:
            self._wait(sent.poll, ANSWER_S, "an answer of policy_node/enable")
        finally:
            sent.forget()
        return "" if sent.answer.success else sent.answer.message

    def _wait(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        for _ in range(round(seconds / POLL_S)):
            if condition():
                return
            self.wait(POLL_S, lambda: bool(condition()))
        raise InputError(f"There is no {what} after {seconds:g} s; look at what the nodes printed "
                         "in logs.")

    def _publish(self, kind: str, **more: str) -> None:
        msg = DiagnosticStatus()
        EpisodeEvent.make(kind, self._values | more).fill(msg, KeyValue, "trial: episode")
        self._events.publish(msg)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        self._messages |= {status.name: status.message for status in msg.status}
        for status in msg.status:
            if status.name == self._recorder:
                values = {v.key: v.value for v in status.values}
                if "kept" in values and "discarded" in values:  # not before all were counted
                    self._bags = int(values["kept"]) + int(values["discarded"])


@contextmanager
def trial_robot(contract: RobotContract, namespace: str, check: Callable[[], None]
                ) -> Iterator[TrialRobot]:
    """Join the graph for one trial; events of others before are not repeated."""
    with listening_node("trial", namespace) as (node, spin):
        yield TrialRobot(node, spin, contract, check)
