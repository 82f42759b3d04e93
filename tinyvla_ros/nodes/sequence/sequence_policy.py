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

"""A policy in the graph, as a sequence sees it and leads it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.nodes.sequence.watched_topic import WatchedTopic
from tinyvla_ros.nodes.shared.runner import ERROR, LATCHED, status_name
from tinyvla_ros.sequence.run import PERIOD_S, PolicySight, SequenceCancelled
from tinyvla_ros.sequence.steps import EndCondition

DRIVER = "policy_node"
# The instruction is repeated so often: a policy that waits for that holds when this node ends, s.
REPEAT_S = 0.2
# A status or a chunk that is older says nothing about now, s.
STATUS_S, CHUNK_S = 3.0, 3.0
# What a policy says of an instruction is there by then, s; before, it may be of the last one.
TOLD_S = 0.5
# Longest wait for an answer, s.
ANSWER_S = 10.0
# How often the graph is asked for the policy's publisher, s.
LOOK_S = 0.5


class SequencePolicy:
    """``tinyvla_ros.sequence.run.SequencedRobot`` over ROS.

    Its methods are called by the thread of the sequence, while the node's executor handles
    messages.

    Args:
        node: publishes, subscribes and calls.
        contract: of the robot.
    """

    def __init__(self, node: Node, contract: RobotContract):
        self._node = node
        self._changed = threading.Condition()
        self._cancelled: str | None = None
        self._closing = False
        self._words = node.create_publisher(String, contract.instruction, LATCHED)
        self._instruction_topic = contract.instruction
        self._told = ""
        self._told_s = 0.0
        self._enable = node.create_client(SetBool, f"{DRIVER}/enable")
        self._name = status_name(node, DRIVER, "policy")
        self._status: tuple[float, bytes, str, dict[str, str]] | None = None
        self._chunk = ("", 0.0)  # the instruction of the newest, and when it came
        self._publishers: set[bytes] = set()
        self._looks_s = 0.0
        self._watched: WatchedTopic | None = None
        self._tasks: deque[Callable[[], None]] = deque()  # for the executor's thread
        self._wake = node.create_guard_condition(self._work)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._chunks = node.create_subscription(JointTrajectory, f"{DRIVER}/chunk",
                                                self._on_chunk, 5)
        node.create_timer(REPEAT_S, self._repeat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- of the node ----------------------------------------------------------------------

    def begin(self) -> None:
        """A sequence begins."""
        with self._changed:
            self._cancelled = None

    def end(self) -> None:
        """It has ended: nobody is told anything any more."""
        self._told = ""

    def cancel(self, why: str) -> None:
        """Let the running sequence end at its next wait."""
        with self._changed:
            self._cancelled = why
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for no more answers: nobody handles messages any more."""
        self._closing = True
        self.cancel("sequence_node was ended")

    # ---- of the sequence ------------------------------------------------------------------

    def sight(self) -> PolicySight:
        """Return what is seen of the policy now."""
        now_s = time.monotonic()
        self._look(now_s)
        with self._changed:
            status, (obeys, chunk_s) = self._status, self._chunk
        if status is None or now_s - status[0] > STATUS_S:
            return PolicySight(starts=len(self._publishers))
        _, level, message, values = status
        by_person = values.get("driver", "policy") != "policy"
        refusal = message.partition(f"{self._instruction_topic}: ")[2] \
            if level == ERROR and status[0] - self._told_s > TOLD_S else ""
        return PolicySight(values.get("state", "inactive"), message,
                           "" if by_person or now_s - chunk_s > CHUNK_S else obeys, by_person,
                           len(self._publishers), refusal)

    def tell(self, instruction: str) -> None:
        """Tell the policy an instruction, again and again until the next one."""
        if instruction != self._told:
            self._told, self._told_s = instruction, time.monotonic()
        self._words.publish(String(data=instruction))

    def enable(self, enabled: bool) -> str:
        """Let the policy act, or not; return why that failed, empty if it did not."""
        return self._ask(self._enable, SetBool.Request(data=enabled))

    def call(self, service: str) -> str:
        """Call a service; return why that failed, empty if it did not."""
        client = self._in_executor(lambda: self._node.create_client(Trigger, service))
        try:
            return self._ask(client, Trigger.Request())
        finally:
            self._in_executor(lambda: self._node.destroy_client(client))

    @contextmanager
    def watch(self, until: EndCondition) -> Iterator[Callable[[], bool]]:
        """Watch the topic of a condition; see ``SequencedRobot``."""
        if not until.topic:
            yield lambda: False
            return
        watched = self._watched = WatchedTopic(self._node, until)
        self._in_executor(watched.look)
        try:
            yield watched.is_met
        finally:
            self._watched = None
            self._in_executor(watched.close)

    def wait(self, seconds: float) -> float:
        """Let time pass; return how much did, s; raises ``SequenceCancelled``."""
        begin = time.monotonic()
        with self._changed:
            if self._changed.wait_for(lambda: self._cancelled is not None, seconds):
                raise SequenceCancelled(self._cancelled)
        return time.monotonic() - begin

    def _in_executor(self, do: Callable[[], object]) -> object:
        """Do something with the node's topics and services in the thread that handles them."""
        done, found = threading.Event(), []

        def task() -> None:
            try:
                found.append(do())
            finally:
                done.set()

        if self._closing:
            return do()
        self._tasks.append(task)
        self._wake.trigger()
        while not done.wait(PERIOD_S):
            if self._closing:
                raise SequenceCancelled(self._cancelled)
        return found[0]

    def _work(self) -> None:
        while self._tasks:
            self._tasks.popleft()()

    def _ask(self, client, request) -> str:
        """Return why a service did not do what was asked."""
        deadline = time.monotonic() + ANSWER_S
        while not client.service_is_ready():
            if self._closing or time.monotonic() > deadline:
                return f"there is no service {client.srv_name}"
            time.sleep(PERIOD_S)
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        while not answered.wait(PERIOD_S):
            if self._closing or time.monotonic() > deadline:
                client.remove_pending_request(future)
                return f"{client.srv_name} did not answer within {ANSWER_S:g} s"
        result = future.result()
        return "" if result.success else result.message or f"{client.srv_name} refused"

    # ---- messages -------------------------------------------------------------------------

    def _repeat(self) -> None:
        if self._told and not self._closing:
            self._words.publish(String(data=self._told))
        if (watched := self._watched) is not None:
            watched.look()

    def _look(self, now_s: float) -> None:
        """Count the publishers of chunks: each start of the policy has its own."""
        if now_s < self._looks_s:
            return
        self._looks_s = now_s + LOOK_S
        self._publishers |= {bytes(p.endpoint_gid) for p in
                             self._node.get_publishers_info_by_topic(self._chunks.topic_name)}

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name == self._name:
                with self._changed:
                    self._status = (time.monotonic(), status.level, status.message,
                                    {v.key: v.value for v in status.values})

    def _on_chunk(self, msg: JointTrajectory) -> None:
        with self._changed:
            self._chunk = msg.header.frame_id, time.monotonic()
