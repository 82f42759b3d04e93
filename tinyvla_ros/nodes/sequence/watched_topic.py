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

"""The topic of a sequence's end condition."""

from __future__ import annotations

import math
import time

from rclpy.node import Node

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.nodes.shared.topics import message_class, subscribe_to_all
from tinyvla_ros.sequence.steps import EndCondition

TEXT, TRUTH = "std_msgs/msg/String", "std_msgs/msg/Bool"
NUMBERS = tuple(f"std_msgs/msg/{name}" for name in (
    "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32",
    "UInt64"))


class WatchedTopic:
    """Watches a topic from now on; what a publisher keeps for later subscribers counts, too.

    Args:
        node: subscribes.
        until: condition, with a topic or without.
    """

    def __init__(self, node: Node, until: EndCondition):
        self._node, self._until = node, until
        self._topic = node.resolve_topic_name(until.topic) if until.topic else ""
        self._subscriptions, self._kind = [], ""
        # The condition holds since, and until then at least, in so many messages.
        self._since_s, self._newest_s, self._agreeing = math.inf, math.inf, 0
        self._failure = self._why_not = ""

    def look(self) -> None:
        """Find out what the topic is, and listen; called now and then by the executor."""
        if not self._topic:
            return
        if not self._node.count_publishers(self._topic):
            # Nobody stands for what was said last.
            self._since_s, self._why_not = math.inf, f"nobody publishes {self._topic}"
            return
        kinds = dict(self._node.get_topic_names_and_types()).get(self._topic, [])
        if not kinds or self._kind in kinds:
            return
        self._why_not = ""
        kind, until = kinds[0], self._until
        fits = NUMBERS if until.is_number else \
            (TEXT,) if isinstance(until.equals, str) else (TRUTH,)
        if kind not in fits:
            self._failure = (
                f"{self._topic} is {kind}, and the step asks for {_asked(until)}, which "
                f"{'numbers like ' if until.is_number else ''}{fits[0]} would have; correct "
                "the condition of the step")
            return
        self.close()
        self._kind = kind
        self._subscriptions = subscribe_to_all(self._node, message_class(kind), self._topic,
                                               self._on_message, 1)

    def close(self) -> None:
        """Watch it no more; called by the executor."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions, self._since_s = [], math.inf

    def is_met(self) -> bool:
        """Return whether the condition holds, and has for as long as it must.

        Raises:
            InputError: the topic has no such values.
        """
        if self._failure:
            raise InputError(self._failure)
        if self._until.needs_monitor:
            # A single look may be mistaken, and what was seen once need not be so any more.
            return self._agreeing >= 2 and self._newest_s - self._since_s >= self._until.lasts
        return time.monotonic() - self._since_s >= self._until.lasts

    def forget(self) -> None:
        """Count from now on, if it is about the monitor, which tells of what the policy sees."""
        if self._until.needs_monitor:
            self._since_s, self._agreeing = math.inf, 0

    def why_not(self) -> str:
        """Return what is wrong with the topic, empty if it only says no."""
        return self._why_not

    def _on_message(self, msg) -> None:
        if not self._until.accepts(msg.data):
            self._since_s, self._agreeing = math.inf, 0
            return
        self._agreeing += 1
        self._newest_s = time.monotonic()
        if self._since_s == math.inf:
            self._since_s = self._newest_s


def _asked(until: EndCondition) -> str:
    if until.is_number:
        return "above or below"
    return f"equals {until.equals!r}" if isinstance(until.equals, str) else "true or false"
