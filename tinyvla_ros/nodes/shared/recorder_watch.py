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

"""Find out when a recorder gets every message of an episode."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import contract_streams
from tinyvla_ros.nodes.shared.runner import SUBSCRIBERS

RECORDER = "episode_recorder_node"
# Time for a policy that reports no subscribers to discover the recorder, s. Ours reports every
# second; those of release 0.1.0 and of other people do not.
UNREPORTED_S = 5.0
# A recorder that listens to episodes finds the other topics within this time, or leaves them
# out, s.
FINDS_S = 10.0


class RecorderWatch:
    """Watches the subscriptions of the recorder in the namespace of a node.

    That a subscription exists is not enough: until the process of a publisher has discovered it,
    messages do not reach it. For its own publishers a node knows; the policy reports on
    /diagnostics what it publishes, and how many subscribers it has discovered.

    Args:
        node: of the caller; its callbacks must run.
        topics: of the robot or the simulation. Each that is published needs a subscription of the
            recorder, as do those of the policy.
        patience_s: for topics that a recorder leaves out by its parameters: after so long they are
            named in the log and not waited for any more.
    """

    def __init__(self, node: Node, topics: Iterable[str], patience_s: float = math.inf):
        self._node, self._patience_s = node, patience_s
        self._events = node.resolve_topic_name("episode")
        self._topics = {self._events, *map(node.resolve_topic_name, topics)}
        self._discovered: dict[str, int] = {}  # by the policy: topic -> subscribers
        self._left_out: set[str] = set()
        self._pending: set[str] = set()
        self._pending_since = 0.0  # steady s
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def is_complete(self) -> bool:
        """Return whether the recorder gets everything that is published from now on."""
        now = time.monotonic()
        pending = set(filter(self._is_pending, self._topics | self._discovered.keys()))
        if pending != self._pending or not self._pending_since:
            self._pending, self._pending_since = pending, now
        waited_s = now - self._pending_since
        if not pending:
            return bool(self._discovered) or waited_s > UNREPORTED_S
        if self._events in pending or waited_s < self._patience_s:
            return False
        self._node.get_logger().warning(
            f"{RECORDER} may miss messages of {', '.join(sorted(pending))}: it has not "
            f"subscribed, or the policy has not found it, in {self._patience_s:g} s. See its "
            "parameters 'topics' and 'exclude'.")
        self._left_out |= pending
        return True

    def is_there(self) -> bool:
        """Return whether the recorder listens to episodes."""
        return self._is_recorded(self._node.get_subscriptions_info_by_topic(self._events))

    def _is_pending(self, topic: str) -> bool:
        if topic in self._left_out or not self._node.count_publishers(topic):
            return False
        # The policy keeps no messages: whoever asks for earlier ones is never found by it.
        subscriptions = [s for s in self._node.get_subscriptions_info_by_topic(topic)
                         if topic not in self._discovered
                         or s.qos_profile.durability != DurabilityPolicy.TRANSIENT_LOCAL]
        return self._discovered.get(topic, len(subscriptions)) < len(subscriptions) or \
            not self._is_recorded(subscriptions)

    def _is_recorded(self, subscriptions: list) -> bool:
        return any(s.node_name == RECORDER and s.node_namespace == self._node.get_namespace()
                   for s in subscriptions)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        found = {v.key.removeprefix(SUBSCRIBERS): int(v.value) for status in msg.status
                 if self._is_policy(status.name) for v in status.values
                 if v.key.startswith(f"{SUBSCRIBERS}/") and v.value.isdecimal()}
        self._discovered = self._discovered | found

    def _is_policy(self, name: str) -> bool:
        namespace = self._node.get_namespace().strip("/")
        return name.endswith(": policy") and name.rpartition("/")[0] == namespace


def measured_topics(contract: RobotContract) -> list[str]:
    """Return the topics of a robot's state and cameras."""
    return [s.settings.topic for s in contract_streams(contract, contract.cameras)]
