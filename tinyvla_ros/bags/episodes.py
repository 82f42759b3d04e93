# SPDX-License-Identifier: Apache-2.0
"""Which message belongs to which episode.

An episode is what was published from its ``begin`` to its ``end``, by the publishers' clocks:
topics overtake each other on the way, publish times do not. So every message waits for a moment
before it is sorted; what arrived even longer before its ``begin`` is kept for a while, and what
arrives after its ``end`` is waited for.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from tinyvla_ros.bags.publish_time import PublishTime

# An `end` may arrive so much later than what was published after it, s.
SETTLE_S = 0.15
# Messages from before a `begin` that is still on its way: for so long, so many bytes.
PRE_ROLL_S, PRE_ROLL_BYTES = 1.0, 64_000_000
# What was published before an `end` may still arrive for so long, s.
POST_ROLL_S = 0.3


@dataclass(frozen=True)
class RawMessage(PublishTime):
    """A message as it arrived, not decoded.

    Attributes:
        topic: name.
        log_ns, publish_ns: receive and publish time, ns since 1970.
        data: CDR.
        sequence: the number its publisher gave it; 0 if that says nothing.
    """

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes
    sequence: int = 0


class Sink(Protocol):
    """Where episodes go."""

    def begin(self, key: int, name: str, custom: Mapping[str, str]) -> None:
        """Start a bag."""

    def write(self, key: int, message: RawMessage) -> None:
        """Append a message to a bag."""

    def end(self, key: int, custom: Mapping[str, str]) -> None:
        """Complete a bag."""


@dataclass
class _Episode:
    key: int
    name: str
    custom: dict[str, str]
    begin_ns: int
    end_ns: int | None = None
    close_at: float = 0.0  # steady s
    sequences: dict[str, int] = field(default_factory=dict)
    lost: Counter = field(default_factory=Counter)
    waiting: list[RawMessage] | None = field(default_factory=list)  # None once there is a bag

    def holds(self, time_ns: int) -> bool:
        return self.begin_ns <= time_ns and (self.end_ns is None or time_ns <= self.end_ns)


class EpisodeSorter:
    """Hands messages to the episode they were published in.

    Attributes:
        lost: messages that episodes lack by their publishers' numbers, by topic, over all of them.
        empty: names of episodes of which nothing came; they have no bag.

    Args:
        sink: gets the episodes.
        quiet: topics whose messages alone make no episode, as those of latched topics do not.
    """

    def __init__(self, sink: Sink, quiet: Collection[str] = ()):
        self._sink, self._quiet = sink, frozenset(quiet)
        self._kept: dict[str, deque[RawMessage]] = {}  # latched
        self._arrived: deque[tuple[float, RawMessage]] = deque()
        self._arrived_bytes = 0
        self._before: deque[RawMessage] = deque()
        self._before_bytes = 0
        self._episodes: list[_Episode] = []
        self._next = 0
        self._several: set[str] = set()
        self.lost: Counter[str] = Counter()
        self.empty: list[str] = []

    @property
    def recording(self) -> str:
        """Name of the episode that has begun and not ended, empty if there is none."""
        return next((e.name for e in reversed(self._episodes) if e.end_ns is None), "")

    def latch(self, topic: str, depth: int) -> None:
        """Start every episode with the last ``depth`` messages of a topic."""
        self._kept[topic] = deque(self._kept.get(topic, ()), maxlen=depth)

    def several(self, topic: str) -> None:
        """Stop counting losses of a topic: numbers of several publishers say nothing together."""
        self._several.add(topic)
        self.lost.pop(topic, None)
        for episode in self._episodes:
            episode.lost.pop(topic, None)

    def add(self, message: RawMessage, now_s: float) -> None:
        """Take a message that arrived now, steady seconds."""
        self._arrived.append((now_s, message))
        self._arrived_bytes += len(message.data)
        while self._arrived_bytes > PRE_ROLL_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Sort the message that has waited longest."""
        message = self._arrived.popleft()[1]
        self._arrived_bytes -= len(message.data)
        if message.topic in self._kept:
            self._kept[message.topic].append(message)
        taken = False
        for episode in self._episodes:
            if episode.holds(message.time_ns):
                self._write(episode, message)
                taken = True
        if not taken:
            self._keep(message)

    def begin(self, name: str, at_ns: int, now_s: float, custom: Mapping[str, str]) -> None:
        """Begin an episode; one that has not ended is ended as interrupted.

        Args:
            name: for the bag.
            at_ns: ``RawMessage.time_ns`` of what began it.
            now_s: steady seconds.
            custom: text by name.
        """
        if self.recording:
            self.end(at_ns - 1, now_s, {"outcome": "interrupted"})
        episode = _Episode(self._next, name, dict(custom), at_ns)
        self._next += 1
        self._episodes.append(episode)
        before, self._before = self._before, deque()
        self._before_bytes = 0
        for message in before:
            if episode.holds(message.time_ns):
                self._write(episode, message)
            else:
                self._keep(message)

    def end(self, at_ns: int, now_s: float, custom: Mapping[str, str]) -> None:
        """End the running episode; does nothing if there is none."""
        for episode in self._episodes:
            if episode.end_ns is None:
                episode.end_ns, episode.close_at = at_ns, now_s + POST_ROLL_S
                episode.custom.update(custom)

    def tick(self, now_s: float) -> None:
        """Sort the messages and complete the episodes that have waited long enough."""
        while self._arrived and now_s - self._arrived[0][0] >= SETTLE_S:
            self._settle()
        for episode in [e for e in self._episodes
                        if e.end_ns is not None and now_s >= e.close_at]:
            self._complete(episode)

    def close(self, now_ns: int) -> None:
        """Complete everything; an episode that has not ended was interrupted."""
        self.end(now_ns, 0.0, {"outcome": "interrupted"})
        while self._arrived:
            self._settle()
        for episode in list(self._episodes):
            self._complete(episode)

    def _complete(self, episode: _Episode) -> None:
        self._episodes.remove(episode)
        if episode.waiting is not None:
            self.empty.append(episode.name)
            return
        lost = {f"lost {topic}": str(n) for topic, n in episode.lost.items()}
        self._sink.end(episode.key, episode.custom | lost)

    def _write(self, episode: _Episode, message: RawMessage) -> None:
        last = episode.sequences.get(message.topic)
        if message.sequence and message.topic not in self._several:
            episode.sequences[message.topic] = message.sequence
            # A publisher that starts again counts from one.
            missing = message.sequence - last - 1 if last is not None else 0
            if missing > 0:
                episode.lost[message.topic] += missing
                self.lost[message.topic] += missing
        if episode.waiting is None:
            self._sink.write(episode.key, message)
            return
        episode.waiting.append(message)
        if message.topic in self._quiet or message.topic in self._kept:
            return
        self._sink.begin(episode.key, episode.name, episode.custom)
        for kept in (m for messages in self._kept.values() for m in messages):
            if kept.time_ns < episode.begin_ns:
                self._sink.write(episode.key, replace(kept, log_ns=episode.begin_ns))
        for waiting in episode.waiting:
            self._sink.write(episode.key, waiting)
        episode.waiting = None

    def _keep(self, message: RawMessage) -> None:
        self._before.append(message)
        self._before_bytes += len(message.data)
        oldest = message.log_ns - PRE_ROLL_S * 1e9
        while self._before and (self._before[0].log_ns < oldest
                                or self._before_bytes > PRE_ROLL_BYTES):
            self._before_bytes -= len(self._before.popleft().data)
