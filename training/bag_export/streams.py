# SPDX-License-Identifier: Apache-2.0
"""What a bag has for a dataset: cameras, states and commands on the time axis of their stamps.

Header stamps are the times of measurement, in simulation or system time; receive times are those
of the recorder. Where receive times count too, because a command takes effect when
it arrives, they are brought to the axis of the stamps by the recorded ``/clock``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import InputStream, contract_streams
from tinyvla_ros.arm.observation_assembler import EE_STATE
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage, header_stamp
from tinyvla_ros.bags.topics import CLOCK, INSTRUCTION, find_commands, find_streams, find_topic
from tinyvla_ros.core.errors import InputError, MessageError, unknown
from tinyvla_ros.core.messages import time_to_ns


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
    """One bag without its images.

    Attributes:
        path: of the bag.
        topics: camera -> its topic.
        cameras: camera -> stamps of its images.
        states: state name -> measured values, in the order of the dataset.
        commands: topic of an output -> its messages, in the order of ``sent_ns``.
        clock: (n, 2) int64 publish time (ns since 1970) and value of every clock message.
        instructions: the texts on the instruction topic, each once.
        notes: what was left out and why, a few words each.
    """

    path: Path
    topics: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, Series] = field(default_factory=dict)
    states: dict[str, Series] = field(default_factory=dict)
    commands: dict[str, list[Command]] = field(default_factory=dict)
    clock: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    instructions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def measured(self) -> dict[str, Series]:
        """Everything a frame needs, by name."""
        return {**{f"camera {n}": s for n, s in self.cameras.items()},
                **{f"state {n}": s for n, s in self.states.items()}}


@dataclass(frozen=True)
class States:
    """Which states a dataset has.

    Attributes:
        only: these, in this order; empty for all that were recorded.
        required: a bag without these is refused.
        named: of the robot contract. A bag in which one of these has bad values is refused;
            any other is left out.
    """

    only: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """States that cannot be left out because of bad values."""
        return frozenset(self.only) or self.named.union(self.required)


def read_recording(bag: Bag, contract: RobotContract, cameras: Iterable[str],
                   states: States = States()) -> Recording:
    """Read everything but the images, of which only the stamps are read.

    The images come in a second pass (``images.store_images``): which of them are needed is known
    only when all stamps are, and together they do not fit into memory.

    The first of the dataset's cameras decides the time of the frames.

    Raises:
        InputError: a topic is missing or empty, has messages of another type, has several
            publishers where one is meant, cannot be read, or has stamps that are zero or go back;
            a needed state is missing.
    """
    if contract.joint_states is None and contract.ee_pose is None:
        raise InputError(f"Robot contract {contract.name!r} has neither joint_states nor ee_pose, "
                         "and a policy needs a state; name them in a contract for --robot.")
    recording = Recording(bag.path)
    found = find_streams(bag, _wanted(contract_streams(contract, cameras), states.only))
    outputs = {o.topic: find_commands(bag, o) for o in contract.outputs}
    instruction = find_topic(bag, [contract.instruction], [INSTRUCTION], "instruction")
    # Never in a namespace.
    clock = find_topic(bag, ["/clock"], [CLOCK], "clock") if "/clock" in bag.topics else None
    unstamped = {t for t in (clock, instruction, *outputs.values()) if t}
    streams, messages = defaultdict(list), defaultdict(list)
    for topic, stream in found:
        streams[topic].append(stream)
    for message in bag.messages({*streams, *unstamped}):
        topic = message.topic.name
        if topic in unstamped:
            messages[topic].append((message.time_ns, bag.decode(message)))
            continue
        stamp = _stamp(bag, message)
        for stream in streams[topic]:
            value = None if stream.camera else _decoded(bag, stream, message, stamp)
            messages[stream.name].append((stamp, value))
    for topic, stream in found:
        stamps, values = zip(*messages[stream.name], strict=True) if messages[stream.name] else \
            ((), ())
        if stream.camera:
            _refuse_publishers(bag, topic, stream.camera)
            recording.topics[stream.camera] = topic
            recording.cameras[stream.camera] = _series(bag, topic, stamps, range(len(stamps)))
        else:
            _add_states(recording, bag, topic, stamps, values, contract.joint_names, states)
    _check_states(recording, states)
    recording.instructions = list(dict.fromkeys(m.data for _, m in messages[instruction]))
    recording.clock = np.array([(sent, time_to_ns(m.clock)) for sent, m in messages[clock]],
                               np.int64).reshape(-1, 2)
    for topic, recorded in outputs.items():
        if recorded is not None and messages[recorded]:
            recording.commands[topic] = sorted((Command(m, sent) for sent, m in
                                                messages[recorded]), key=lambda c: c.sent_ns)
    return recording


def _wanted(streams: Iterable[InputStream], only: Collection[str]) -> list[InputStream]:
    """Leave out the joints or the pose if none of them is to be stored."""
    pose = not only or any(n in EE_STATE for n in only)
    joints = not only or any(n not in EE_STATE for n in only)
    wanted = {"joint_states": joints, "ee_pose": pose}
    return [s for s in streams if wanted.get(s.name, True)]


def _refuse_publishers(bag: Bag, topic: str, camera: str) -> None:
    if (count := bag.topics[topic].publishers) > 1:
        raise InputError(f"{bag.path}: {count} publishers sent to {topic}, and which image of "
                         f"camera {camera} is whose is not recorded; record again with one.")


def _stamp(bag: Bag, message: BagMessage) -> int:
    stamp = header_stamp(message.data)
    if stamp <= 0:
        raise InputError(f"{bag.path}: {message.topic.name} has a message without a stamp; it "
                         "must be stamped when its data is captured.")
    return stamp


def _decoded(bag: Bag, stream: InputStream, message: BagMessage, stamp: int) -> dict[str, float]:
    try:
        return stream.decode(bag.decode(message))
    except MessageError as err:
        raise InputError(f"{bag.path}: {message.topic.name} at {stamp / 1e9:.3f} s: {err}"
                         ) from None


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
    # Of messages with the same stamp the last one counts, as in ``stamp_matching``.
    last = np.append(steps > 0, True)
    return Series(name, stamps[last], np.array(values)[last])


def _add_states(recording: Recording, bag: Bag, topic: str, stamps, values,
                names: dict[str, str], states: States) -> None:
    """Add the series of every joint or coordinate; each message may have some of them.

    Messages with the same names are one series, in whatever order they name them.
    """
    state_names = {joint: state for state, joint in names.items()}
    groups = defaultdict(list)
    for stamp, row in zip(stamps, values, strict=True):
        row = {state_names.get(n, n): v for n, v in row.items()}
        groups[frozenset(row)].append((stamp, row))
    empty = groups.pop(frozenset(), [])  # velocities or efforts alone
    if not groups:
        what = f"none of the {len(empty)} messages on {topic} has a position" if empty else \
            f"nothing was recorded on {topic}"
        raise InputError(f"{bag.path}: {what}; leave this bag out.")
    several = Counter(name for group in groups for name in group)
    for rows in sorted(groups.values(), key=lambda rows: list(rows[0][1])):
        times = [stamp for stamp, _ in rows]
        for state in rows[0][1]:
            try:
                recording.states[state] = _state(bag, topic, names.get(state, state), times,
                                                 [r[state] for _, r in rows], several[state])
            except InputError as err:
                if state in states.needed:
                    raise
                note = f"without state {state!r}: {str(err).removeprefix(f'{bag.path}: ')}"
                if note not in recording.notes and not states.only:
                    recording.notes.append(note)


def _state(bag: Bag, topic: str, name: str, times: list[int], values: list[float], several: int
           ) -> Series:
    """Return the series of a joint that comes in ``several`` sets of joints.

    Raises:
        InputError: it comes in more than one, is not finite, or its stamps go back.
    """
    if several > 1:
        # The policy node prefers the message with more of its own joints, and which those are is
        # not known here.
        raise InputError(f"{bag.path}: joint {name!r} comes in different messages of {topic}; let "
                         "one publisher send it, always with the same others, or name the "
                         "--states to store.")
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"{bag.path}: {topic} at {times[at] / 1e9:.3f} s: {name!r} is "
                         f"{values[at]}, and so in {wrong.sum()} of {len(values)} messages; "
                         "leave this bag out, or name the --states to store.")
    return _series(bag, f"{topic} ({name})", times, values)


def _check_states(recording: Recording, states: States) -> None:
    for name in (*states.only, *states.required):
        if name not in recording.states:
            raise InputError(f"{recording.path}: {unknown('state', name, recording.states)}")
    if states.only:
        recording.states = {name: recording.states[name] for name in states.only}
