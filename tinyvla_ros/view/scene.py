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

"""From messages to what a viewer is told: the same for a bag and for a running graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tinyvla_ros.arm.contract_inputs import WRENCH_AXES
from tinyvla_ros.arm.contract_streams import (
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATE,
    POSE,
    VECTOR,
    WRENCH,
)
from tinyvla_ros.bags.recorded_message import header_stamp
from tinyvla_ros.bags.topics import CHUNK, CLOCK, INSTRUCTION, POLICY_CHUNK, POLICY_PREFIX
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import is_commander_topic
from tinyvla_ros.core.ros.episode_event import BEGIN, EpisodeEvent
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.core.ros.shown_trajectory import chunk_of
from tinyvla_ros.core.ros.state_messages import joint_values, pose_values, wrench_values
from tinyvla_ros.core.ros.topic_names import camera_name
from tinyvla_ros.view.plans import Plans
from tinyvla_ros.view.robot_topics import RobotTopics
from tinyvla_ros.view.scene_time import SceneTime
from tinyvla_ros.view.shown_image import encoded
from tinyvla_ros.view.statuses import Statuses
from tinyvla_ros.view.viewer import LATENCY, MEASURED, Contents, Level, Viewer

TWIST = "geometry_msgs/msg/TwistStamped"
DIAGNOSTICS, EVENT = "diagnostic_msgs/msg/DiagnosticArray", "diagnostic_msgs/msg/DiagnosticStatus"
# Types of the messages that are shown; of others nothing is.
SHOWN = (IMAGE, COMPRESSED_IMAGE, JOINT_STATE, POSE, WRENCH, VECTOR, TWIST, CHUNK, CLOCK,
         INSTRUCTION, DIAGNOSTICS, EVENT)
_JOINT_FIELDS = {"position": "joints", "velocity": "joint velocities", "effort": "joint efforts"}
# Images whose time of arrival is remembered, for the latency of the chunks computed from them.
_REMEMBERED = 500


@dataclass(frozen=True)
class Incoming:
    """A message on its way into a scene.

    Attributes:
        topic: full name.
        type: ``package/msg/Type``.
        received_ns: when it was published, or else received.
        data: CDR.
        decode: returns the message, with the attributes it has in ROS.
    """

    topic: str
    type: str
    received_ns: int
    data: bytes
    decode: Callable[[], object]


class Scene:
    """Understands messages and tells a viewer.

    Attributes:
        contents: what was seen until now.

    Args:
        viewer: is told.
        robot: what topics mean.
        images_per_s: of each camera at most; 0 for all.
        values_per_s: messages of each sensor at most; 0 for all.
    """

    def __init__(self, viewer: Viewer, robot: RobotTopics, images_per_s: float = 0.0,
                 values_per_s: float = 0.0):
        self._viewer, self._robot = viewer, robot
        self._images_per_s, self._values_per_s = images_per_s, values_per_s
        self.contents = Contents(channels=list(robot.limits), limits=dict(robot.limits))
        self._arranged: Contents | None = None
        self._time = SceneTime()
        self._plans = Plans(viewer, robot.limits, robot.turns, self._on_channels)
        self._statuses = Statuses(viewer, robot.namespace, self._on_values)
        self._shown_ns: dict[str, int] = {}  # topic -> time of the last message that was shown
        self._image_ns: dict[int, int] = {}  # stamp -> when the first image with it came
        self._cameras: dict[str, str] = {}  # camera -> its topic
        self._problems: set[str] = set()
        self._readers: dict[str, Callable[[Incoming, int], None]] = {
            IMAGE: self._image, COMPRESSED_IMAGE: self._image, JOINT_STATE: self._joints,
            POSE: self._pose, WRENCH: self._wrench, VECTOR: self._vector, TWIST: self._twist,
            CHUNK: self._chunk, CLOCK: self._clock, INSTRUCTION: self._text,
            DIAGNOSTICS: self._diagnostics, EVENT: self._episode}

    def is_shown(self, topic: str, kind: str) -> bool:
        """Return whether messages of a topic are shown."""
        return kind in SHOWN and self._robot.is_shown(topic)

    def add(self, message: Incoming) -> None:
        """Take a message; one that cannot be used becomes an event."""
        if not self.is_shown(message.topic, message.type):
            return
        now = self._time.now(message.received_ns)
        try:
            self._readers[message.type](message, now)
        except InputError as err:
            problem = f"{message.topic}: {err}"
            if problem not in self._problems:
                self._problems.add(problem)
                self._viewer.event(now, Level.WARN, "view", problem)
        self._plans.advance(self._time.now(message.received_ns))

    def arrange(self) -> bool:
        """Have the viewer arrange what is new since the last time; return whether anything is."""
        if self.contents == self._arranged:
            return False
        self._arranged = replace(
            self.contents, cameras=list(self.contents.cameras),
            channels=list(self.contents.channels),
            groups={group: list(names) for group, names in self.contents.groups.items()})
        self._viewer.arrange(self._arranged)
        return True

    # ---- what there is --------------------------------------------------------------------

    def _on_channels(self, names: Sequence[str]) -> None:
        self.contents.channels += [n for n in names if n not in self.contents.channels]

    def _on_values(self, group: str, names: Sequence[str]) -> None:
        known = self.contents.groups.setdefault(group, [])
        known += [n for n in names if n not in known]

    def _is_due(self, topic: str, at_ns: int, per_s: float) -> bool:
        """Whether a message is to be shown, as not too many are."""
        last = self._shown_ns.get(topic)
        # A tenth early is in time: streams jitter.
        if last is not None and per_s and 0 <= at_ns - last < 0.9e9 / per_s:
            return False
        self._shown_ns[topic] = at_ns
        return True

    # ---- messages -------------------------------------------------------------------------

    def _clock(self, message: Incoming, now: int) -> None:
        self._time.tick(time_to_ns(message.decode().clock), message.received_ns)

    def _image(self, message: Incoming, now: int) -> None:
        camera = camera_name(f"/{self._robot.label(message.topic)}")
        # Of a raw and a compressed topic one is enough: the first that comes.
        if self._cameras.setdefault(camera, message.topic) != message.topic:
            return
        if camera not in self.contents.cameras:
            self.contents.cameras.append(camera)
        stamp = header_stamp(message.data)
        self._image_ns.setdefault(stamp, message.received_ns)
        if len(self._image_ns) > _REMEMBERED:
            self._image_ns.pop(next(iter(self._image_ns)))
        at = self._time.stamped(stamp, message.received_ns)
        if self._viewer.wants_image(camera) and self._is_due(message.topic, at,
                                                             self._images_per_s):
            self._viewer.image(at, camera, *encoded(message.decode()))

    def _sensor(self, message: Incoming, read: Callable[[object], dict[str, dict[str, float]]]
                ) -> None:
        """Show values by group, and what they measure of the action channels."""
        at = self._time.stamped(header_stamp(message.data), message.received_ns)
        if not self._is_due(message.topic, at, self._values_per_s):
            return
        msg = message.decode()
        for group, values in read(msg).items():
            self._show(at, group, values)
        measured = self._robot.measured(message.topic, msg)
        self._on_channels(tuple(measured))
        self._show(at, MEASURED, measured)

    def _show(self, at: int, group: str, values: dict[str, float]) -> None:
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        if values:
            self._on_values(group, list(values))
            self._viewer.values(at, group, values)

    def _joints(self, message: Incoming, now: int) -> None:
        label = self._robot.label(message.topic)
        suffix = "" if label == "joint_states" else f" of {label}"
        self._sensor(message, lambda msg: {
            f"{group}{suffix}": joint_values(msg, field)
            for field, group in _JOINT_FIELDS.items()})

    def _pose(self, message: Incoming, now: int) -> None:
        self._sensor(message, lambda msg: {
            self._robot.label(message.topic): dict(zip("xyz", pose_values(msg), strict=True))})

    def _wrench(self, message: Incoming, now: int) -> None:
        self._sensor(message, lambda msg: {
            self._robot.label(message.topic):
                dict(zip(WRENCH_AXES, wrench_values(msg), strict=True))})

    def _vector(self, message: Incoming, now: int) -> None:
        if self._robot.is_output(message.topic):
            self._plans.sent_values(self._robot.commanded(message.topic, message.decode()), now)
        elif self._is_due(message.topic, now, self._values_per_s):
            msg = message.decode()
            self._show(now, self._robot.label(message.topic),
                       {str(i): float(v) for i, v in enumerate(msg.data)})
            self._show(now, MEASURED, self._robot.measured(message.topic, msg))

    def _twist(self, message: Incoming, now: int) -> None:
        if self._robot.is_output(message.topic):
            self._plans.sent_values(self._robot.commanded(message.topic, message.decode()), now)

    def _chunk(self, message: Incoming, now: int) -> None:
        topic = message.topic
        if topic.endswith(POLICY_PREFIX):
            return
        chunk, _ = chunk_of(message.decode())
        image_ns = self._image_ns.get(chunk.stamp_ns)
        chunk = replace(chunk, stamp_ns=self._time.stamped(chunk.stamp_ns, message.received_ns))
        if not topic.endswith(POLICY_CHUNK):
            self._plans.sent_chunk(topic, self._robot.as_channels(topic, chunk), now)
            return
        self._plans.policy_chunk(topic, chunk, now)
        if image_ns is not None:
            self._show(now, LATENCY, {"image to chunk": (message.received_ns - image_ns) / 1e6})

    def _text(self, message: Incoming, now: int) -> None:
        if is_commander_topic(message.topic):
            node = self._robot.label(message.topic).removesuffix("/commander")
            said = message.decode().data
            self._viewer.state(now, "commander", said or "nobody")
            self._viewer.event(now, Level.INFO, node,
                               f"commands as {said}" if said else "no longer commands")
        elif message.topic == self._robot.instruction:
            said = message.decode().data
            self._viewer.state(now, "instruction", said)
            self._viewer.event(now, Level.INFO, "instruction", said)

    def _diagnostics(self, message: Incoming, now: int) -> None:
        self._statuses.add(message.decode(), now)

    def _episode(self, message: Incoming, now: int) -> None:
        if not message.topic.endswith("episode"):
            return
        event = EpisodeEvent.read(message.decode())
        about = ", ".join(f"{name} {event.values[name]}" for name in ("index", "task", "seed")
                          if name in event.values)
        outcome = "" if event.kind == BEGIN or event.outcome == "unknown" else f", {event.outcome}"
        self._viewer.state(now, "episode", about or event.kind if event.kind == BEGIN
                           else outcome.lstrip(", ") or event.kind)
        self._viewer.event(now, Level.INFO, "episode",
                           f"{event.kind}{f' of {about}' if about else ''}{outcome}")
