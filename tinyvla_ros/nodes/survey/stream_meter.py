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

"""Measure topics without publishing anything: when messages come, and what is wrong with them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tinyvla_ros.arm.observation.liveness import message_rate
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.messages import stamp_to_ns
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.ros_start import node_creation, start_ros
from tinyvla_ros.nodes.shared.topics import QUIET, message_class


@contextmanager
def listening_node(name: str, namespace: str = "") -> Iterator[tuple[Node, Callable[..., None]]]:
    """Create a node, and a function that spins it for some seconds, or until a condition holds."""
    context = rclpy.Context()
    start_ros(context=context)
    with node_creation():
        node = rclpy.create_node(name, namespace=namespace or None, context=context)
    executor = LeanExecutor(context=context)
    executor.add_node(node)

    def spin(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            executor.spin_once(timeout_sec=min(0.1, max(end - time.monotonic(), 0.0)))

    try:
        yield node, spin
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


class StreamMeter:
    """Counts and checks the messages of one topic.

    Attributes:
        topic: resolved name.
        arrivals: of all messages, on the steady clock, s.
        stamps: of those with a good stamp, ns.
        ages: seconds from stamp to arrival, by the node's clock.
        error: about the last message that cannot be used.

    Args:
        node: subscribes.
        kind: ``package/msg/Type``.
        topic: relative or absolute name.
        qos: of the subscription.
        decode: returns the checked value of a message; raises ``MessageError``.
        on_value: called with every value.
    """

    def __init__(self, node: Node, kind: str, topic: str, qos: QoSProfile,
                 decode: Callable[[object], object],
                 on_value: Callable[[object], None] = lambda value: None):
        self._node, self._decode, self._on_value = node, decode, on_value
        self.arrivals: list[float] = []
        self.stamps: list[int] = []
        self.ages: list[float] = []
        self.error = ""
        self._subscription = node.create_subscription(message_class(kind), topic, self._on_message,
                                                      qos, event_callbacks=QUIET)
        self.topic = self._subscription.topic_name

    @property
    def rate(self) -> float:
        """Messages per second, 0 if there are too few."""
        return message_rate(self.arrivals)

    @property
    def longest_gap(self) -> float:
        """Longest time between two messages, s; 0 if there are too few."""
        return max((b - a for a, b in itertools.pairwise(self.arrivals)), default=0.0)

    def _on_message(self, msg) -> None:
        self.arrivals.append(time.monotonic())
        try:
            if hasattr(msg, "header"):
                stamp = stamp_to_ns(msg.header.stamp)
                self.ages.append((self._node.get_clock().now().nanoseconds - stamp) / 1e9)
                self.stamps.append(stamp)
            self._on_value(self._decode(msg))
        except InputError as err:
            self.error = str(err)
