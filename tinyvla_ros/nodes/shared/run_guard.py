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

"""Keep two runs in one ROS domain apart, and name other publishers where one is expected.

Every node of this package tells on a hidden topic what it claims (``core/ros/run_claims.py``).
Nodes of others tell nothing; they show in the graph as publishers of the same topics.
"""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tinyvla_ros.core.ros.run_claims import Claim, RunClaims, new_run_id

CLAIMS = "/_tinyvla/claims"
# Nodes discover each other within some hundredths of a second, on a busy machine in some tenths.
SETTLE_S = 1.0
PERIOD_S = 0.1
# Claims may wait while a node loads its checkpoint. They come before this many timer periods end.
PERIODS = 3
# Another publisher must stay so long before a run ends because of it: that of a process that was
# killed is about to go, s.
GRACE_S = 5.0
UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"


def _qos(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                      reliability=ReliabilityPolicy.RELIABLE)


class RunGuard:
    """Lets a node begin when nothing else in the ROS domain mixes with its run, or ends it.

    Create it before anything that takes long.

    Attributes:
        run: id of the run.
        settled: whether the node may begin.

    Args:
        node: gets ``exit_code`` 2 and prints a sentence if it must end.
        run: the parameter of that name.
        topic: what to name to an operator who looks for the node.
        topics: the node is their only publisher.
        inputs: another node is their only publisher.
        on_settled: called once, when the node may begin.
    """

    def __init__(self, node: Node, run: str, topic: str, topics: Iterable[str] = (),
                 inputs: Iterable[str] = (), on_settled: Callable[[], None] = lambda: None):
        self._node, self._on_settled = node, on_settled
        self.run = run or new_run_id()
        self.settled = False
        topics, inputs = (tuple(map(node.resolve_topic_name, names)) for names in (topics, inputs))
        self._topics = [*((t, 1) for t in topics), *((t, 0) for t in inputs)]
        self._claims = RunClaims(Claim(
            node.get_fully_qualified_name(), self.run, uuid.uuid4().hex,
            f"process {os.getpid()} on host {socket.gethostname()}, topic "
            f"{node.resolve_topic_name(topic)}", topics, node.get_namespace() if run else ""))
        self._begin = time.monotonic() + SETTLE_S
        self._periods = 0
        self._others_since: float | None = None
        self._publisher = node.create_publisher(DiagnosticStatus, CLAIMS, _qos(1))
        node.create_subscription(DiagnosticStatus, CLAIMS, self._on_claim, _qos(1000))
        self._timer = node.create_timer(PERIOD_S, self._tick,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._publish()

    def has_begun(self, name: str) -> bool:
        """Return whether the node of a name, in this namespace and run, has begun."""
        full = f"{self._node.get_namespace().rstrip('/')}/{name}"
        return self._claims.has_begun(lambda claim: claim.node == full)

    def is_of_another_run(self, topic: str) -> bool:
        """Return whether a topic belongs to a run that goes on beside this one.

        What a node that was started alone publishes is for everyone.
        """
        return any(c.group and (topic in c.topics or
                                (c.group != "/" and topic.startswith(f"{c.group}/")))
                   for c in self._claims.of_others())

    def others(self, with_yielding: bool = True) -> str:
        """Return a sentence about a publisher too many, empty if there is none.

        Args:
            with_yielding: count those, too, that will end because of this run.
        """
        for topic, mine in self._topics:
            names = other_publishers(self._node, topic, mine)
            for name in () if with_yielding else self._claims.yielding(topic):
                if name in names:
                    names.remove(name)
            if not mine:
                # One that was killed is seen for some time beside its successor; of two that are
                # there, the claims let one go on.
                names = sorted(set(names))
            if len(names) > 1 - mine:
                many = f"{' and '.join(names)} publish{'es' if len(names) == 1 else ''} it"
                return (f"{topic} must have one publisher, and {many}{' too' if mine else ''}; "
                        f"end {'it' if mine else 'one'}, or give this run another ROS_DOMAIN_ID "
                        "or another namespace.")
        return ""

    def release(self) -> None:
        """Claim nothing any more; called when the process ends."""
        self._timer.cancel()
        mine = self._claims.mine
        self._claims.add(replace(mine, node=f"{mine.node} (ended)", topics=(), group="",
                                 settled=False))
        self._publish()

    def _publish(self) -> None:
        mine = self._claims.mine
        self._publisher.publish(DiagnosticStatus(
            name=mine.node, message="claim",
            values=[KeyValue(key=k, value=v) for k, v in mine.values().items()]))

    def _on_claim(self, msg: DiagnosticStatus) -> None:
        claim = Claim.read((v.key, v.value) for v in msg.values)
        if claim is None or claim.process == self._claims.mine.process:
            return
        self._claims.add(claim)
        if problem := self._claims.lost_to():
            self._end(problem)

    def _tick(self) -> None:
        self._periods += 1
        now = time.monotonic()
        if self._node.exit_code is not None or self._periods < PERIODS or now < self._begin:
            return
        if others := self.others():
            if self._others_since is None:
                self._others_since = now
                self._node.get_logger().warning(others)
            elif now - self._others_since >= GRACE_S and (
                    stays := self.others(with_yielding=False)):
                self._end(stays)
            return
        self._others_since = None
        if not self.settled:
            self.settled = True
            self._claims.add(replace(self._claims.mine, settled=True))
            self._publish()
            self._on_settled()

    def _end(self, problem: str) -> None:
        if self._node.exit_code is None:
            print(f"error: {problem}", file=sys.stderr, flush=True)
            self._node.exit_code = 2


def other_publishers(node: Node, topic: str, mine: int = 1) -> list[str]:
    """Return the fully qualified names of the other nodes that publish a topic, sorted.

    Args:
        node: the caller.
        topic: resolved name.
        mine: number of publishers that the caller has there.
    """
    if node.count_publishers(topic) <= mine:
        return []
    names = [UNKNOWN_NODE if p.node_name == UNKNOWN_NODE else
             f"{p.node_namespace.rstrip('/')}/{p.node_name}"
             for p in node.get_publishers_info_by_topic(topic)]
    for _ in range(mine):
        if node.get_fully_qualified_name() in names:
            names.remove(node.get_fully_qualified_name())
    return sorted("a node without a name" if n == UNKNOWN_NODE else n for n in names)
