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

"""``tinyvla bag info``: duration, rates, gaps, losses and outcome of bags."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.bags.commander import NOT_SAID, CommanderCollector, shares_text
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import BagMessage
from tinyvla_ros.core.tables import markdown_table

# A pause is a gap if it is longer than so many median periods of the topic.
GAP_PERIODS = 3.0
# With fewer messages a topic has no meaningful median period, and no gaps.
MIN_MESSAGES = 10
# Custom data shown first; longer texts, such as the robot contract, are only in --json.
FIRST = ("task", "instruction", "seed", "outcome", "steps", "checkpoint_digest", "backend",
         "robot", "join")
MAX_TEXT = 100
# A longer pause is another clock.
CLOCK_JUMP_S = 1e6


@dataclass(frozen=True)
class TopicInfo:
    """A topic's timing, by receive time.

    Attributes:
        name, type: of the topic.
        count: messages.
        bytes: of all messages, uncompressed.
        rate_hz: from the first message to the last; 0 for fewer than two messages.
        period_ms, longest_ms: median and longest time between two messages.
        gaps: pauses longer than three median periods.
        publishers: how many there were at least.
        lost: messages that did not reach the recorder, as far as it could tell.
        dropped: messages that reached it and were not written.
    """

    name: str
    type: str
    count: int
    bytes: int
    rate_hz: float
    period_ms: float
    longest_ms: float
    gaps: int
    publishers: int
    lost: int
    dropped: int


@dataclass(frozen=True)
class BagInfo:
    """Everything ``tinyvla bag info`` prints.

    Attributes:
        path: of the bag.
        start_ns: receive time of the first message.
        duration_s: from the first message to the last.
        pause_s: longest time between two messages, of whatever topic.
        topics: by name.
        custom: the recorder's notes, text by name.
        commanders: share of the time that each commanded, ``human``, ``policy``, ``nobody``;
            empty if it is not known who did.
        commander_unknown: why it is not known.
    """

    path: str
    start_ns: int
    duration_s: float
    pause_s: float
    topics: tuple[TopicInfo, ...]
    custom: dict[str, str]
    commanders: dict[str, float]
    commander_unknown: str


class InfoCollector:
    """Measures a bag whose messages are added one by one, so that it is read only once."""

    def __init__(self, bag: Bag):
        self._bag = bag
        self._times = {name: array("q") for name in bag.topics}
        self._bytes = dict.fromkeys(bag.topics, 0)
        self._last_ns, self._pause_ns = bag.start_ns, 0
        self._commanders = CommanderCollector(bag)

    def add(self, message: BagMessage) -> None:
        """Count the next message."""
        self._times[message.topic.name].append(message.log_ns)
        self._bytes[message.topic.name] += len(message.data)
        self._pause_ns = max(self._pause_ns, message.log_ns - self._last_ns)
        self._last_ns = message.log_ns
        self._commanders.add(message)

    def info(self) -> BagInfo:
        """Return the result, after the last message."""
        bag = self._bag
        found = self._commanders.result()
        return BagInfo(str(bag.path), bag.start_ns, bag.duration_s, self._pause_ns / 1e9,
                       tuple(self._topic(name) for name in sorted(bag.topics)), dict(bag.custom),
                       found.commanders.shares(bag.start_ns, bag.end_ns), found.why)

    def _topic(self, name: str) -> TopicInfo:
        topic, times = self._bag.topics[name], self._times[name]
        periods = np.diff(times) / 1e6
        median = float(np.median(periods)) if len(periods) else 0.0
        span = (times[-1] - times[0]) / 1e9 if times else 0.0
        gaps = int((periods > GAP_PERIODS * median).sum()) if len(times) >= MIN_MESSAGES else 0
        return TopicInfo(
            name, topic.type, len(times), self._bytes[name],
            (len(times) - 1) / span if span > 0 else 0.0, median,
            float(periods.max()) if len(periods) else 0.0, gaps, topic.publishers,
            self._noted(f"lost {name}"), self._noted(f"dropped {name}"))

    def _noted(self, key: str) -> int:
        """Return a number of the recorder's; other recorders may write anything there."""
        text = self._bag.custom.get(key, "")
        return int(text) if text.isdecimal() else 0


def bag_info(bag: Bag) -> BagInfo:
    """Measure a bag; every message is read, and those of commanders are decoded."""
    collector = InfoCollector(bag)
    for message in bag.messages():
        collector.add(message)
    return collector.info()


def describe(info: BagInfo) -> str:
    """Return the text of ``tinyvla bag info``."""
    custom = {k: info.custom[k] for k in FIRST if k in info.custom}
    messages, size = sum(t.count for t in info.topics), sum(t.bytes for t in info.topics)
    lines = [info.path,
             f"  {info.duration_s:.2f} s, {messages} messages, {size / 1e6:.1f} MB"]
    if info.commanders:
        lines.append(f"  commander: {shares_text(info.commanders)}")
    elif info.commander_unknown != NOT_SAID:
        lines.append(f"  commander unknown: {info.commander_unknown}")
    if custom:
        lines.append("  " + ", ".join(f"{k} {v}" for k, v in custom.items()))
    table = markdown_table(
        ["topic", "messages", "Hz", "period ms", "longest ms", "gaps", "lost", "dropped", "type"],
        [[t.name, t.count, f"{t.rate_hz:.1f}", f"{t.period_ms:.1f}", f"{t.longest_ms:.1f}",
          t.gaps, t.lost, t.dropped, t.type] for t in info.topics])
    lines += [f"  {line}" for line in table.splitlines()]
    if info.pause_s > CLOCK_JUMP_S:
        lines.append(f"  Receive times jump by {info.pause_s:.0f} s, as when a recorder with "
                     "use_sim_time starts before /clock does; what was recorded before the jump "
                     "can be left out with 'ros2 bag convert' (start_time_ns).")
    more = [f"  {t.name} has {t.publishers} publishers" for t in info.topics if t.publishers > 1]
    more += [f"  {k}: {v}" for k, v in info.custom.items()
             if k not in (*FIRST, "commander") and len(v) <= MAX_TEXT
             and not k.startswith(("lost ", "dropped "))]
    return "\n".join(lines + more)
