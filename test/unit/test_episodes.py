# SPDX-License-Identifier: Apache-2.0
"""An episode is what was published between its begin and its end, however late it arrives."""

from __future__ import annotations

from tinyvla_ros.bags.episodes import EpisodeSorter, RawMessage

MS = 1_000_000
START = 1_700_000_000_000_000_000


class Kept:
    """A sink that remembers."""

    def __init__(self):
        self.names, self.messages, self.custom, self.begun = {}, {}, {}, {}

    def begin(self, key, name, custom):
        self.names[key], self.messages[key], self.begun[key] = name, [], dict(custom)

    def write(self, key, message):
        self.messages[key].append(message)

    def end(self, key, custom):
        self.custom[key] = dict(custom)

    def texts(self, key=0):
        return [m.data.decode() for m in self.messages[key]]


def message(text: str, published_ms: float, late_ms: float = 1.0, topic: str = "/a",
            sequence: int = 0) -> RawMessage:
    published = START + round(published_ms * MS)
    return RawMessage(topic, published + round(late_ms * MS), published, text.encode(), sequence)


def at(ms: float) -> int:
    return START + round(ms * MS)


def test_messages_belong_by_publish_time_in_whatever_order_they_arrive():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.add(message("before", -1))
    sorter.add(message("overtook begin", 1))
    sorter.begin("e", at(0), 0.0, {"task": "t"})
    sorter.add(message("within", 5))
    sorter.add(message("late one from before", -2, late_ms=10))
    sorter.end(at(10), 0.01, {"outcome": "success"})
    sorter.add(message("after", 11))
    sorter.add(message("straggler", 9, late_ms=100))
    sorter.tick(0.1)
    assert 0 not in sink.custom, "stragglers are waited for"
    sorter.tick(0.4)
    assert sink.texts() == ["overtook begin", "within", "straggler"]
    assert sink.begun[0] == {"task": "t"}
    assert sink.custom[0]["outcome"] == "success"


def test_the_next_episode_may_begin_while_stragglers_of_the_last_are_waited_for():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.begin("one", at(0), 0.0, {})
    sorter.add(message("1", 1))
    sorter.end(at(10), 0.01, {})
    sorter.add(message("2", 21))
    sorter.begin("two", at(20), 0.02, {})
    sorter.add(message("late 1", 9, late_ms=20))
    sorter.tick(1.0)
    sorter.close(at(2000))
    assert sink.texts(0) == ["1", "late 1"]
    assert sink.texts(1) == ["2"]
    assert sink.custom[1]["outcome"] == "interrupted"


def test_an_episode_without_an_end_is_interrupted_by_the_next():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.begin("one", at(0), 0.0, {})
    sorter.add(message("1", 1))
    sorter.begin("two", at(20), 0.02, {})
    sorter.add(message("2", 20))
    sorter.tick(1.0)
    assert sink.custom[0]["outcome"] == "interrupted"
    assert sink.texts(0) == ["1"]
    assert sorter.recording == "two"


def test_publishers_whose_clocks_are_wrong_are_judged_by_arrival():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    hour = 3600e3
    sorter.add(message("an hour behind", 5 - hour, late_ms=hour))
    sorter.add(message("an hour ahead", 6 + hour, late_ms=-hour))
    assert sink.texts() == ["an hour behind", "an hour ahead"]


def test_latched_messages_begin_every_episode():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.latch("/instruction", 1)
    sorter.add(message("old", -5000, topic="/instruction"))
    sorter.add(message("reach", -4000, topic="/instruction"))
    for i, begin in enumerate((0, 100)):
        sorter.begin(f"e{i}", at(begin), 0.0, {})
        sorter.add(message(f"m{i}", begin + 1))
        sorter.end(at(begin + 50), 0.0, {})
        sorter.tick(10.0)
    assert sink.texts(0) == ["reach", "m0"]
    assert sink.texts(1) == ["reach", "m1"]
    assert sink.messages[1][0].log_ns == at(100), "not before the episode began"


def test_an_episode_of_which_nothing_came_has_no_bag():
    sink = Kept()
    sorter = EpisodeSorter(sink, quiet=("/episode",))
    sorter.begin("e", at(0), 0.0, {})
    sorter.add(message("begin", 0, topic="/episode"))
    sorter.end(at(10), 0.0, {})
    sorter.tick(10.0)
    assert sink.names == {}
    assert sorter.empty == ["e"]


def test_losses_are_counted_by_the_publishers_numbers():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    sorter.begin("e", at(0), 0.0, {})
    for t, number in enumerate((7, 8, 11, 12, 1, 2)):  # 9 and 10 are missing; then a restart
        sorter.add(message("x", t, sequence=number))
        sorter.add(message("y", t, topic="/b", sequence=number))
    sorter.several("/b")
    sorter.end(at(100), 0.0, {})
    sorter.tick(10.0)
    assert sink.custom[0] == {"lost /a": "2"}
    assert sorter.lost == {"/a": 2}


def test_memory_before_an_episode_is_bounded():
    sink = Kept()
    sorter = EpisodeSorter(sink)
    for i in range(300):
        sorter.add(RawMessage("/a", at(i), at(i), bytes(1_000_000)))
    assert sorter._before_bytes <= 64_000_000
    sorter.begin("e", at(0), 0.0, {})
    assert 0 < len(sink.messages[0]) <= 64
