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

"""Topics that are read at a rate of the reader's, in a thread of its own.

An executor wakes for every message, and each time looks at all that it has: with cameras, joints
and chunks that took more of a core than all else here. A page is shown ten times a second.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from tinyvla_ros.nodes.shared.topics import QUIET, waiting_messages


@dataclass
class _PolledTopic:
    """How a subscription is read, and when next, steady s."""

    callback: Callable
    depth: int
    period: float
    due_s: float = 0.0

    def read(self, subscription: Subscription) -> None:
        for message in waiting_messages(subscription, self.depth):
            now_s = time.monotonic()
            # By the clock, so that uneven times do not lower the rate.
            self.due_s = max(self.due_s + self.period, now_s - self.period)
            self.callback(message)


class PolledTopics:
    """Subscriptions of a node that no executor has.

    Args:
        beside: node whose namespace and context count; its ``exit_code`` is set if the thread
            fails.
        name: of the node; hidden with a leading underscore.
        poll: called in the thread, before the topics are read; returns seconds until the next
            time.
    """

    def __init__(self, beside: Node, name: str, poll: Callable[[], float]):
        self._node = rclpy.create_node(
            name, namespace=beside.get_namespace(), context=beside.context, enable_rosout=False,
            start_parameter_services=False)
        self._beside, self._poll = beside, poll
        self._topics: dict[Subscription, _PolledTopic] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Read no more."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        self._node.destroy_node()

    def add(self, kind: type, topic: str, callback: Callable, qos: QoSProfile,
            raw: bool = False, period: float = 0.0) -> Subscription:
        """Read a topic; called before ``start``, or in the thread.

        Args:
            kind: class of the messages.
            topic: relative or absolute name.
            callback: gets every message that the middleware kept, or its bytes.
            qos: whose depth says how many that are between two times.
            raw: whether ``callback`` gets bytes.
            period: shortest time between two messages that are read, s.
        """
        subscription = self._node.create_subscription(kind, topic, callback, qos, raw=raw,
                                                      event_callbacks=QUIET)
        self._topics[subscription] = _PolledTopic(callback, qos.depth, period)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Read a topic no more; called in the thread."""
        del self._topics[subscription]
        self._node.destroy_subscription(subscription)

    def _run(self) -> None:
        try:
            self._read_forever()
        except BaseException:
            # A page that shows what was, as if it were so now, would be worse than none.
            self._beside.get_logger().fatal(f"{self._node.get_name()}: {traceback.format_exc()}")
            self._beside.exit_code = 1

    def _read_forever(self) -> None:
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + self._poll(), time.monotonic())
            for subscription, topic in list(self._topics.items()):
                if time.monotonic() >= topic.due_s:
                    topic.read(subscription)
            if self._closing.wait(max(due_s - time.monotonic(), 0.0)):
                return
