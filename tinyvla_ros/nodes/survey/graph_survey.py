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

"""Look at a running graph, without publishing anything: sensors, rates, controllers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from tinyvla_ros.arm.contract_streams import (
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATE,
    POSE,
    WRENCH,
)
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.ros.messages import image_to_array
from tinyvla_ros.core.ros.state_messages import joint_values, pose_values
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import subscribe_to_all
from tinyvla_ros.nodes.survey.controller_survey import ControllerSurvey, controller_topics
from tinyvla_ros.nodes.survey.stream_meter import StreamMeter, listening_node
from tinyvla_ros.robot_draft.found import (
    FoundCamera,
    FoundJoints,
    FoundPose,
    FoundRobot,
    FoundStream,
    Timing,
)

TEXT = "std_msgs/msg/String"
SENSORS = (JOINT_STATE, IMAGE, COMPRESSED_IMAGE, POSE)
# Nodes discover each other within some hundredths of a second, on a busy machine in some tenths:
# the graph is known when nothing new has come for so long, s. One that seems to be empty is waited
# for longer, and a topic that was asked for.
QUIET_S, LATE_S = 1.0, 5.0
# One that is discovered later, as on a busy network, is listened to as well, this often.
ATTEMPTS = 3
# Images are decoded as long as needed to know their kind.
DECODED = 3
# Messages that may wait while others are handled.
DEPTH = 50


def survey(seconds: float, namespace: str = "", joint_states: str = "",
           say: Callable[[str], None] = print) -> FoundRobot:
    """Find out what a robot has.

    Args:
        seconds: how long to listen.
        namespace: look only at topics in it.
        joint_states: the topic to take, of several; empty for the likeliest.
        say: gets sentences about how far it is.

    Raises:
        InputError: nothing that belongs to a robot is published, or the topic is not there.
    """
    with listening_node("robot_init") as (node, spin):
        say("looking for topics ...")
        _wait_until_known(node, spin)
        spin(LATE_S, lambda: _is_there(node, namespace, joint_states))
        graph = _Graph(node, namespace, joint_states)
        for _ in range(ATTEMPTS):
            found = graph.of_kind(*SENSORS)
            if not found:
                raise InputError(_nothing(graph, namespace))
            say(f"listening to {len(found)} topic(s) for {seconds:g} s: {', '.join(found)}")
            listening = _Listening(node, graph)
            spin(seconds)
            graph = _Graph(node, namespace, joint_states)
            if not (late := graph.matter - listening.graph.matter):
                break
            say(f"{', '.join(sorted(late))} came late")
        say("asking the controllers ...")
        return listening.found(seconds, spin)


def _wait_until_known(node: Node, spin: Callable[..., None]) -> None:
    """Spin until the topics of the graph are the same as a while ago."""
    before = None
    for _ in range(int(LATE_S / QUIET_S)):
        spin(QUIET_S)
        now = node.get_topic_names_and_types()
        if now == before:
            return
        before = now


def _is_there(node: Node, namespace: str, joint_states: str) -> bool:
    """Return whether anything of a robot is seen, and the topic that was asked for."""
    try:
        return bool(_Graph(node, namespace, joint_states).of_kind(*SENSORS))
    except InputError:
        return False


def _nothing(graph: _Graph, namespace: str) -> str:
    where = f" in namespace {namespace!r}" if namespace else ""
    others = graph.others()
    seen = f"there are {', '.join(others[:6])}" if others else "nobody publishes anything"
    return (f"No JointState, Image, CompressedImage or PoseStamped is published{where} ({seen}); "
            "start the robot's drivers, and check ROS_DOMAIN_ID"
            f"{' and --namespace' if namespace else ''}.")


class _Listening:
    """Listens to what a robot publishes; the node ends it.

    Attributes:
        graph: what it was when this began.
    """

    def __init__(self, node: Node, graph: _Graph):
        self._node, self.graph = node, graph
        self._cameras = [_CameraListener(node, t) for t in graph.of_kind(IMAGE, COMPRESSED_IMAGE)]
        self._joints = _JointListener(node, graph.joints) if graph.joints else None
        self._poses = [_PoseListener(node, t) for t in graph.of_kind(POSE)]
        self._wrenches = [_SensorListener(node, t) for t in graph.of_kind(WRENCH)]
        self._texts: list[str] = []
        for topic in graph.of_kind(TEXT):
            if topic.endswith("robot_description"):
                subscribe_to_all(node, String, topic, lambda m: self._texts.append(m.data), 1)
        self._controllers = ControllerSurvey(node, graph.commanded())

    def found(self, seconds: float, spin: Callable[..., None]) -> FoundRobot:
        """Ask the controllers, and return everything."""
        return FoundRobot(
            seconds, bool(self._node.count_publishers("/clock")),
            self._texts[-1] if self._texts else "",
            self._joints.found() if self._joints else None, tuple(self.graph.other_joints),
            tuple(x.found() for x in self._cameras), tuple(x.found() for x in self._poses),
            tuple(x.found() for x in self._wrenches), tuple(self._controllers.ask(spin)))


class _Graph:
    """The topics of one robot, by type."""

    def __init__(self, node: Node, namespace: str, joint_states: str = ""):
        self._node, namespace = node, namespace.strip("/")
        self._types = {name: types for name, types in node.get_topic_names_and_types()
                       if "/_" not in name}
        self._inside = f"/{namespace}/" if namespace else "/"
        self._rivals: tuple[str, ...] = ()
        self.joints, self.other_joints = self._choose_joints(joint_states)
        # What lies in the namespace of another robot is not this one's. A namespace below this
        # one's may be its gripper, or what its joint states are merged from.
        mine = "/".join(("", *self.joints.split("/")[:-1], ""))
        rivals = [f"/{t.rpartition('/')[0]}/" for t in self.other_joints if "/" in t]
        self._rivals = tuple(r for r in rivals if not mine.startswith(r)
                             and not r.startswith(mine))

    def _choose_joints(self, wanted: str) -> tuple[str, list[str]]:
        topics = self.of_kind(JOINT_STATE)
        if wanted:
            name = wanted.strip("/")
            if name not in topics:
                raise InputError(f"--joint-states {wanted}: "
                                 + unknown("topic with joint states", name, topics))
            return name, [t for t in topics if t != name]
        topics.sort(key=lambda t: (t.rpartition("/")[2] != "joint_states", t.count("/"), t))
        return (topics[0], topics[1:]) if topics else ("", [])

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the published topics of some types, without their slash."""
        return sorted(name[1:] for name, types in self._types.items()
                      if set(types) & set(kinds) and self._is_mine(name)
                      and self._node.count_publishers(name))

    def commanded(self) -> dict[str, list[str]]:
        """Return the topics with a subscriber, without their slash, and their types."""
        return {name[1:]: types for name, types in sorted(self._types.items())
                if self._is_mine(name) and self._node.count_subscribers(name)}

    @property
    def matter(self) -> set[str]:
        """Topics of any robot's sensors, and those that take commands."""
        kinds = {*SENSORS, WRENCH}
        return {name for name, types in self._types.items() if kinds & set(types)
                and name.startswith(self._inside) and self._node.count_publishers(name)} | {
            f"/{name}" for name in controller_topics(self.commanded())}

    def others(self) -> list[str]:
        """Return the topics that anybody publishes."""
        usual = ("/rosout", "/parameter_events")
        return sorted(n for n in self._types if n not in usual and self._node.count_publishers(n))

    def _is_mine(self, name: str) -> bool:
        return name.startswith(self._inside) and not name.startswith(self._rivals or ("//",))


class _SensorListener:
    """Measures a topic of sensors."""

    def __init__(self, node: Node, topic: str):
        self._node, self._topic = node, topic
        self._infos = node.get_publishers_info_by_topic(f"/{topic}")
        # Best effort gets messages of every publisher.
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._meter = StreamMeter(node, self._infos[0].topic_type, f"/{topic}", qos, self._decode,
                                  self._on_value)

    def _decode(self, msg) -> object:
        return msg

    def _on_value(self, value) -> None:
        pass

    def _common(self) -> dict[str, object]:
        meter = self._meter
        timing = Timing(len(meter.arrivals), meter.rate, meter.longest_gap, tuple(meter.stamps),
                        tuple(meter.ages))
        return {"topic": self._topic, "timing": timing, "error": meter.error,
                "publishers": tuple(dict.fromkeys(other_publishers(self._node, meter.topic, 0))),
                "reliable": all(i.qos_profile.reliability == ReliabilityPolicy.RELIABLE
                                for i in self._infos)}

    def found(self) -> FoundStream:
        """Return what was found."""
        return FoundStream(**self._common())


class _CameraListener(_SensorListener):
    def __init__(self, node: Node, topic: str):
        self._size, self._encoding, self._left = None, "", DECODED
        self._checksum, self._repeats = None, False
        super().__init__(node, topic)

    def _decode(self, msg) -> object:
        checksum = zlib.adler32(msg.data)
        self._repeats |= checksum == self._checksum
        self._checksum = checksum
        self._encoding = msg.encoding if hasattr(msg, "encoding") else msg.format
        return msg if not self._left else image_to_array(msg)

    def _on_value(self, value) -> None:
        if self._left:
            self._size, self._left = (value.shape[1], value.shape[0]), self._left - 1

    def found(self) -> FoundCamera:
        return FoundCamera(**self._common(), compressed=self._infos[0].topic_type != IMAGE,
                           size=self._size, encoding=self._encoding, repeats=self._repeats)


class _JointListener(_SensorListener):
    def __init__(self, node: Node, topic: str):
        self._positions: dict[str, float] = {}
        super().__init__(node, topic)

    def _decode(self, msg) -> object:
        return joint_values(msg, "position")

    def _on_value(self, value: dict[str, float]) -> None:
        self._positions |= {n: v if math.isfinite(v) else math.nan for n, v in value.items()}

    def found(self) -> FoundJoints:
        return FoundJoints(**self._common(), positions=self._positions)


class _PoseListener(_SensorListener):
    def __init__(self, node: Node, topic: str):
        self._frame = ""
        super().__init__(node, topic)

    def _decode(self, msg) -> object:
        self._frame = msg.header.frame_id
        return pose_values(msg)

    def found(self) -> FoundPose:
        return FoundPose(**self._common(), frame=self._frame)
