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

"""Find out when a recorder gets every message of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from tinyvla_ros.nodes.shared.runner import SUBSCRIBERS

RECORDER = "episode_recorder_node"
# Time for a policy that reports no subscribers to discover the recorder, s. Ours reports every
# second; those of release 0.1.0 and of other people do not.
UNREPORTED_S = 5.0


class RecorderWatch:
    """Watches the subscriptions of the recorder in the namespace of a node.

    That a subscription exists is not enough: until the process of a publisher has discovered it,
    messages do not reach it. For its own publishers a node knows; the policy reports on
    /diagnostics how many subscribers its publishers have discovered.

    Args:
        node: of the caller; its callbacks must run.
        topics: every one needs a subscription of the recorder.
    """

    def __init__(self, node: Node, topics: Sequence[str]):
        self._node, self._topics = node, topics
        self._discovered: dict[str, int] = {}  # by the policy: topic -> subscribers
        self._recorded_since: float | None = None
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def is_complete(self) -> bool:
        """Return whether the recorder gets everything that is published from now on."""
        if not all(map(self._is_recorded, self._topics)):
            self._recorded_since = None
            return False
        self._recorded_since = self._recorded_since or time.monotonic()
        if not self._discovered:
            return time.monotonic() - self._recorded_since > UNREPORTED_S
        return all(number >= self._node.count_subscribers(topic)
                   for topic, number in self._discovered.items())

    def _is_recorded(self, topic: str) -> bool:
        return any(s.node_name == RECORDER and s.node_namespace == self._node.get_namespace()
                   for s in self._node.get_subscriptions_info_by_topic(topic))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        found = {v.key.removeprefix(SUBSCRIBERS): int(v.value) for status in msg.status
                 if self._is_policy(status.name) for v in status.values
                 if v.key.startswith(SUBSCRIBERS)}
        self._discovered = self._discovered | found

    def _is_policy(self, name: str) -> bool:
        namespace = self._node.get_namespace().strip("/")
        return name.endswith(": policy") and name.rpartition("/")[0] == namespace
