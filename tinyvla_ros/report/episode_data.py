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

"""Everything the episode report shows of one bag, read in one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyvla_ros.arm.contract_inputs import WRENCH_AXES
from tinyvla_ros.arm.contract_streams import COMPRESSED_IMAGE, IMAGE, JOINT_STATE, WRENCH
from tinyvla_ros.bags.info import BagInfo, InfoCollector
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage, header_stamp
from tinyvla_ros.bags.topics import POLICY_CHUNK, POLICY_PREFIX, contract_of
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.episode_event import EpisodeEvent
from tinyvla_ros.core.ros.messages import image_to_array, time_to_ns
from tinyvla_ros.core.ros.shown_trajectory import chunk_of
from tinyvla_ros.core.ros.state_messages import wrench_values
from tinyvla_ros.core.ros.topic_names import camera_name
from tinyvla_ros.report.chunks import ChunkView, view_chunks
from tinyvla_ros.report.events import ReportEvent, episode_events, policy_events
from tinyvla_ros.report.film import FilmCamera, ImageStore
from tinyvla_ros.report.time_axis import TimeAxis

CHUNK = "trajectory_msgs/msg/JointTrajectory"
CLOCK, EVENT = "rosgraph_msgs/msg/Clock", "diagnostic_msgs/msg/DiagnosticStatus"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
# Points of a line; a screen cannot show more.
MAX_POINTS = 1500
# Events listed of one episode.
MAX_EVENTS = 300


@dataclass
class EpisodeData:
    """One bag.

    Attributes:
        custom: text by name; what the bag's metadata lacks comes from the ``episode`` topic.
        info: timing of the topics.
        duration_s: on the time axis.
        joints: groups of joints of one message: ``t``, ``names`` and a list per joint, ``v``. The
            names have the topic in front if several topics have joints.
        wrenches: likewise, forces and torques.
        chunks: as executed.
        units, limits: of action channels, where the bag has a robot contract.
        states: (second, state, why) of the policy.
        policy_latency_ms: from image to the policy's own chunk; a trajectory for an arm carries
            the time it begins at, not the image's.
        notes: sentences about what is missing or odd.
        recorded_by: ROS distribution and storage.
    """

    custom: Mapping[str, str]
    info: BagInfo
    duration_s: float = 0.0
    cameras: list[FilmCamera] = field(default_factory=list)
    joints: list[dict] = field(default_factory=list)
    wrenches: list[dict] = field(default_factory=list)
    chunks: list[ChunkView] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    states: list[tuple[float, str, str]] = field(default_factory=list)
    events: list[ReportEvent] = field(default_factory=list)
    policy_latency_ms: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    recorded_by: str = ""

    @property
    def outcome(self) -> str:
        """``success``, ``failure``, ``aborted``, ``interrupted``, ``cut short``, ``unknown``."""
        return self.custom.get("outcome") or "unknown"

    @property
    def latency_ms(self) -> list[float]:
        """From image to chunk, of every chunk for which it is known."""
        known = [c.latency_ms for c in self.chunks if c.latency_ms is not None]
        return known if len(known) >= len(self.policy_latency_ms) / 2 else self.policy_latency_ms

    def count(self, kind: str) -> int:
        """How often something of a kind happened."""
        return sum(e.times for e in self.events if e.kind == kind)


def read_episode(bag: Bag, images: ImageStore | None = None) -> EpisodeData:
    """Read a bag in one pass.

    Args:
        bag: to read.
        images: gets the images; without it only their times are read.

    Raises:
        InputError: the bag is damaged.
    """
    messages = _Messages(bag, images)
    data = EpisodeData(dict(bag.custom), messages.info, recorded_by=bag.recorded_by)
    if not sum(t.count for t in data.info.topics):
        data.notes.append("The bag has no messages.")
        return data
    axis = TimeAxis({**messages.joint_stamps, **messages.images}, messages.clock,
                    messages.mode == "lockstep", (bag.start_ns, bag.end_ns))
    if axis.problem:
        data.notes.append(f"Times are receive times, because {axis.problem}.")
    _add_contract(bag, data)
    _add_events(messages, axis, data)
    data.cameras = _cameras(messages, axis, images)
    several = len({topic for topic, _ in messages.joints}) > 1
    data.joints = [_lines([f"{topic} {n}" for n in names] if several else names, rows, axis)
                   for (topic, names), rows in messages.joints.items()]
    data.wrenches = [_lines([f"{topic} {axis_name}" for axis_name in WRENCH_AXES], rows, axis)
                     for topic, rows in messages.wrenches.items()]
    first_images = messages.first_images()
    data.chunks = view_chunks(messages.chunks, axis, first_images, data.limits)
    data.policy_latency_ms = [(log - first_images[stamp]) / 1e6
                              for log, stamp in messages.policy_chunks if stamp in first_images]
    ends = [0.0 if axis.problem else axis.received(bag.start_ns), axis.received(bag.end_ns)]
    ends += [float(c.times[-1]) for c in data.cameras]
    ends += [group["t"][-1] for group in (*data.joints, *data.wrenches)]
    data.duration_s = max(ends)
    for what, missing in (("images", not data.cameras), ("joint states", not data.joints),
                          ("action chunks", not data.chunks),
                          ("diagnostics of a policy", not data.states)):
        if missing:
            data.notes.append(f"The bag has no {what}.")
    data.notes += [f"{count} messages could not be read: {why}" if count > 1 else
                   f"A message could not be read: {why}"
                   for why, count in messages.problems.items()]
    return data


def _cameras(messages: _Messages, axis: TimeAxis, images: ImageStore | None
             ) -> list[FilmCamera]:
    cameras = []
    for topic, pairs in messages.images.items():
        if pairs:
            times = np.maximum.accumulate([axis.stamped(stamp, log) for log, stamp in pairs])
            kept = images.kept.get(topic, []) if images else []
            cameras.append(FilmCamera(camera_name(topic), topic, times,
                                      np.array(kept, np.int64)))
    return cameras


class _Messages:
    """Decoded messages of a bag by what they are for; times are still as recorded."""

    def __init__(self, bag: Bag, images: ImageStore | None):
        # By topic and names: two arms may have the same names.
        self.joints: dict[tuple, list[tuple[int, int, list[float]]]] = {}
        self.wrenches: dict[str, list[tuple[int, int, list[float]]]] = {}
        self.joint_stamps: dict[str, list[tuple[int, int]]] = {}
        self.chunks: list = []
        self.policy_chunks: list[tuple[int, int]] = []
        self.clock: list[tuple[int, int]] = []
        self.diagnostics: list[tuple[int, object]] = []
        self.episodes: list[tuple[int, EpisodeEvent]] = []
        self.mode = ""
        self.problems: Counter[str] = Counter()
        self._bag, self._store = bag, images
        self._chunk_topic = _chunk_topic(bag)
        cameras: dict[str, str] = {}
        for topic in bag.topics.values():  # raw or compressed: one of them is enough
            if topic.type in (IMAGE, COMPRESSED_IMAGE) and topic.count:
                cameras.setdefault(camera_name(topic.name), topic.name)
        # Topic -> (receive time, stamp) of its messages.
        self.images: dict[str, list[tuple[int, int]]] = {t: [] for t in cameras.values()}
        readers: dict[str, Callable[[BagMessage], None]] = {
            IMAGE: self._image, COMPRESSED_IMAGE: self._image, JOINT_STATE: self._joint,
            WRENCH: self._wrench, CHUNK: self._chunk, CLOCK: self._clock,
            DIAGNOSTICS: self._diagnostic, EVENT: self._event}
        collector = InfoCollector(bag)
        for message in bag.messages():
            collector.add(message)
            try:
                if message.topic.type in readers:
                    readers[message.topic.type](message)
            except InputError as err:
                self.problems[str(err)] += 1
        self.info = collector.info()

    def first_images(self) -> dict[int, int]:
        """Return stamp -> receive time of the first image that has it."""
        first: dict[int, int] = {}
        for pairs in self.images.values():
            for log, stamp in pairs:
                if stamp > 0:
                    first[stamp] = min(log, first.get(stamp, log))
        return first

    def _image(self, message: BagMessage) -> None:
        topic, log_ns = message.topic.name, message.log_ns
        if topic not in self.images:
            return
        # The header comes first in both types: most images need not be decoded for their time.
        stamp = header_stamp(message.data)
        self.images[topic].append((log_ns, stamp))
        if self._store is not None and self._store.wants(topic, stamp or log_ns):
            try:
                image = image_to_array(self._bag.decode(message))
            except InputError as err:
                self._store.problems[f"{topic}: {err}"] += 1
            else:
                self._store.add(topic, len(self.images[topic]) - 1, stamp or log_ns, image)

    def _joint(self, message: BagMessage) -> None:
        msg = self._bag.decode(message)
        topic, stamp, names = message.topic.name, time_to_ns(msg.header.stamp), tuple(msg.name)
        self.joint_stamps.setdefault(topic, []).append((message.log_ns, stamp))
        if len(names) == len(msg.position) and names:
            self.joints.setdefault((topic, names), []).append(
                (message.log_ns, stamp, list(msg.position)))

    def _wrench(self, message: BagMessage) -> None:
        msg = self._bag.decode(message)
        self.wrenches.setdefault(message.topic.name, []).append(
            (message.log_ns, time_to_ns(msg.header.stamp), list(wrench_values(msg))))

    def _chunk(self, message: BagMessage) -> None:
        if message.topic.name == self._chunk_topic:
            self.chunks.append((message.log_ns, *chunk_of(self._bag.decode(message))))
        elif message.topic.name.endswith(POLICY_CHUNK):
            stamp = self._bag.decode(message).header.stamp
            self.policy_chunks.append((message.log_ns, time_to_ns(stamp)))

    def _clock(self, message: BagMessage) -> None:
        self.clock.append((message.log_ns, time_to_ns(self._bag.decode(message).clock)))

    def _event(self, message: BagMessage) -> None:
        if message.topic.name.endswith("episode"):
            self.episodes.append(
                (message.log_ns, EpisodeEvent.read(self._bag.decode(message))))

    def _diagnostic(self, message: BagMessage) -> None:
        for status in self._bag.decode(message).status:
            values = {v.key: v.value for v in status.values}
            self.mode = values.get("mode", self.mode)
            namespace = self._bag.custom.get("namespace", "").strip("/")
            prefix = f"{namespace}/" if namespace else ""
            if status.name.endswith(": policy") and status.name.startswith(prefix):
                self.diagnostics.append((message.log_ns, (status.message, values)))


def _chunk_topic(bag: Bag) -> str:
    """Return the topic of the commands to the arm: by its name, else the busiest of its type.

    Of several topics none has all channels: then it is that of the policy, if it was recorded.
    """
    topics = [t for t in bag.topics.values() if t.type == CHUNK]
    sent = [t for t in topics if not t.name.endswith((POLICY_CHUNK, POLICY_PREFIX))]
    named = [t for t in sent if t.name.endswith("action_chunk")]
    policy = [t for t in topics if t.name.endswith(POLICY_CHUNK)] if len(sent) > 1 else []
    return max(named or policy or sent or topics, key=lambda t: t.count).name if topics else ""


def _lines(names: Sequence[str], rows: list, axis: TimeAxis) -> dict:
    rows = rows[::math.ceil(len(rows) / MAX_POINTS)]
    values = np.array([r[2] for r in rows], np.float64).T
    return {"t": [round(axis.stamped(stamp, log), 4) for log, stamp, _ in rows],
            "names": list(names),
            "v": [[round(float(v), 5) if math.isfinite(v) else None for v in line]
                  for line in values]}


def _add_contract(bag: Bag, data: EpisodeData) -> None:
    try:
        contract = contract_of(bag, None)
    except InputError:
        return  # seams are then in units of the range that was commanded
    data.units = {name: c.unit for name, c in contract.actions.items()}
    data.limits = {name: (c.low, c.high) for name, c in contract.actions.items()}


def _add_events(messages: _Messages, axis: TimeAxis, data: EpisodeData) -> None:
    """Add states and events, and custom data of the ``episode`` topic that metadata lacks."""
    data.states, events = policy_events(messages.diagnostics, axis)
    marks, values, begun = episode_events(messages.episodes, axis)
    data.custom = values | dict(data.custom)
    if begun > 1:
        data.notes.append(f"The recording spans {begun} episodes; they are shown as one.")
        data.custom["outcome"] = "unknown"
    events = sorted([*events, *marks], key=lambda e: e.t)
    if len(events) > MAX_EVENTS:
        data.notes.append(f"Of {len(events)} events the first {MAX_EVENTS} are shown.")
    data.events = events[:MAX_EVENTS]
