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

"""The recorder's subscriptions: to every topic, and to publishers of every quality of service."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.subscription import Subscription

from tinyvla_ros.arm.contract_streams import COMPRESSED_IMAGE, IMAGE
from tinyvla_ros.bags.recorded_message import RawMessage
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import is_commander_topic
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import DEPTH, QUIET, message_class, subscription_qos

# Messages that a topic must have from one publisher, or two cameras are mixed.
ONE_PUBLISHER = (IMAGE, COMPRESSED_IMAGE)


@dataclass
class _Topic:
    """A topic; ``subscriptions`` by reliability and durability, empty if it is not recorded."""

    type: str = ""
    subscriptions: dict[tuple, Subscription] = field(default_factory=dict)
    handled: deque[tuple] = field(default_factory=lambda: deque(maxlen=2 * DEPTH))
    known: set[tuple] = field(default_factory=set)

    def is_new(self, key: tuple) -> bool:
        """Whether a message did not come by another subscription of the topic."""
        if key in self.known:
            return False
        if len(self.handled) == self.handled.maxlen:
            self.known.discard(self.handled[0])
        self.handled.append(key)
        self.known.add(key)
        return True


class RecordedTopics:
    """Subscribes to topics as they appear.

    Attributes:
        unreadable: topics that are not recorded.
        several: topic -> publishers, of topics that should have one and had more.

    Args:
        node: the caller.
        events: the topic of episodes; it should have one publisher.
        is_wanted: whether to record a topic.
        on_topic: called with topic, type and publishers before the first subscription; raises
            ``InputError`` if the topic cannot be recorded.
        on_latched: called with a topic and its number of publishers, if one keeps messages.
        on_several: called with a topic that has several publishers.
        on_message: called with every message, once.
    """

    def __init__(self, node: Node, events: str, is_wanted: Callable[[str], bool],
                 on_topic: Callable[[str, str, list], None],
                 on_latched: Callable[[str, int], None],
                 on_several: Callable[[str], None], on_message: Callable[[RawMessage], None]):
        self._node, self._events, self._is_wanted = node, events, is_wanted
        self._on_topic, self._on_latched = on_topic, on_latched
        self._on_several, self._on_message = on_several, on_message
        self._topics: dict[str, _Topic] = {}
        self._ambiguous: set[str] = set()  # topics with several types, in the log already
        self.several: dict[str, str] = {}

    @property
    def unreadable(self) -> list[str]:
        """Topics that are not recorded."""
        return [name for name, topic in self._topics.items() if not topic.subscriptions]

    def discover(self) -> None:
        """Subscribe to what is new in the graph; call it again and again."""
        for name, types in self._node.get_topic_names_and_types():
            if "/_" in name or not self._is_wanted(name):  # a name with _ in front is hidden
                continue
            if len(types) > 1 and name not in self._ambiguous:
                self._ambiguous.add(name)
                self._node.get_logger().error(
                    f"{name} is published with types {' and '.join(types)}; at most one of them "
                    "is recorded, rename the other topic.")
            publishers = self._node.get_publishers_info_by_topic(name)
            if publishers:
                self._add(name, types, publishers)

    def _add(self, name: str, types: list[str], publishers: list) -> None:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic()
            try:
                if len(types) == 1:
                    self._on_topic(name, types[0], publishers)
                    topic.type = types[0]
            except InputError as err:
                self._node.get_logger().error(f"{name} is not recorded: {err}")
        if not topic.type:
            return
        for publisher in publishers:
            qos = publisher.qos_profile
            if (qos.reliability, qos.durability) not in topic.subscriptions:
                topic.subscriptions[qos.reliability, qos.durability] = self._subscribe(
                    name, topic, subscription_qos(topic.type, qos))
                if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL and name != self._events:
                    self._on_latched(name, len(publishers))
        if len(publishers) > 1:
            self._on_several(name)
            if topic.type in ONE_PUBLISHER or name == self._events or is_commander_topic(name):
                self._warn(name)

    def deserted_commanders(self) -> list[str]:
        """Return topics of commanders that have no publisher any more, not even a killed one."""
        return [name for name in self._topics
                if is_commander_topic(name) and not self._node.count_publishers(name)]

    def _warn(self, name: str) -> None:
        publishers = other_publishers(self._node, name, 0)
        if is_commander_topic(name) and len(set(publishers)) < 2:
            return  # a node that was killed and its successor
        names = ", ".join(publishers)
        if self.several.get(name) != names:
            self.several[name] = names
            self._node.get_logger().warning(f"{name} has several publishers: {names}")

    def _subscribe(self, name: str, topic: _Topic, qos) -> Subscription:
        def callback(data: bytes, info: dict) -> None:
            # The middleware's time: this thread may be late, most of all for large messages.
            received = info["received_timestamp"] or time.time_ns()
            sent, number = info["source_timestamp"], info["publication_sequence_number"]
            if len(topic.subscriptions) == 1 or topic.is_new((sent, number)):
                self._on_message(RawMessage(name, received, sent or received, data, number or 0))

        return self._node.create_subscription(message_class(topic.type), name, callback, qos,
                                              raw=True, event_callbacks=QUIET)
