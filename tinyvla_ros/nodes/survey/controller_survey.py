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

"""Find the controllers of a graph, and ask them for their joints and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from trajectory_msgs.msg import JointTrajectory

from tinyvla_ros.nodes.shared.run_guard import UNKNOWN_NODE
from tinyvla_ros.robot_draft.found import FoundController

# Type and end of the topic -> type of the contract's output.
KINDS = (("trajectory_msgs/msg/JointTrajectory", "action_chunk", "chunk"),
         ("trajectory_msgs/msg/JointTrajectory", "joint_trajectory", "joint_trajectory"),
         ("std_msgs/msg/Float64MultiArray", "commands", "positions"),
         ("geometry_msgs/msg/TwistStamped", "delta_twist_cmds", "twist"))
LIMITS = ("max_velocity", "max_acceleration", "min_position", "max_position")
# What says, beside a limit, whether it counts; MoveIt writes 0 for those that do not.
COUNTS = {"max_velocity": "has_velocity_limits", "max_acceleration": "has_acceleration_limits",
          "min_position": "has_position_limits", "max_position": "has_position_limits"}
MOVE_GROUP = "/move_group"
# A service that is not seen for so long is not there, s.
THERE_S = 1.0
# One that is there answers within milliseconds. It is asked again after a while, because ROS drops
# an answer to a client that the node does not know yet, and a busy machine is slow.
ANSWER_S, QUESTIONS = 1.0, 5


def controller_topics(commanded: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return topic -> type of the contract's output, of topics and their types."""
    return {topic: kind for topic, types in commanded.items() for wanted, end, kind in KINDS
            if wanted in types and topic.rpartition("/")[2] == end}


class ControllerSurvey:
    """Listens to chunks that are sent, and asks controllers.

    Args:
        node: subscribes and asks.
        commanded: topics with a subscriber, without their slash, and their types.
    """

    def __init__(self, node: Node, commanded: Mapping[str, Sequence[str]]):
        self._node = node
        self._topics = controller_topics(commanded)
        self._chunks: dict[str, list[JointTrajectory]] = {}
        for topic, kind in self._topics.items():
            if kind == "chunk":
                self._chunks[topic] = []
                node.create_subscription(JointTrajectory, f"/{topic}",
                                         self._chunks[topic].append, 10)

    def ask(self, spin: Callable[..., None]) -> list[FoundController]:
        """Return all controllers with what they answer."""
        return [self._found(topic, kind, spin) for topic, kind in self._topics.items()]

    def _subscribers(self, topic: str) -> list[str]:
        """Return the nodes that may be the controller, the likeliest first."""
        names = {f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in
                 self._node.get_subscriptions_info_by_topic(f"/{topic}")
                 if i.node_name != UNKNOWN_NODE}
        parent = "/" + topic.rpartition("/")[0]
        return sorted(names - {self._node.get_fully_qualified_name()},
                      key=lambda n: (n != parent, n))

    def _found(self, topic: str, kind: str, spin: Callable[..., None]) -> FoundController:
        for name in self._subscribers(topic):
            values = self._parameters(name, ("joints", "interface_name", "command_interfaces"),
                                      spin)
            joints = tuple(j for j in values.get("joints", ()) if j)
            if not joints:
                continue
            interfaces = values.get("command_interfaces", ())
            interface = values.get("interface_name") or (
                "position" if not interfaces or "position" in interfaces else interfaces[0])
            return FoundController(topic, kind, name, joints, interface,
                                   self._limits(name, joints, spin))
        return FoundController(topic, kind, commanded=_range(self._chunks.get(topic, ())))

    def _limits(self, name: str, joints: Iterable[str], spin: Callable[..., None]
                ) -> dict[str, dict[str, float]]:
        """Return the limits that the controller has as parameters, or MoveIt."""
        found: dict[str, dict[str, float]] = {}
        nodes = {n for n, _ in self._node.get_node_names_and_namespaces()}
        for asked, prefix in ((name, "joint_limits"), (
                MOVE_GROUP, "robot_description_planning.joint_limits")):
            if asked == MOVE_GROUP and MOVE_GROUP[1:] not in nodes:
                continue
            keys = [f"{prefix}.{j}.{name}" for j in joints
                    for name in (*LIMITS, *dict.fromkeys(COUNTS.values()))]
            values = self._parameters(asked, keys, spin)
            for joint in joints:
                stated = {n: values.get(f"{prefix}.{joint}.{n}") for n in LIMITS
                          if values.get(f"{prefix}.{joint}.{COUNTS[n]}") is not False}
                for limit, value in _usable(stated).items():
                    found.setdefault(joint, {}).setdefault(limit, value)
        return found

    def _parameters(self, name: str, keys: Sequence[str], spin: Callable[..., None]
                    ) -> dict[str, object]:
        """Return the parameters that a node has of those; none if it does not answer."""
        # Asked for one that is not declared, a node returns none at all.
        listed = self._call(ListParameters, f"{name}/list_parameters", ListParameters.Request(),
                            spin)
        there = [k for k in keys if listed is not None and k in listed.result.names]
        response = self._call(GetParameters, f"{name}/get_parameters",
                              GetParameters.Request(names=there), spin) if there else None
        values = map(parameter_value_to_python, response.values) if response else ()
        return {k: v for k, v in zip(there, values, strict=False) if v is not None}

    def _call(self, kind: type, service: str, request: object, spin: Callable[..., None]):
        """Return a service's response, None if there is none."""
        client = self._node.create_client(kind, service)
        try:
            spin(THERE_S, client.service_is_ready)
            questions = []
            while client.service_is_ready() and len(questions) < QUESTIONS:
                questions.append(client.call_async(request))
                spin(ANSWER_S, lambda: any(q.done() for q in questions))
                if answered := next((q for q in questions if q.done()), None):
                    return answered.result()
            return None
        finally:
            self._node.destroy_client(client)


def _usable(stated: Mapping[str, object]) -> dict[str, float]:
    """Return the limits of a joint that can be any."""
    numbers = {n: float(v) for n, v in stated.items()
               if isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v)}
    low, high = (numbers.get(n) for n in ("min_position", "max_position"))
    if low is not None and high is not None and low >= high:
        numbers = {n: v for n, v in numbers.items() if not n.endswith("_position")}
    return {n: v for n, v in numbers.items() if n.endswith("_position") or v > 0.0}


def _range(chunks: Sequence[JointTrajectory]) -> dict[str, tuple[float, float]]:
    """Return channel -> smallest and largest value in chunks; of those of the newest's names."""
    if not chunks:
        return {}
    names = list(chunks[-1].joint_names)
    rows = np.array([p.positions for c in chunks if list(c.joint_names) == names
                     for p in c.points if len(p.positions) == len(names)]).reshape(-1, len(names))
    if not len(rows):
        return {}
    return {n: (float(low), float(high))
            for n, low, high in zip(names, rows.min(0), rows.max(0), strict=True)}
