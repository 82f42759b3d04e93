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

"""Compare a robot contract with the running graph; nothing is published."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import AnyOutput
from tinyvla_ros.arm.contract_streams import InputStream, policy_streams
from tinyvla_ros.core.errors import unknown
from tinyvla_ros.nodes.policy.outputs import PUBLISHERS
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import stream_qos
from tinyvla_ros.nodes.survey.stream_meter import StreamMeter, listening_node
from tinyvla_ros.policy.config import PolicyConfig

# A measured rate may differ from the declared one by this share.
RATE_TOLERANCE = 0.2
# Longest wait for the nodes of the graph to be discovered, s: some hundredths, on a busy machine
# or network seconds.
DISCOVERY_S = 5.0


@dataclass(frozen=True)
class TopicFinding:
    """What was found of a topic; ``problem`` is one sentence, empty if there is none."""

    topic: str
    seen: str
    problem: str = ""


def check_graph(contract: RobotContract, config: PolicyConfig, seconds: float
                ) -> list[TopicFinding]:
    """Judge every topic of the contract.

    Args:
        contract: names the topics.
        config: of the policy, which may not need them all.
        seconds: how long to listen, once every topic is found or enough was waited for them.
    """
    with listening_node("robot_check") as (node, spin):
        listeners = [_Listener(node, stream, contract.stamps.max_age)
                     for stream in policy_streams(contract, config)]
        commanded = [node.resolve_topic_name(output.topic) for output in contract.outputs]
        spin(DISCOVERY_S, lambda: all(listener.is_published for listener in listeners)
             and all(map(node.count_subscribers, commanded)))
        spin(seconds)
        return [*(listener.row() for listener in listeners),
                *(_check_output(node, output) for output in contract.outputs)]


def _check_output(node: Node, output: AnyOutput) -> TopicFinding:
    """Judge a command topic without a publisher, which would hold a policy that commands it."""
    topic, message = node.resolve_topic_name(output.topic), PUBLISHERS[output.type].message
    wanted = f"{message.__module__.split('.')[0]}/msg/{message.__name__}"
    types = {s.topic_type for s in node.get_subscriptions_info_by_topic(topic)}
    if not types:
        return TopicFinding(output.topic, output.type, f"{topic} has no subscriber; start the "
                            "controller, or correct the topic.")
    seen = f"{output.type}, with a subscriber"
    if names := other_publishers(node, topic, 0):
        seen += f", commanded by {' and '.join(names)}"
    problem = "" if wanted in types else \
        f"Its subscriber takes {', '.join(sorted(types))}, and a {output.type} output sends " \
        f"{wanted}; correct the topic, or 'type'."
    if len(names) > 1:
        problem = problem or "A controller must have one commander; end the others."
    return TopicFinding(output.topic, seen, problem)


class _Listener:
    """Measures one stream and judges it."""

    def __init__(self, node: Node, stream: InputStream, max_age: float):
        self._node, self._stream, self._settings = node, stream, stream.settings
        self._max_age = max_age
        self._qos = stream_qos(stream.settings)
        self._came: set[str] = set()  # states
        self._joints: set[str] = set()  # names in joint states
        self._meter = StreamMeter(node, stream.type, stream.settings.topic, self._qos,
                                  self._decode)

    @property
    def is_published(self) -> bool:
        """Whether a publisher has been discovered."""
        return self._node.count_publishers(self._meter.topic) > 0

    def row(self) -> TopicFinding:
        """Judge the stream."""
        meter, topic = self._meter, self._meter.topic
        problem = meter.error or self._publishers(topic) or self._rate_problem()
        seen = f"{len(meter.arrivals)} messages"
        if meter.rate:
            seen += f", {meter.rate:.1f} Hz"
        if meter.ages and not self._node.count_publishers("/clock"):
            age = statistics.median(meter.ages)
            seen += f", {age:.3f} s old"
            if self._max_age and age > self._max_age:
                problem = problem or (f"It is {age:.3f} s old when it comes, and stamps.max_age "
                                      f"is {self._max_age:g} s; check the clocks.")
        return TopicFinding(topic, seen, problem or self._state_problem())

    def _decode(self, msg) -> object:
        if self._stream.is_shared:
            self._joints |= set(msg.name)
        value = self._stream.decode(msg)
        if self._stream.states:
            self._came |= value.keys()
        return value

    def _publishers(self, topic: str) -> str:
        found = self._node.get_publishers_info_by_topic(topic)
        if not found:
            published = [name for name, _ in self._node.get_topic_names_and_types()
                         if self._node.count_publishers(name)]
            return unknown("topic", topic, sorted(published))
        types = {p.topic_type for p in found}
        if types != {self._stream.type}:
            return (f"It carries {', '.join(sorted(types))}, and the contract needs "
                    f"{self._stream.type}; correct the topic, or 'compressed'.")
        for publisher in found:
            level, reason = qos_check_compatible(publisher.qos_profile, self._qos)
            if level == QoSCompatibility.ERROR:
                return (f"The publisher's QoS does not fit ({reason.strip()}); set 'reliable: "
                        f"{str(not self._settings.reliable).lower()}'.")
        if len(found) > 1 and not self._stream.is_shared:
            names = other_publishers(self._node, topic, 0)
            return f"{' and '.join(names)} publish it; one publisher is needed, end the others."
        return "" if self._meter.arrivals else "Nothing came; is the driver running?"

    def _rate_problem(self) -> str:
        rate, declared, gap = self._meter.rate, self._settings.rate, self._meter.longest_gap
        if declared and rate and abs(rate / declared - 1) > RATE_TOLERANCE:
            return (f"It comes at {rate:.1f} Hz, and the contract has {declared:g} Hz; correct "
                    "'rate' or the driver.")
        if gap > self._settings.timeout:
            return (f"The longest gap was {gap:.3f} s, and the arm holds after "
                    f"{self._settings.timeout:g} s without a message; raise 'timeout'.")
        return ""

    def _state_problem(self) -> str:
        missing = [label for state, label in self._stream.states.items()
                   if state not in self._came]
        if not missing:
            return ""
        name = self._stream.name.replace("/", ".")
        if missing[0] in self._joints or " of " in missing[0]:
            return f"{name}: no message has the {missing[0]}; the driver must send it."
        return f"{name}.names: {unknown('joint', missing[0], sorted(self._joints))}"
