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

"""Whether a recorder listens, as those see it whose episodes it shall record."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.node import Node
from rclpy.publisher import Publisher

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import contract_streams

RECORDER = "episode_recorder_node"


class RecorderPresence:
    """Looks for the recorder among those who listen.

    Args:
        node: the caller.
        contract: of the robot, whose measured topics must be recorded.
        events: publisher of episode events.
    """

    def __init__(self, node: Node, contract: RobotContract, events: Publisher):
        self._node, self._events = node, events
        self._measured: Iterable[str] = {
            node.resolve_topic_name(s.settings.topic)
            for s in contract_streams(contract, contract.cameras)}

    def is_listening(self) -> bool:
        """Return whether it listens to events, and to every measured topic that is published.

        It finds topics one after the other; an episode that is over soon would have no messages.
        """
        return bool(self._events.get_subscription_count()) and all(
            map(self._is_recorded, self._measured))

    def _is_recorded(self, topic: str) -> bool:
        return not self._node.count_publishers(topic) or RECORDER in (
            i.node_name for i in self._node.get_subscriptions_info_by_topic(topic))
