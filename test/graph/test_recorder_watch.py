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

"""When the bridge takes a run as recorded: what the graph shows and what the policy has found."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

from diagnostic_msgs.msg import DiagnosticArray

from sim_bridge.nodes import recorder_watch
from sim_bridge.nodes.recorder_watch import RECORDER, RecorderWatch
from tinyvla_ros.nodes.shared.runner import OK, SUBSCRIBERS, status


class Graph:
    """A graph: topic -> names of the nodes that subscribe to it."""

    def __init__(self, namespace: str = "/", **subscribers):
        self.namespace = namespace
        self.subscribers = {f"/{topic}": names for topic, names in subscribers.items()}
        self.receive = None

    def get_namespace(self) -> str:
        return self.namespace

    def create_subscription(self, kind, topic, callback, qos) -> None:
        self.receive = callback

    def count_subscribers(self, topic: str) -> int:
        return len(self.subscribers[topic])

    def get_subscriptions_info_by_topic(self, topic: str) -> list:
        return [SimpleNamespace(node_name=name, node_namespace=self.namespace)
                for name in self.subscribers[topic]]

    def report(self, **discovered) -> None:
        values = {f"{SUBSCRIBERS}/{topic}": number for topic, number in discovered.items()}
        others = {f"{SUBSCRIBERS}/{topic}": "many" for topic in self.subscribers}
        self.receive(DiagnosticArray(status=[status("policy_node: policy", OK, "", values),
                                             status("other: part", OK, "", others)]))


def test_a_subscription_that_the_policy_has_not_discovered_does_not_count():
    graph = Graph(clock=[RECORDER, "policy_node"], action_chunk=["sim_bridge_node", RECORDER])
    watch = RecorderWatch(graph, ["/clock", "/action_chunk"])
    assert not watch.is_complete(), "the policy has reported nothing"
    graph.report(action_chunk=1)
    assert not watch.is_complete(), "it knows of the bridge alone"
    graph.report(action_chunk=2)
    assert watch.is_complete()


def test_every_topic_needs_a_recorder():
    graph = Graph(clock=["policy_node"], action_chunk=[RECORDER])
    watch = RecorderWatch(graph, ["/clock", "/action_chunk"])
    graph.report(action_chunk=1)
    assert not watch.is_complete()
    graph.subscribers["/clock"].append(RECORDER)
    assert watch.is_complete()


def test_a_policy_that_reports_no_subscribers_gets_time_to_discover_the_recorder():
    graph = Graph(clock=[RECORDER], action_chunk=["sim_bridge_node", RECORDER])
    watch = RecorderWatch(graph, ["/clock", "/action_chunk"])
    with mock.patch.object(recorder_watch, "time") as time:
        time.monotonic.return_value = 100.0
        assert not watch.is_complete()
        graph.subscribers["/clock"] = []
        time.monotonic.return_value += 2 * recorder_watch.UNREPORTED_S
        assert not watch.is_complete(), "the recorder is gone"
        graph.subscribers["/clock"] = [RECORDER]
        assert not watch.is_complete(), "and the wait begins again"
        time.monotonic.return_value += 2 * recorder_watch.UNREPORTED_S
        assert watch.is_complete()
