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

"""A recorder in a process of its own, and nodes of the test that publish."""

from __future__ import annotations

import itertools
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from harness.left_over import new_context
from harness.processes import LIMIT_S, Output, start, stop
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, OK, status
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings

RECORDER = "episode_recorder_node"
names = (f"topic_{i}" for i in itertools.count())


class RecorderGraph:
    """A recorder and a node of the test that publishes."""

    def __init__(self, out, namespace: str = "", **parameters):
        self.out = out
        self.process = start(*node_command(NodeDescription(
            RECORDER, {"out": str(out), **parameters}, NodeSettings(namespace=namespace))))
        self.output = Output(self.process)
        self._context = new_context()
        self.node = rclpy.create_node("source", context=self._context,
                                      namespace=namespace)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._others: list = []
        self.episode = self.node.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        self.statuses: list[DiagnosticStatus] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, 50)
        self.until(lambda: self.episode.get_subscription_count(), "the recorder")

    def add_node(self, name: str, namespace: str):
        """Return another node of the test."""
        self._others.append(rclpy.create_node(name, context=self._context, namespace=namespace))
        self._executor.add_node(self._others[-1])
        return self._others[-1]

    def close(self) -> int:
        code = stop(self.process)
        self._executor.shutdown()
        for node in (self.node, *self._others):
            node.destroy_node()
        self._context.try_shutdown()
        return code

    @property
    def status(self) -> DiagnosticStatus:
        """The newest one, without words and values before the first."""
        return self.statuses[-1] if self.statuses else DiagnosticStatus()

    def _on_status(self, msg) -> None:
        self.statuses += [s for s in msg.status if s.name.startswith(RECORDER)]

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came:\n{self.output.text}"
            self._executor.spin_once(timeout_sec=0.02)

    def publisher(self, kind, qos=10):
        """Return a publisher with its own topic, to which the recorder has subscribed."""
        publisher = self.node.create_publisher(kind, next(names), qos)
        self.until(lambda: publisher.get_subscription_count(), "the recorder")
        return publisher

    def publish_event(self, event: str, **values) -> None:
        self.episode.publish(status("source: episode", OK, event, values))

    def recorded(self, number: int):
        """Return the bags once there are so many."""
        def complete():
            return sorted(p.parent for p in self.out.glob("*/metadata.yaml"))
        self.until(lambda: len(complete()) >= number, f"bag {number}")
        return complete()

    def call(self, kind, name: str, request):
        client = self.node.create_client(kind, f"{RECORDER}/{name}")
        self.until(client.service_is_ready, name)
        future = client.call_async(request)
        self.until(future.done, f"the answer of {name}")
        return future.result()


def texts(path, topic: str) -> list[str]:
    """Return the texts of a topic of std_msgs/String in a bag."""
    with Bag(path) as bag:
        return [bag.decode(m).data for m in bag.messages([topic])]
