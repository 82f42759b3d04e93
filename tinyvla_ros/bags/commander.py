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

"""Who commanded the arm in a bag: a person, a policy or nobody."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import COMMANDER, Commanders, is_commander_topic

STRING = "std_msgs/msg/String"
NOT_SAID = "it does not say who commanded"


class BagCommanders(NamedTuple):
    """Who commanded in a bag.

    Attributes:
        commanders: by the publish times of the messages, ns since 1970; nothing if unknown.
        why: a few words why it is unknown, empty if it is known.
        contradicts: whether it is unknown because the bag says two things.
    """

    commanders: Commanders
    why: str = ""
    contradicts: bool = False


class CommanderCollector:
    """Finds out who commanded in a bag whose messages are added one by one."""

    def __init__(self, bag: Bag):
        self._bag = bag
        # Publish time, time and text of every message, by topic.
        self._said: dict[str, list[tuple[int, int, str]]] = {
            name: [] for name, topic in bag.topics.items()
            if is_commander_topic(name) and topic.type == STRING}

    @property
    def topics(self) -> list[str]:
        """Topics whose messages are needed."""
        return list(self._said)

    def add(self, message: BagMessage) -> None:
        """Take the next message, of whatever topic.

        Raises:
            InputError: its bytes are not of its type.
        """
        said = self._said.get(message.topic.name)
        if said is not None:
            said.append((message.publish_ns, message.time_ns, self._bag.decode(message).data))

    def result(self) -> BagCommanders:
        """Return who commanded, by the ``commander`` topics and the ``commander`` of the begin.

        A begin whose word no topic ever says is believed if the topics say nothing: a program
        that drives the arm need not publish one. A node that says all the time that it does not
        command may be the one that the begin means, so that the others count.
        """
        bag, noted = self._bag, self._bag.custom.get(COMMANDER, "").strip()
        said = {topic: claims for topic, claims in self._said.items()
                # A person's node may be in the robot's namespace or in none.
                if topic.startswith(f"{bag.namespace or ''}/") or topic.count("/") <= 2}
        for topic in said:
            if publishers := _publishers(bag, topic):
                return BagCommanders(Commanders.unknown(), f"{publishers} published {topic}, and "
                                     "which message is whose is not recorded")
        words = {text.strip() for claims in said.values() for *_, text in claims} - {""}
        is_silent = any(claims and not any(text.strip() for *_, text in claims)
                        for claims in said.values())
        if words and noted and noted not in words and not is_silent:
            return BagCommanders(
                Commanders.unknown(), f"its begin says that {noted!r} commanded, and "
                f"{', '.join(said)} that {' and '.join(sorted(words))} did", contradicts=True)
        if noted and not words:
            return BagCommanders(Commanders.always(noted))
        if not any(said.values()):
            return BagCommanders(Commanders.unknown(), NOT_SAID)
        return BagCommanders(Commanders.of({topic: _in_order(c) for topic, c in said.items()}))


def read_commanders(bag: Bag) -> BagCommanders:
    """Return who commanded in a bag; only messages that say it are read.

    Raises:
        InputError: the storage is damaged, or a message is none.
    """
    collector = CommanderCollector(bag)
    for message in bag.messages(collector.topics):
        collector.add(message)
    return collector.result()


def _publishers(bag: Bag, topic: str) -> str:
    """Return who published a topic if these were several, else nothing."""
    if "recorder" in bag.custom:  # ours; it names them, if they are not one that was restarted
        names = bag.custom.get(f"publishers {topic}", "")
        return " and ".join(sorted(set(names.split(", ")))) if names else ""
    count = bag.topics[topic].publishers
    return f"{count} nodes" if count > 1 else ""


def _in_order(claims: list[tuple[int, int, str]]) -> list[tuple[int, str]]:
    """Return (time, text) in the order of publishing.

    What was latched long before the recording has the time at which that began, which may be
    after the time of a message that was published just before.
    """
    claims = sorted(claims, key=lambda c: c[0])
    times = np.maximum.accumulate([at_ns for _, at_ns, _ in claims]) if claims else ()
    return [(int(at_ns), text) for at_ns, (*_, text) in zip(times, claims, strict=True)]


def shares_text(shares: dict[str, float]) -> str:
    """Return ``human 83 %, policy 10 %, nobody 7 %``."""
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())


def need_consistent(bag: Bag, found: BagCommanders) -> None:
    """Refuse a bag that says two things.

    Raises:
        InputError: it does.
    """
    if found.contradicts:
        raise InputError(f"{bag.path}: {found.why}; leave this bag out.")
