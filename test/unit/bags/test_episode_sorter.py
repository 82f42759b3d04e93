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

"""An episode is what was published between its begin and its end, however late it arrives."""

from __future__ import annotations

import pytest

from tinyvla_ros.bags.episode_sorter import AwakeClock, EpisodeSorter
from tinyvla_ros.bags.recorded_message import RawMessage

MS = 1_000_000
START = 1_700_000_000_000_000_000


class Kept:
    """A sink that remembers."""

    def __init__(self):
        self.names, self.messages, self.custom, self.begun = {}, {}, {}, {}
        self.discarded = []

    def begin(self, key, name, custom):
        self.names[key], self.messages[key], self.begun[key] = name, [], dict(custom)

    def write(self, key, message):
        self.messages[key].append(message)

    def end(self, key, custom):
        self.custom[key] = dict(custom)

    def discard(self, key):
        assert key in self.custom, "the bag is not complete"
        self.discarded.append(key)

    def texts(self, key=0):
        return [m.data.decode() for m in self.messages[key]]


def message(text: str, published_ms: float, late_ms: float = 1.0, topic: str = "/a",
            sequence: int = 0) -> RawMessage:
    published = START + round(published_ms * MS)
    return RawMessage(topic, published + round(late_ms * MS), published, text.encode(), sequence)


def at(ms: float) -> int:
    return START + round(ms * MS)


class Sorter(EpisodeSorter):
    """A sorter to which everything arrives at once, until a tick tells the time."""

    def take(self, message: RawMessage) -> None:
        self.add(message, 0.0)


def test_messages_belong_by_publish_time_in_whatever_order_they_arrive():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.take(message("before", -1))
    sorter.take(message("overtook begin", 1))
    sorter.begin("e", at(0), 0.0, {"task": "t"})
    sorter.take(message("within", 5))
    sorter.take(message("late one from before", -2, late_ms=10))
    sorter.take(message("overtook end", 10.5))
    sorter.end(at(10), 0.01, {"outcome": "success"})
    sorter.take(message("after", 11))
    sorter.take(message("straggler", 9, late_ms=100))
    sorter.tick(0.1)
    assert 0 not in sink.custom, "stragglers are waited for"
    sorter.tick(0.4)
    assert sink.texts() == ["overtook begin", "within", "straggler"]
    assert sink.begun[0]["task"] == "t"
    assert sink.custom[0]["outcome"] == "success"


def test_an_episode_stays_open_while_its_messages_come():
    """A busy recorder takes the last of them long after the `end`, which waits in no queue."""
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    sorter.end(at(100), 0.0, {})
    for i in range(100):
        sorter.add(message(str(i), i, late_ms=20), i / 50)
        sorter.tick(i / 50)
    sorter.tick(2.1)
    assert 0 not in sink.custom
    sorter.tick(2.3)
    assert sink.texts() == [str(i) for i in range(100)]
    assert 0 in sink.custom


def test_a_pause_of_the_machine_is_no_time_in_which_nothing_came():
    """What came meanwhile is taken after it, one message after the other."""
    sink, now = Kept(), [100.0]
    sorter, clock = Sorter(sink), AwakeClock(lambda: now[0])
    sorter.begin("e", at(0), clock(), {})
    sorter.add(message("first", 1), clock())
    sorter.end(at(10), clock(), {})
    now[0] += 5.0
    sorter.tick(clock())
    assert 0 not in sink.custom
    sorter.add(message("taken after the pause", 9, late_ms=200), clock())
    for _ in range(10):
        now[0] += 0.05
        sorter.tick(clock())
    assert sink.texts() == ["first", "taken after the pause"]
    assert 0 in sink.custom


def test_the_next_episode_may_begin_while_stragglers_of_the_last_are_waited_for():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("one", at(0), 0.0, {})
    sorter.take(message("1", 1))
    sorter.end(at(10), 0.01, {})
    sorter.take(message("2", 21))
    sorter.begin("two", at(20), 0.02, {})
    sorter.take(message("late 1", 9, late_ms=20))
    sorter.tick(1.0)
    sorter.close(at(2000))
    assert sink.texts(0) == ["1", "late 1"]
    assert sink.texts(1) == ["2"]
    assert sink.custom[1]["outcome"] == "interrupted"


def test_an_episode_without_an_end_is_interrupted_by_the_next():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("one", at(0), 0.0, {})
    sorter.take(message("1", 1))
    sorter.begin("two", at(20), 0.02, {})
    sorter.take(message("2", 20))
    sorter.tick(1.0)
    assert sink.custom[0]["outcome"] == "interrupted"
    assert sink.texts(0) == ["1"]
    assert sorter.recording == "two"


def test_receive_times_count_for_publishers_whose_clocks_are_wrong():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    hour = 3600e3
    sorter.take(message("an hour behind", 5 - hour, late_ms=hour))
    sorter.take(message("an hour ahead", 6 + hour, late_ms=-hour))
    sorter.tick(0.3)
    assert sink.texts() == ["an hour behind", "an hour ahead"]


def test_latched_messages_begin_every_episode():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.latch("/instruction", 1)
    sorter.take(message("old", -5000, topic="/instruction"))
    sorter.take(message("reach", -4000, topic="/instruction"))
    for i, begin in enumerate((0, 100)):
        sorter.begin(f"e{i}", at(begin), 0.0, {})
        sorter.take(message(f"m{i}", begin + 1))
        sorter.end(at(begin + 50), 0.0, {})
        sorter.tick(10.0)
    assert sink.texts(0) == ["reach", "m0"]
    assert sink.texts(1) == ["reach", "m1"]
    assert sink.messages[1][0].log_ns == at(100), "not before the episode began"


def test_an_episode_without_messages_has_no_bag():
    sink = Kept()
    sorter = Sorter(sink, quiet=("/episode",))
    sorter.begin("e", at(0), 0.0, {})
    sorter.take(message("begin", 0, topic="/episode"))
    sorter.end(at(10), 0.0, {})
    sorter.tick(10.0)
    assert sink.names == {}
    assert sorter.empty == ["e"]


def test_losses_are_counted_by_the_publishers_numbers():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    for t, number in enumerate((7, 8, 11, 12, 1, 2)):  # 9 and 10 are missing; then a restart
        sorter.take(message("x", t, sequence=number))
        sorter.take(message("y", t, topic="/b", sequence=number))
    sorter.stop_counting_losses("/b")
    sorter.end(at(100), 0.0, {})
    sorter.tick(10.0)
    assert sink.custom[0] == {"lost /a": "2"}
    assert sorter.lost == {"/a": 2}


def test_memory_before_an_episode_is_bounded():
    sink = Kept()
    sorter = Sorter(sink)
    for i in range(300):
        sorter.take(RawMessage("/a", at(i), at(i), bytes(1_000_000)))
    sorter.begin("e", at(0), 0.0, {})
    sorter.tick(1.0)
    assert 64 < len(sink.messages[0]) <= 128, "what waits to be sorted, and what came before"


def test_what_was_latched_before_an_episode_stays_when_it_changes_before_the_bag_begins():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.latch("/instruction", 1)
    sorter.take(message("older", -6000, topic="/instruction"))
    sorter.take(message("old", -5000, topic="/instruction"))
    sorter.tick(1.0)
    sorter.begin("e", at(0), 1.0, {})
    sorter.take(message("new", 5, topic="/instruction"))
    sorter.tick(2.0)
    sorter.take(message("first of an ordinary topic", 8))
    sorter.close(at(100))
    assert sink.texts() == ["old", "new", "first of an ordinary topic"]
    assert sink.messages[0][0].log_ns == at(0)


@pytest.mark.parametrize("is_later", [False, True])
def test_a_latched_message_from_before_an_episode_counts_even_if_it_comes_late(is_later):
    """As the instruction of a bridge, published with `begin`: in place of that of the episode
    before, even if it comes after the first message of the episode."""
    sink = Kept()
    sorter = Sorter(sink)
    sorter.latch("/instruction", 1)
    sorter.take(message("of the episode before", -5000, topic="/instruction"))
    sorter.tick(1.0)
    sorter.begin("e", at(0), 1.0, {})
    coming = [message("late", -1, late_ms=150 if is_later else 10, topic="/instruction"),
              message("first", 8)]
    for i, each in enumerate(reversed(coming) if is_later else coming):
        sorter.add(each, 1.0 + i / 100)
    sorter.tick(1.3)
    assert sink.texts() == ["late", "first"]


def test_a_discarded_episode_is_complete_before_the_next_begins():
    """Or its name would still be taken."""
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    sorter.take(message("1", 1))
    sorter.take(message("2", 9))
    sorter.end(at(10), 0.01, {"outcome": "discarded"})
    sorter.discard()
    sorter.take(message("3", 21))
    assert sink.discarded == []
    sorter.begin("e", at(20), 0.02, {})
    assert (sink.discarded, sink.texts(0)) == ([0], ["1", "2"])
    sorter.close(at(2000))
    assert sink.texts(1) == ["3"]
    assert sink.discarded == [0]


def test_the_last_episode_can_be_discarded_once_after_its_end():
    sink = Kept()
    sorter = Sorter(sink)
    for key in range(2):
        sorter.begin(f"e{key}", at(20 * key), 0.0, {})
        sorter.take(message("x", 20 * key + 1))
        sorter.end(at(20 * key + 10), 0.01, {"outcome": "success"})
        sorter.tick(1.0)
    assert sorter.last[0] == "e1"
    sorter.discard()
    sorter.discard()
    assert sink.discarded == [1]
    assert sorter.last is None


def test_discarding_an_episode_without_messages_leaves_the_one_before():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.begin("one", at(0), 0.0, {})
    sorter.take(message("x", 1))
    sorter.end(at(10), 0.01, {})
    sorter.begin("empty", at(20), 0.02, {})
    sorter.end(at(30), 0.03, {})
    sorter.discard()
    sorter.tick(1.0)
    assert sink.discarded == []
    assert sorter.empty == ["empty"]


def test_a_latched_message_from_before_that_arrives_when_the_bag_has_begun_is_in_it():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.latch("/latched", 1)
    sorter.begin("e", at(0), 0.0, {})
    sorter.take(message("first", 1))
    sorter.tick(0.3)
    sorter.add(message("latched", -50, late_ms=100, topic="/latched"), 0.3)
    sorter.close(at(2000))
    assert sink.texts() == ["first", "latched"]
    assert sink.messages[0][1].log_ns == at(0)


def test_what_is_forgotten_of_a_latched_topic_is_in_no_later_episode():
    sink = Kept()
    sorter = Sorter(sink)
    sorter.latch("/latched", 1)
    sorter.take(message("human", -100, topic="/latched"))
    sorter.tick(1.0)
    sorter.forget_latched("/latched")
    sorter.begin("e", at(0), 1.0, {})
    sorter.take(message("x", 1))
    sorter.close(at(2000))
    assert sink.texts() == ["x"]
