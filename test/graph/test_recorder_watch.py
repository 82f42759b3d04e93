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

"""When a run is taken as recorded: what the graph shows and what the policy has found."""

from __future__ import annotations

import math
from types import SimpleNamespace
from unittest import mock

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile

from tinyvla_ros.nodes.shared import recorder_watch
from tinyvla_ros.nodes.shared.recorder_watch import FINDS_S, RECORDER, RecorderWatch
from tinyvla_ros.nodes.shared.runner import OK, SUBSCRIBERS, status

BRIDGE = "sim_bridge_node"
LATE = "asks_for_earlier_messages"


class Graph:
    """A graph in which all topics are published: topic -> names of the nodes that subscribe."""

    def __init__(self, namespace: str = "/", **subscribers):
        self.namespace = namespace
        self.subscribers = {f"/{topic}": names for topic, names in subscribers.items()}
        self.subscribers.setdefault("/episode", [RECORDER])
        self.unpublished = set()
        self.warnings, self.receivers = [], []

    def get_namespace(self) -> str:
        return self.namespace

    def get_logger(self):
        return SimpleNamespace(warning=self.warnings.append)

    def resolve_topic_name(self, topic: str) -> str:
        return f"/{topic.removeprefix('/')}"

    def create_subscription(self, kind, topic, callback, qos) -> None:
        self.receivers.append(callback)

    def count_publishers(self, topic: str) -> int:
        return int(topic in self.subscribers and topic not in self.unpublished)

    def get_subscriptions_info_by_topic(self, topic: str) -> list:
        return [SimpleNamespace(
            node_name=name.rpartition("/")[2], node_namespace=name.rpartition("/")[0] or "/",
            qos_profile=QoSProfile(depth=1, durability=(
                DurabilityPolicy.TRANSIENT_LOCAL if name == LATE else DurabilityPolicy.VOLATILE)))
            for name in self.subscribers[topic]]

    def report(self, policy="policy_node: policy", **discovered) -> None:
        values = {f"{SUBSCRIBERS}/{topic}": number for topic, number in discovered.items()}
        others = {f"{SUBSCRIBERS}/{topic}": "many" for topic in self.subscribers}
        for receive in self.receivers:
            receive(DiagnosticArray(status=[status(policy, OK, "", values),
                                            status("other: part", OK, "", others)]))


@pytest.fixture
def clock():
    with mock.patch.object(recorder_watch, "time") as time:
        time.monotonic.return_value = 100.0
        yield time.monotonic


def test_a_subscription_that_the_policy_has_not_discovered_does_not_count():
    graph = Graph(clock=[RECORDER, "policy_node"], action_chunk=[BRIDGE, RECORDER])
    watch = RecorderWatch(graph, ["/clock", "/action_chunk"])
    assert not watch.is_complete(), "the policy has reported nothing"
    graph.report(action_chunk=1)
    assert not watch.is_complete(), "it knows of the bridge alone"
    graph.report(action_chunk=2)
    assert watch.is_complete()


@pytest.mark.parametrize("late", ["episode", "clock", "chunk", "prefix"])
def test_every_topic_needs_a_recorder(late):
    graph = Graph(clock=[RECORDER], chunk=[BRIDGE, RECORDER], prefix=[RECORDER])
    graph.subscribers[f"/{late}"].remove(RECORDER)
    watch = RecorderWatch(graph, ["clock"])
    graph.report(chunk=1, prefix=0)
    assert not watch.is_complete()
    graph.subscribers[f"/{late}"].append(RECORDER)
    graph.report(chunk=2, prefix=1)
    assert watch.is_complete()


def test_a_topic_that_nobody_publishes_is_not_awaited():
    graph = Graph(clock=[RECORDER], camera=[], action_chunk=[RECORDER])
    watch = RecorderWatch(graph, ["clock", "camera"])
    graph.report(action_chunk=1)
    assert not watch.is_complete()
    graph.unpublished.add("/camera")
    assert watch.is_complete()


def test_a_policy_that_reports_no_subscribers_gets_time_to_discover_the_recorder(clock):
    graph = Graph(clock=[RECORDER, "policy_node"], action_chunk=[BRIDGE, RECORDER])
    watch = RecorderWatch(graph, ["/clock", "/action_chunk"])
    assert not watch.is_complete()
    graph.subscribers["/clock"] = []
    clock.return_value += 2 * recorder_watch.UNREPORTED_S
    assert not watch.is_complete(), "the recorder is gone"
    graph.subscribers["/clock"] = [RECORDER]
    assert not watch.is_complete(), "and the wait begins again"
    clock.return_value += 2 * recorder_watch.UNREPORTED_S
    assert watch.is_complete()


def test_a_topic_that_the_recorder_leaves_out_is_awaited_once(clock):
    graph = Graph(camera=[], chunk=[])
    watch, strict = (RecorderWatch(graph, ["camera"], s) for s in (FINDS_S, math.inf))
    graph.report(chunk=0)
    assert not watch.is_complete()
    assert not strict.is_complete()
    clock.return_value += 2 * FINDS_S
    assert watch.is_complete()
    assert watch.is_complete()
    assert not strict.is_complete()
    assert len(graph.warnings) == 1
    assert "/camera" in graph.warnings[0] and "/chunk" in graph.warnings[0]


def test_nothing_is_recorded_without_a_recorder(clock):
    graph = Graph(episode=["other"], camera=[RECORDER])
    watch = RecorderWatch(graph, ["camera"], FINDS_S)
    graph.report(camera=1)
    for _ in range(3):
        assert not watch.is_complete()
        clock.return_value += 2 * FINDS_S


def test_a_subscriber_that_the_policy_cannot_serve_is_not_awaited():
    graph = Graph(chunk=[RECORDER, LATE])
    watch = RecorderWatch(graph, [])
    graph.report(chunk=1)
    assert watch.is_complete()


def test_recorder_and_policy_of_another_namespace_do_not_count():
    graph = Graph("/left", episode=[RECORDER], chunk=[f"/left/{RECORDER}"])
    watch = RecorderWatch(graph, [])
    graph.report("left/policy_node: policy", chunk=1)
    assert not watch.is_complete()
    graph.subscribers["/episode"].append(f"/left/{RECORDER}")
    assert watch.is_complete()
    graph.report("right/policy_node: policy", chunk=0)
    assert watch.is_complete()
