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

"""Find the topics of a robot contract in a bag."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import yaml

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import Output
from tinyvla_ros.arm.contract_streams import InputStream
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.ros.messages import time_to_ns

# The policy's chunks before they are blended and limited for the arm.
POLICY_CHUNK = "policy_node/chunk"
# What each of them was to continue.
POLICY_PREFIX = "policy_node/prefix"
CHUNK = "trajectory_msgs/msg/JointTrajectory"
INSTRUCTION, CLOCK = "std_msgs/msg/String", "rosgraph_msgs/msg/Clock"
# ``type`` of an output in the contract -> type of its messages.
_COMMANDS = {"chunk": CHUNK, "joint_trajectory": CHUNK,
             "positions": "std_msgs/msg/Float64MultiArray",
             "twist": "geometry_msgs/msg/TwistStamped"}


def find_topic(bag: Bag, names: Sequence[str], types: Collection[str], what: str) -> str | None:
    """Return the topic of a bag that one of the names stands for, None if there is none.

    Names of a contract are relative: ``joint_states`` may have been recorded as ``/joint_states``
    or, in a namespace, as ``/left/joint_states``. The first topic that is found in a namespace
    decides: the others are looked for there and outside of all namespaces, so that one arm's
    commands do not meet another arm's joints.

    Args:
        bag: where to look; ``bag.namespace`` says in which namespace, and is set here.
        names: the first one that the bag has counts.
        types: what its messages may be.
        what: it is meant as, for messages.

    Raises:
        InputError: several namespaces have it, or its messages are of another type.
    """
    topic = _named(bag, names)
    if topic is not None and (kind := bag.topics[topic].type) not in types:
        raise InputError(f"{bag.path}: {topic} has messages of type {kind}; as {what} "
                         f"{' or '.join(types)} is valid, name another topic in a contract for "
                         "--robot, or leave this bag out.")
    return topic


def _named(bag: Bag, names: Sequence[str]) -> str | None:
    for name in names:
        whole, name = name.startswith("/"), name.lstrip("/")
        places = [f"/{name}"] if whole or not bag.only_namespace else []
        if bag.namespace:
            places.insert(len(places) if whole else 0, f"{bag.namespace}/{name}")
        for topic in places:
            if topic in bag.topics:
                return topic
        found = [] if bag.namespace else [t for t in bag.topics if t.endswith(f"/{name}")]
        if len(found) > 1:
            spaces = " or ".join(t.removesuffix(f"/{name}") for t in found)
            raise InputError(f"{bag.path}: {name} may be {' or '.join(found)}; give --namespace "
                             f"{spaces}, or a contract with the whole name, --robot.")
        if found:
            bag.namespace = found[0].removesuffix(f"/{name}")
            return found[0]
    return None


def need_topic(bag: Bag, names: Sequence[str], types: Collection[str], what: str) -> str:
    """Return what ``find_topic`` does; a missing topic is an ``InputError``."""
    topic = find_topic(bag, names, types, what)
    if topic is None:
        hint = f" Looked for in namespace {bag.namespace}, where other topics of the robot are; " \
            "if that is not meant, give a contract with the whole names, --robot." \
            if bag.namespace else ""
        raise InputError(f"{bag.path}: {unknown(f'topic of {what}', names[0], bag.topics)}{hint}")
    return topic


def find_streams(bag: Bag, streams: Iterable[InputStream]) -> list[tuple[str, InputStream]]:
    """Return every stream with its topic in a bag.

    Raises:
        InputError: a topic is missing, has messages of another type, or stands for two streams of
            states, as where only one arm was recorded.
    """
    found = [(need_topic(bag, stream.recorded, stream.recorded_types,
                         stream.name.replace("/", " ")), stream) for stream in streams]
    names: dict[str, str] = {}
    for topic, stream in found:
        if not stream.camera and (other := names.setdefault(topic, stream.name)) != stream.name:
            raise InputError(f"{bag.path}: {topic} would be read as {other} and as {stream.name}, "
                             "because the topic of one of them was not recorded; leave this bag "
                             "out, or give a contract with the whole names, --robot.")
    return found


class ArrivalTimes:
    """When messages without a stamp arrived, on the axis of the stamps: while a bag is read.

    With a recorded ``/clock`` that is its time at that moment, as for a node with
    ``use_sim_time``; else the receive time.

    Attributes:
        topics: topics to read as well.

    Args:
        bag: it.
        streams: what is read of it.
    """

    def __init__(self, bag: Bag, streams: Iterable[InputStream]):
        clock = find_topic(bag, ["/clock"], [CLOCK], "clock") if "/clock" in bag.topics and \
            not all(s.is_stamped for s in streams) else None
        self.topics = [clock] if clock and bag.topics[clock].count else []
        self._now_ns = 0

    def add(self, message: BagMessage, decoded: object) -> None:
        """Take the next message of the bag, whatever it is."""
        if message.topic.name in self.topics:
            self._now_ns = time_to_ns(decoded.clock)

    def stamp(self, message: BagMessage) -> int:
        """Return when a message arrived, ns; 0 if the clock had not begun."""
        return self._now_ns if self.topics else message.log_ns


def find_commands(bag: Bag, output: Output) -> str | None:
    """Return the topic of a bag with the commands to an output, None if there is none.

    Raises:
        InputError: see ``find_topic``.
    """
    return find_topic(bag, [output.topic], [_COMMANDS[output.type]], f"commands of {output.type}")


def contract_of(bag: Bag, path: Path | None) -> RobotContract:
    """Return the robot contract: of a file if one is given, else the one recorded in the bag.

    Raises:
        InputError: there is none, or it cannot be used.
    """
    if path is not None:
        return RobotContract.load(path)
    if "robot_contract" not in bag.custom:
        raise InputError(f"{bag.path} holds no robot contract, because another recorder made it; "
                         "give --robot FILE, like those in config/robots.")
    try:
        content = yaml.safe_load(bag.custom["robot_contract"])
    except yaml.YAMLError:
        raise InputError(f"{bag.path}: its robot_contract is not YAML; give --robot FILE, like "
                         "those in config/robots.") from None
    return parse(RobotContract, content, f"{bag.path}: robot_contract")
