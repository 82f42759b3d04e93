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

"""What a bag has for a dataset: cameras, states and commands on the time axis of their stamps.

Header stamps are the times of measurement, in simulation or system time; receive times are those
of the recorder. Where receive times count too, because a command takes effect when
it arrives, they are brought to the axis of the stamps by the recorded ``/clock``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import InputStream, contract_streams
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage, header_stamp
from tinyvla_ros.bags.topics import (
    CLOCK,
    INSTRUCTION,
    ArrivalTimes,
    find_commands,
    find_streams,
    find_topic,
)
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.messages import time_to_ns
from training.bag_export.angles import unwrap_states
from training.bag_export.states import Series, States, find_states, series


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


def read_recording(bag: Bag, contract: RobotContract, cameras: Iterable[str],
                   states: States = States()) -> Recording:
    """Read everything but the images, of which only the stamps are read.

    The images come in a second pass (``images.store_images``): which of them are needed is known
    only when all stamps are, and together they do not fit into memory.

    The first of the dataset's cameras decides the time of the frames.

    Raises:
        InputError: a topic is missing or empty, has messages of another type, has several
            publishers where one is meant, cannot be read, or has stamps that are zero or go back;
            a needed state is missing, or a joint wraps that should not.
    """
    sources = contract.sources
    if not sources.streams:
        raise InputError(f"Robot contract {contract.name!r} has no joint_states, ee_pose, wrenches"
                         " or vectors, and a policy needs a state; name them in a contract for "
                         "--robot.")
    recording = Recording(bag.path)
    found = find_streams(bag, contract_streams(contract, cameras, states.only))
    arrivals = ArrivalTimes(bag, (stream for _, stream in found))
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
            decoded = bag.decode(message)
            arrivals.add(message, decoded)
            messages[topic].append((message.time_ns, decoded))
            continue
        for stream in streams[topic]:
            stamp = _stamp(bag, message) if stream.is_stamped else arrivals.stamp(message)
            if stamp:
                value = None if stream.camera else _decoded(bag, stream, message, stamp)
                messages[stream.name].append((stamp, value))
    rows = {}
    for topic, stream in found:
        if stream.camera:
            _refuse_publishers(bag, topic, f"camera {stream.camera}")
            stamps = [stamp for stamp, _ in messages[stream.name]]
            recording.topics[stream.camera] = topic
            recording.cameras[stream.camera] = series(bag.path, topic, stamps,
                                                      range(len(stamps)))
        else:
            rows[topic] = messages[stream.name]
            # Arm and gripper may each have a publisher, with other joints.
            _refuse_publishers(bag, topic, stream.name,
                               len({frozenset(row) for _, row in rows[topic]}))
    found_states, recording.notes = find_states(
        bag.path, rows, lambda state: sources.find(state).label, states)
    recording.states = unwrap_states(bag.path, found_states, contract)
    recording.instructions = list(dict.fromkeys(m.data for _, m in messages[instruction]))
    recording.clock = np.array([(sent, time_to_ns(m.clock)) for sent, m in messages[clock]],
                               np.int64).reshape(-1, 2)
    for topic, recorded in outputs.items():
        if recorded is not None and messages[recorded]:
            recording.commands[topic] = sorted((Command(m, sent) for sent, m in
                                                messages[recorded]), key=lambda c: c.sent_ns)
    return recording


def _refuse_publishers(bag: Bag, topic: str, what: str, valid: int = 1) -> None:
    if (count := bag.topics[topic].publishers) > max(valid, 1):
        raise InputError(f"{bag.path}: {count} publishers sent to {topic}, and which message of "
                         f"{what} is whose is not recorded; record again with one.")


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
        raise InputError(f"{bag.path}: {message.topic.name} at {stamp / 1e9:.3f} s: {err} Leave "
                         "this bag out, or name the --states to store.") from None
