# SPDX-License-Identifier: Apache-2.0
"""What the episode report shows of one bag, pictures apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tinyvla_ros.bags.info import BagInfo, bag_info
from tinyvla_ros.bags.reader import Bag, BagMessage, header_stamp
from tinyvla_ros.bags.topics import contract_of
from tinyvla_ros.core.episode_event import EpisodeEvent
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.messages import time_to_ns
from tinyvla_ros.report.chunks import ChunkView, chunk_of, view_chunks
from tinyvla_ros.report.events import Event, episode_events, policy_events
from tinyvla_ros.report.time_axis import TimeAxis

IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
JOINTS, CHUNK = "sensor_msgs/msg/JointState", "trajectory_msgs/msg/JointTrajectory"
CLOCK, EVENT = "rosgraph_msgs/msg/Clock", "diagnostic_msgs/msg/DiagnosticStatus"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
# What the policy said, as it said it; what comes of it goes to the arm.
POLICY_CHUNK = "policy_node/chunk"
# A line on a screen shows no more points.
LONGEST_LINE = 1500
# Events listed of one episode.
MOST_EVENTS = 300


@dataclass(frozen=True)
class Camera:
    """A stream of pictures: topic, and the second of every message, ascending."""

    name: str
    topic: str
    times: np.ndarray


@dataclass
class EpisodeData:
    """One bag.

    Attributes:
        custom: text by name; what the bag's metadata lacks comes from the ``episode`` topic.
        info: timing of the topics.
        duration_s: on the time axis.
        joints: groups of joints that come together: ``t``, ``names`` and a list per joint, ``v``.
        chunks: as executed.
        units, limits: of action channels, where the bag has a robot contract.
        states: (second, state, why) of the policy.
        policy_latency_ms: from picture to what the policy said before it was joined and limited;
            what an arm is sent carries the time it begins at, not the picture's.
        notes: sentences about what is missing or odd.
    """

    custom: Mapping[str, str]
    info: BagInfo
    duration_s: float = 0.0
    cameras: list[Camera] = field(default_factory=list)
    joints: list[dict] = field(default_factory=list)
    chunks: list[ChunkView] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    states: list[tuple[float, str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    policy_latency_ms: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """``success``, ``failure``, ``aborted``, ``interrupted``, ``cut short``, ``unknown``."""
        return self.custom.get("outcome") or "unknown"

    @property
    def latency_ms(self) -> list[float]:
        """Picture to chunk, of every chunk of which it is known."""
        known = [c.latency_ms for c in self.chunks if c.latency_ms is not None]
        return known if len(known) >= len(self.policy_latency_ms) / 2 else self.policy_latency_ms

    def count(self, kind: str) -> int:
        """How often something of a kind happened."""
        return sum(e.times for e in self.events if e.kind == kind)


def read_episode(bag: Bag) -> EpisodeData:
    """Read everything but the pictures themselves.

    Raises:
        InputError: the bag is damaged.
    """
    gathered = _Gathered(bag)
    data = EpisodeData(dict(bag.custom), bag_info(bag))
    if not data.info.duration_s and not sum(t.count for t in data.info.topics):
        data.notes.append("The bag holds no messages.")
        return data
    axis = TimeAxis({**gathered.joint_stamps, **gathered.images}, gathered.clock,
                    gathered.mode == "lockstep", (bag.start_ns, bag.end_ns))
    if axis.problem:
        data.notes.append(f"Times are receive times, because {axis.problem}.")
    _take_contract(bag, data)
    _take_events(gathered, axis, data)
    data.cameras = _cameras(gathered, axis)
    data.joints = [_lines(names, rows, axis) for names, rows in gathered.joints.items()]
    pictures = gathered.first_picture()
    data.chunks = view_chunks(gathered.chunks, axis, pictures, data.limits)
    data.policy_latency_ms = [(log - pictures[stamp]) / 1e6 for log, stamp in gathered.said
                              if stamp in pictures]
    ends = [0.0 if axis.problem else axis.received(bag.start_ns), axis.received(bag.end_ns)]
    ends += [float(c.times[-1]) for c in data.cameras]
    ends += [group["t"][-1] for group in data.joints]
    data.duration_s = max(ends)
    for what, missing in (("pictures", not data.cameras), ("joint states", not data.joints),
                          ("action chunks", not data.chunks),
                          ("diagnostics of a policy", not data.states)):
        if missing:
            data.notes.append(f"The bag holds no {what}.")
    data.notes += gathered.notes()
    return data


def _cameras(gathered: _Gathered, axis: TimeAxis) -> list[Camera]:
    cameras: dict[str, Camera] = {}
    for topic, pairs in gathered.images.items():
        if pairs:  # raw or compressed: one of them is enough
            name = camera_name(topic)
            times = [axis.stamped(stamp, log) for log, stamp in pairs]
            cameras.setdefault(name, Camera(name, topic, np.maximum.accumulate(times)))
    return list(cameras.values())


def camera_name(topic: str) -> str:
    """Return the camera's name in ``camera/<name>/image_raw``; of other topics all of it."""
    parts = topic.removesuffix("/compressed").strip("/").split("/")
    if len(parts) >= 2 and parts[-1].startswith("image"):
        parts = parts[:-1]
    if len(parts) >= 2 and parts[-2] == "camera":
        parts = [*parts[:-2], parts[-1]]
    return "/".join(parts)


class _Gathered:
    """What the messages say, by topic, times still as they were recorded."""

    def __init__(self, bag: Bag):
        self.images: dict[str, list[tuple[int, int]]] = {}
        self.joints: dict[tuple, list[tuple[int, int, list[float]]]] = {}
        self.joint_stamps: dict[str, list[tuple[int, int]]] = {}
        self.chunks: list = []
        self.said: list[tuple[int, int]] = []  # by the policy itself, before joining and limits
        self.clock: list[tuple[int, int]] = []
        self.diagnostics: list[tuple[int, object]] = []
        self.episodes: list[tuple[int, EpisodeEvent]] = []
        self.mode = ""
        self._problems: Counter[str] = Counter()
        self._bag = bag
        self._chunk_topic = _chunk_topic(bag)
        takers: dict[str, Callable[[BagMessage], None]] = {
            **dict.fromkeys(IMAGES, self._image), JOINTS: self._joint, CHUNK: self._chunk,
            CLOCK: self._clock, DIAGNOSTICS: self._diagnostic, EVENT: self._event}
        for name, topic in bag.topics.items():
            if topic.type in IMAGES:
                self.images[name] = []
        for message in bag.messages(t.name for t in bag.topics.values() if t.type in takers):
            try:
                takers[message.topic.type](message)
            except InputError as err:
                self._problems[str(err)] += 1

    def first_picture(self) -> dict[int, int]:
        """Return stamp -> receive time of the first picture that has it."""
        first: dict[int, int] = {}
        for pairs in self.images.values():
            for log, stamp in pairs:
                if stamp > 0:
                    first[stamp] = min(log, first.get(stamp, log))
        return first

    def notes(self) -> list[str]:
        """Return a sentence for every kind of message that could not be read."""
        return [f"{count} messages could not be read: {why}" if count > 1 else
                f"A message could not be read: {why}" for why, count in self._problems.items()]

    def _image(self, message: BagMessage) -> None:
        # The header comes first in both types: the picture need not be unpacked to know its time.
        self.images[message.topic.name].append((message.log_ns, header_stamp(message.data)))

    def _joint(self, message: BagMessage) -> None:
        msg = self._bag.decode(message)
        topic, stamp, names = message.topic.name, time_to_ns(msg.header.stamp), tuple(msg.name)
        self.joint_stamps.setdefault(topic, []).append((message.log_ns, stamp))
        if len(names) == len(msg.position) and names:
            self.joints.setdefault(names, []).append((message.log_ns, stamp, list(msg.position)))

    def _chunk(self, message: BagMessage) -> None:
        if message.topic.name == self._chunk_topic:
            self.chunks.append((message.log_ns, *chunk_of(self._bag.decode(message))))
        elif message.topic.name.endswith(POLICY_CHUNK):
            self.said.append((message.log_ns, time_to_ns(self._bag.decode(message).header.stamp)))

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
            if status.name.endswith(": policy"):
                self.diagnostics.append((message.log_ns, (status.message, values)))


def _chunk_topic(bag: Bag) -> str:
    """Return the topic of what the arm was sent: by its name, else the busiest of its type."""
    topics = [t for t in bag.topics.values() if t.type == CHUNK]
    sent = [t for t in topics if not t.name.endswith(POLICY_CHUNK)]
    named = [t for t in sent if t.name.endswith("action_chunk")]
    return max(named or sent or topics, key=lambda t: t.count).name if topics else ""


def _lines(names: tuple[str, ...], rows: list, axis: TimeAxis) -> dict:
    rows = rows[::math.ceil(len(rows) / LONGEST_LINE)]
    values = np.array([r[2] for r in rows], np.float64).T
    return {"t": [round(axis.stamped(stamp, log), 4) for log, stamp, _ in rows],
            "names": list(names),
            "v": [[round(float(v), 5) if math.isfinite(v) else None for v in line]
                  for line in values]}


def _take_contract(bag: Bag, data: EpisodeData) -> None:
    try:
        contract = contract_of(bag, None)
    except InputError:
        return  # of no importance here: seams are then in units of what was commanded
    data.units = {name: c.unit for name, c in contract.actions.items()}
    data.limits = {name: (c.low, c.high) for name, c in contract.actions.items()}


def _take_events(gathered: _Gathered, axis: TimeAxis, data: EpisodeData) -> None:
    """Fill in states and events, and what metadata lacks from the ``episode`` topic."""
    data.states, events = policy_events(gathered.diagnostics, axis)
    marks, values, begun = episode_events(gathered.episodes, axis)
    data.custom = values | dict(data.custom)
    if begun > 1:
        data.notes.append(f"The recording spans {begun} episodes; they are shown as one.")
        data.custom["outcome"] = "unknown"
    events = sorted([*events, *marks], key=lambda e: e.t)
    if len(events) > MOST_EVENTS:
        data.notes.append(f"Of {len(events)} events the first {MOST_EVENTS} are shown.")
    data.events = events[:MOST_EVENTS]
