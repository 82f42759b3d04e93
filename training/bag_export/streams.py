# SPDX-License-Identifier: Apache-2.0
"""What a bag holds for a dataset: cameras, states and commands on the time axis of their stamps.

Header stamps say when something was measured, in simulation or system time; receive times say
only when the recorder got it. Where receive times count too, because a command takes effect when
it arrives, they are brought to the axis of the stamps by the recorded ``/clock``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.reader import Bag, BagMessage, header_stamp
from tinyvla_ros.bags.topics import find_topic, need_topic
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.messages import joint_positions, pose_position, time_to_ns

CLOCK = "/clock"
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


@dataclass(frozen=True)
class Series:
    """Something measured again and again.

    Attributes:
        name: of the topic, with the joint where it has several; for messages.
        stamps: (n,) int64 ns, ascending, none twice.
        values: (n,) float64; for cameras int64, the place of the message on its topic.
    """

    name: str
    stamps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Command:
    """A message to the arm.

    Attributes:
        message: decoded.
        sent_ns: when it was published, or else received, ns since 1970.
    """

    message: object
    sent_ns: int


@dataclass
class Recording:
    """One bag without its pictures.

    Attributes:
        path: of the bag.
        topics: camera -> its topic.
        cameras: camera -> stamps of its images.
        states: state name -> measured values, in the order of the dataset.
        commands: topic of an output -> what it was sent, in the order of ``sent_ns``.
        clock: (n, 2) int64 publish time (ns since 1970) and value of every clock message.
        instructions: what the instruction topic said, each text once.
    """

    path: Path
    topics: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, Series] = field(default_factory=dict)
    states: dict[str, Series] = field(default_factory=dict)
    commands: dict[str, list[Command]] = field(default_factory=dict)
    clock: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    instructions: list[str] = field(default_factory=list)

    @property
    def measured(self) -> dict[str, Series]:
        """Everything a frame needs, by name."""
        return {**{f"camera {n}": s for n, s in self.cameras.items()},
                **{f"state {n}": s for n, s in self.states.items()}}


def read_recording(bag: Bag, contract: RobotContract) -> Recording:
    """Read everything but the pictures, of which only the stamps are looked at.

    Raises:
        InputError: a topic is missing or empty, has several publishers where one is meant, cannot
            be read, or has stamps that are zero or go back.
    """
    recording = Recording(bag.path)
    if contract.joint_states is None and contract.ee_pose is None:
        raise InputError(f"Robot contract {contract.name!r} has neither joint_states nor ee_pose, "
                         "and a policy needs a state; name them in a contract for --robot.")
    for name, camera in contract.cameras.items():
        recording.topics[name] = _camera_topic(bag, name, camera.topic)
    joints = contract.joint_states and need_topic(bag, [contract.joint_states.topic],
                                                  "joint states")
    pose = contract.ee_pose and need_topic(bag, [contract.ee_pose.topic],
                                           "the end effector's pose")
    outputs = {o.topic: find_topic(bag, [o.topic]) for o in contract.outputs}
    words = find_topic(bag, [contract.instruction])
    unstamped = {t for t in (CLOCK, words, *outputs.values()) if t in bag.topics}
    stamps, messages = defaultdict(list), defaultdict(list)
    for message in bag.messages({*recording.topics.values(), joints, pose, *unstamped} - {None}):
        topic = message.topic.name
        if topic not in unstamped:
            stamps[topic].append(_stamp(bag, message))
        if topic in unstamped or topic in (joints, pose):
            messages[topic].append(message)
    for name, topic in recording.topics.items():
        recording.cameras[name] = _series(bag, topic, stamps[topic], range(len(stamps[topic])))
    if joints:
        recording.states |= _joints(bag, joints, stamps[joints], messages[joints],
                                    contract.joint_states.names)
    if pose:
        recording.states |= _pose(bag, pose, stamps[pose], messages[pose])
    recording.instructions = list(dict.fromkeys(bag.decode(m).data for m in messages[words]))
    recording.clock = np.array(
        [(m.time_ns, time_to_ns(bag.decode(m).clock)) for m in messages[CLOCK]],
        np.int64).reshape(-1, 2)
    for topic, recorded in outputs.items():
        if recorded is not None and messages[recorded]:
            commands = [Command(bag.decode(m), m.time_ns) for m in messages[recorded]]
            recording.commands[topic] = sorted(commands, key=lambda c: c.sent_ns)
    return recording


def _camera_topic(bag: Bag, name: str, topic: str) -> str:
    # Recorded as the contract says, or with images compressed or not by the recorder.
    topic = need_topic(bag, [topic, f"{topic}/compressed", topic.removesuffix("/compressed")],
                       f"camera {name}")
    info = bag.topics[topic]
    if info.type not in IMAGES:
        raise InputError(f"{bag.path}: {topic} of camera {name} has messages of type {info.type}; "
                         f"only {' and '.join(IMAGES)} are pictures.")
    if info.publishers > 1:
        raise InputError(f"{bag.path}: {info.publishers} publishers sent to {topic}, and which "
                         "image is whose is not recorded; record again with one.")
    return topic


def _stamp(bag: Bag, message: BagMessage) -> int:
    stamp = header_stamp(message.data)
    if stamp <= 0:
        raise InputError(f"{bag.path}: {message.topic.name} has a message without a stamp; it "
                         "must be stamped when its data is captured.")
    return stamp


def _series(bag: Bag, name: str, stamps, values) -> Series:
    stamps = np.array(stamps, np.int64)
    if not len(stamps):
        raise InputError(f"{bag.path}: nothing was recorded on {name}; leave this bag out.")
    steps = np.diff(stamps)
    if (steps < 0).any():
        at = int(np.argmax(steps < 0))
        raise InputError(f"{bag.path}: the stamps of {name} go back by {-steps[at] / 1e9:.3f} s "
                         f"after {stamps[at] / 1e9:.3f} s, as when a simulation starts again or "
                         "two publishers send; split or leave out this bag.")
    # A stamp that comes twice is the same moment sent again.
    first = np.concatenate([[True], steps > 0])
    return Series(name, stamps[first], np.array(values)[first])


def _joints(bag: Bag, topic: str, stamps, messages, names: dict[str, str]) -> dict[str, Series]:
    """Return the series of every joint; several publishers may each send some of them."""
    state_names = {joint: state for state, joint in names.items()}
    groups = defaultdict(lambda: ([], []))
    for stamp, message in zip(stamps, messages, strict=True):
        decoded = bag.decode(message)
        try:
            values = joint_positions(decoded, decoded.name)
        except MessageError as err:
            raise _bad(bag, topic, stamp, err) from None
        times, rows = groups[tuple(values)]
        times.append(stamp)
        rows.append(list(values.values()))
    series = {}
    for joints, (times, rows) in sorted(groups.items()):
        columns = np.array(rows, np.float64)
        for i, joint in enumerate(joints):
            state = state_names.get(joint, joint)
            if state in series:
                raise InputError(f"{bag.path}: joint {joint!r} comes in different messages of "
                                 f"{topic}; let one publisher send it, always with the same "
                                 "others.")
            series[state] = _series(bag, f"{topic} ({joint})", times, columns[:, i])
    if not series:
        raise InputError(f"{bag.path}: nothing was recorded on {topic}; leave this bag out.")
    return series


def _pose(bag: Bag, topic: str, stamps, messages) -> dict[str, Series]:
    rows = []
    for stamp, message in zip(stamps, messages, strict=True):
        try:
            rows.append(pose_position(bag.decode(message)))
        except MessageError as err:
            raise _bad(bag, topic, stamp, err) from None
    if not rows:
        raise InputError(f"{bag.path}: nothing was recorded on {topic}; leave this bag out.")
    return {name: _series(bag, topic, stamps, [r[name] for r in rows]) for name in rows[0]}


def _bad(bag: Bag, topic: str, stamp: int, err: MessageError) -> InputError:
    return InputError(f"{bag.path}: {topic} at {stamp / 1e9:.3f} s: {err}")
