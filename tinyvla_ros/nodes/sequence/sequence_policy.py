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
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.nodes.sequence.watched_topic import WatchedTopic
from tinyvla_ros.nodes.shared.run_guard import UNKNOWN_NODE
from tinyvla_ros.nodes.shared.runner import ERROR, LATCHED, status_name
from tinyvla_ros.nodes.shared.sent_request import SentRequest
from tinyvla_ros.sequence.run import MISSING, PERIOD_S, SeenPolicy, SequenceCancelled
from tinyvla_ros.sequence.steps import EndCondition

DRIVER = "policy_node"
# The instruction is repeated so often: a policy that waits for that holds when this node ends, s.
REPEAT_S = 0.2
# A status that is older says nothing about now, s.
STATUS_S = 3.0
# A chunk moves the arm at least so long, s: from its observation it takes some time to come.
CHUNK_S = 0.5
# What a policy says of an instruction is there by then, s; before, it may be of the last one.
TOLD_S = 1.0
# Longest wait for an answer of the policy, s.
ANSWER_S = 10.0


class SequencePolicy:
    """``tinyvla_ros.sequence.run.SequencedRobot`` over ROS.

    Those methods are called by the thread of the sequence, while the node's executor handles
    messages; all others by the executor.

    Args:
        node: publishes, subscribes and calls.
        contract: of the robot.
    """

    def __init__(self, node: Node, contract: RobotContract):
        self._node = node
        self._changed = threading.Condition()  # guards all that follows
        self._cancelled: str | None = None
        self._is_closed = False
        self._told, self._told_s = "", 0.0
        self._status: tuple[float, bytes, str, dict[str, str]] | None = None
        self._chunk = ("", 0.0)  # the instruction of the newest, and until when it moves the arm
        self._publishers: set[bytes] = set()
        self._warned = False
        self._watched: tuple[WatchedTopic, ...] = ()  # replaced as a whole, without the guard
        self._tasks: deque[Callable[[], None]] = deque()  # for the executor's thread
        self._wake = node.create_guard_condition(self._work)
        self._instruction_topic = contract.instruction
        self._words = node.create_publisher(String, contract.instruction, LATCHED)
        self._enable = node.create_client(SetBool, f"{DRIVER}/enable")
        self._name = status_name(node, DRIVER, "policy")
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._chunks = node.create_subscription(JointTrajectory, f"{DRIVER}/chunk",
                                                self._on_chunk, 5)
        node.create_timer(REPEAT_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- of the node ----------------------------------------------------------------------

    def begin(self) -> None:
        """A sequence begins."""
        with self._changed:
            self._cancelled, self._warned = None, False

    def end(self) -> None:
        """It has ended: nobody is told anything any more."""
        with self._changed:
            self._told = ""

    def cancel(self, why: str) -> None:
        """Let the running sequence end."""
        with self._changed:
            self._cancelled = why
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for no more answers: nobody handles messages any more."""
        with self._changed:
            self._is_closed = True

    # ---- of the sequence ------------------------------------------------------------------

    def now(self) -> float:
        """Return steady seconds."""
        return time.monotonic()

    def policy(self) -> SeenPolicy:
        """Return what is seen of the policy now."""
        now_s = time.monotonic()
        with self._changed:
            starts, status, (acts_on, until_s) = len(self._publishers), self._status, self._chunk
            told_s = self._told_s
        if status is None or now_s - status[0] > STATUS_S:
            return SeenPolicy(MISSING, starts=starts)
        came_s, level, message, values = status
        by_person = values.get("driver", "policy") != "policy"
        refusal = message.partition(f"{self._instruction_topic}: ")[2] if (
            level == ERROR and not values.get("instruction") and came_s - told_s > TOLD_S) else ""
        return SeenPolicy(values.get("state", "inactive"), message,
                          "" if by_person or now_s > until_s else acts_on, by_person, starts,
                          refusal)

    def tell(self, instruction: str) -> None:
        """Tell the policy an instruction, again and again until the next one."""
        with self._changed:
            if instruction != self._told:
                self._told, self._told_s = instruction, time.monotonic()
            self._words.publish(String(data=instruction))

    def enable(self) -> str:
        """Let the policy act; return why it does not, empty if it does."""
        return self._ask(self._enable, SetBool.Request(data=True), ANSWER_S)

    def hold(self) -> str:
        """Disable the policy, so that the arm comes to rest; return why it was not."""
        if not self._enable.service_is_ready() and self.policy().state == MISSING:
            return ""
        try:
            return self._ask(self._enable, SetBool.Request(data=False), ANSWER_S, last=True)
        except InputError as err:
            return str(err)

    def call(self, service: str, limit: float) -> str:
        """Call a service; return why it refused, empty if it did not; see ``SequencedRobot``."""
        client = self._in_executor(lambda: self._node.create_client(Trigger, service))
        try:
            return self._ask(client, Trigger.Request(), limit)
        finally:
            self._in_executor(lambda: self._node.destroy_client(client))

    @contextmanager
    def watch(self, until: EndCondition) -> Iterator[WatchedTopic]:
        """Watch the topic of a condition; see ``SequencedRobot``."""
        watched = WatchedTopic(self._node, until)
        try:
            self._watched = (*self._watched, watched)
            self._in_executor(watched.look)
            yield watched
        finally:
            self._watched = tuple(w for w in self._watched if w is not watched)
            self._in_executor(watched.close)

    def wait(self, seconds: float) -> None:
        """Let time pass; raises ``SequenceCancelled``."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled is not None, seconds)
        self._check()

    def _check(self) -> None:
        if self._cancelled is not None:
            raise SequenceCancelled(self._cancelled)

    def _ask(self, client, request, limit: float, last: bool = False) -> str:
        """Return why a service refused, empty if it did not.

        Args:
            client: of the service.
            request: to it.
            limit: longest wait for it to be there, and again for its answer, s.
            last: ask even if the sequence is cancelled, and until there is an answer.

        Raises:
            InputError: it did not answer.
            SequenceCancelled: somebody cancelled the sequence.
        """
        def wait_until(condition: Callable[[], bool], problem: str) -> None:
            deadline = time.monotonic() + limit
            while not condition():
                if not last:
                    self._check()
                if self._is_closed or time.monotonic() > deadline:
                    raise InputError(problem)
                time.sleep(PERIOD_S / 5)

        if not last:
            self._check()
        wait_until(client.service_is_ready, f"there is no service {client.srv_name}")
        sent = SentRequest(client, request, repeats=last)
        try:
            wait_until(sent.poll, f"{client.srv_name} did not answer within {limit:g} s")
        finally:
            sent.forget()
        answer = sent.answer
        return "" if answer.success else answer.message or f"{client.srv_name} refused"

    def _in_executor(self, do: Callable[[], object]):
        """Do something with the node's topics and services in the thread that handles them.

        Raises:
            InputError: what ROS says against it.
        """
        done, found, failed = threading.Event(), [], []

        def task() -> None:
            try:
                found.append(do())
            except Exception as err:  # it must not end the node
                failed.append(err)
            done.set()

        self._tasks.append(task)
        self._wake.trigger()
        while not done.wait(PERIOD_S):
            if self._is_closed:
                raise SequenceCancelled("sequence_node has ended")
        if failed:
            raise InputError(" ".join(str(failed[0]).split()))
        return found[0]

    # ---- messages -------------------------------------------------------------------------

    def _work(self) -> None:
        while self._tasks:
            self._tasks.popleft()()

    def _tick(self) -> None:
        with self._changed:  # not the last instruction after the next
            if self._told:
                self._words.publish(String(data=self._told))
        for watched in self._watched:
            watched.look()

    def _note_starts(self) -> None:
        """Count the publishers of chunks: each start of the policy has its own.

        It is there before the status that it makes known first, which says disabled again.
        """
        seen = {bytes(p.endpoint_gid) for p in
                self._node.get_publishers_info_by_topic(self._chunks.topic_name)
                if p.node_name in (DRIVER, UNKNOWN_NODE)}
        if not seen <= self._publishers:
            with self._changed:
                self._publishers |= seen
                # What the one before said means nothing now.
                self._status, self._chunk = None, ("", 0.0)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name != self._name:
                continue
            self._note_starts()
            values = {v.key: v.value for v in status.values}
            with self._changed:
                self._status = (time.monotonic(), status.level, status.message, values)
                warns = bool(self._told and not self._warned and
                             values.get("instruction_timeout") == "0")
                self._warned |= warns
            if warns:
                self._node.get_logger().warning(
                    f"{DRIVER} would go on if this node were killed; start it with "
                    "instruction_timeout:=1")

    def _on_chunk(self, msg: JointTrajectory) -> None:
        last = time_to_ns(msg.points[-1].time_from_start) / 1e9 if msg.points else 0.0
        with self._changed:
            self._chunk = msg.header.frame_id, time.monotonic() + max(last, CHUNK_S)
