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

"""Sort messages into episodes.

An episode has the messages that were published from its ``begin`` to its ``end``, by the
publishers' clocks, because messages of different topics may arrive in another order. So every
message waits a moment before it is sorted, the last second before a ``begin`` is kept, and an
episode stays open for a moment after its ``end``.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from tinyvla_ros.bags.recorded_message import RawMessage

# Messages wait this long before they are sorted, because an `end` may arrive late, s.
SETTLE_S = 0.15
# Messages kept in case a `begin` arrives late: seconds, bytes.
PRE_ROLL_S, PRE_ROLL_BYTES = 1.0, 64_000_000
# A bag is started so long after its `begin` arrived, so that what was latched before that is in it
# once, and none of the episode before, s.
START_S = 0.25
# An episode takes messages this long after its `end`, or the last one of its own, arrived, s.
POST_ROLL_S = 0.3
# A longer time between two looks at the clock was a pause of the machine, s.
AWAKE_S = 0.1


class EpisodeSink(Protocol):
    """Writes episodes."""

    def begin(self, key: int, name: str, custom: Mapping[str, str]) -> None:
        """Start a bag."""

    def write(self, key: int, message: RawMessage) -> None:
        """Append a message to a bag."""

    def end(self, key: int, custom: Mapping[str, str]) -> None:
        """Complete a bag."""

    def discard(self, key: int) -> None:
        """Put a bag that was ended where discarded ones are; called after ``end``."""


@dataclass
class _OpenEpisode:
    key: int
    name: str
    custom: dict[str, str]
    begin_ns: int
    start_at: float  # steady s
    end_ns: int | None = None
    discarded: bool = False
    close_at: float = 0.0  # steady s
    sequences: dict[str, int] = field(default_factory=dict)
    lost: Counter = field(default_factory=Counter)
    # By topic, what was kept of latched topics when it began; newer messages push none of it out.
    latched: dict[str, deque[RawMessage]] = field(default_factory=dict)
    waiting: list[RawMessage] | None = field(default_factory=list)  # None once there is a bag
    has_content: bool = False  # there will be one

    def contains(self, time_ns: int) -> bool:
        return self.begin_ns <= time_ns and (self.end_ns is None or time_ns <= self.end_ns)


class AwakeClock:
    """Seconds in which this process could have taken messages.

    What came while a busy machine let it wait is still to be taken, so that no such time counts
    as time in which nothing came.

    Args:
        steady: returns seconds of a steady clock.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic):
        self._steady, self._before, self._awake = steady, steady(), 0.0

    def __call__(self) -> float:
        """Return the seconds so far; ask at least once in ``AWAKE_S``."""
        now = self._steady()
        self._awake += min(now - self._before, AWAKE_S)
        self._before = now
        return self._awake


class EpisodeSorter:
    """Hands every message to the episode it was published in.

    Attributes:
        lost: messages missing by their publishers' numbers, by topic, over all episodes.
        empty: names of episodes without messages; they have no bag.

    Args:
        sink: gets the episodes.
        quiet: topics that, like latched ones, do not start a bag: an episode with messages of
            these alone is empty.
    """

    def __init__(self, sink: EpisodeSink, quiet: Collection[str] = ()):
        self._sink, self._quiet = sink, frozenset(quiet)
        self._latched: dict[str, deque[RawMessage]] = {}
        self._arrived: deque[tuple[float, RawMessage]] = deque()
        self._arrived_bytes = 0
        self._before: deque[RawMessage] = deque()
        self._before_bytes = 0
        self._episodes: list[_OpenEpisode] = []
        self._next = 0
        self._last: _OpenEpisode | None = None  # that was ended and not discarded
        self._uncounted: set[str] = set()
        self.lost: Counter[str] = Counter()
        self.empty: list[str] = []

    @property
    def recording(self) -> str:
        """Name of the running episode, empty if there is none."""
        return next((e.name for e in reversed(self._episodes) if e.end_ns is None), "")

    @property
    def last(self) -> tuple[str, Mapping[str, str]] | None:
        """Name and custom data of the last episode that ended, None if it was discarded."""
        return (self._last.name, self._last.custom) if self._last is not None else None

    def latch(self, topic: str, depth: int) -> None:
        """Put the last ``depth`` messages of a topic at the beginning of every episode."""
        self._latched[topic] = deque(self._latched.get(topic, ()), maxlen=depth)

    def forget_latched(self, topic: str) -> None:
        """Forget what was kept of a latched topic, because who published it is gone."""
        if topic in self._latched:
            self._latched[topic].clear()

    def stop_counting_losses(self, topic: str) -> None:
        """Stop counting losses of a topic: with several publishers its numbers mean nothing."""
        self._uncounted.add(topic)
        self.lost.pop(topic, None)
        for episode in self._episodes:
            episode.lost.pop(topic, None)

    def add(self, message: RawMessage, now_s: float) -> None:
        """Add a message that arrived at ``now_s``, in seconds of an ``AwakeClock``."""
        self._arrived.append((now_s, message))
        self._arrived_bytes += len(message.data)
        for episode in self._episodes:
            if episode.end_ns is not None and episode.contains(message.time_ns):
                episode.close_at = now_s + POST_ROLL_S  # more may wait behind it
        while self._arrived_bytes > PRE_ROLL_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Sort the message that has waited longest."""
        message = self._arrived.popleft()[1]
        self._arrived_bytes -= len(message.data)
        if message.topic in self._latched:
            kept = self._latched[message.topic]
            kept.append(message)
            for episode in self._episodes:
                if message.time_ns >= episode.begin_ns:
                    continue
                if episode.waiting is None:  # it only arrived late, as below
                    self._write_latched(episode, message)
                else:
                    episode.latched.setdefault(message.topic, deque(maxlen=kept.maxlen)).append(
                        message)
        taken = False
        for episode in self._episodes:
            if episode.contains(message.time_ns):
                self._write(episode, message)
                taken = True
        if not taken:
            self._keep(message)

    def begin(self, name: str, at_ns: int, now_s: float, custom: Mapping[str, str]) -> None:
        """Begin an episode; one that has not ended is ended as interrupted.

        Args:
            name: for the bag.
            at_ns: ``RawMessage.time_ns`` of the message that began it.
            now_s: seconds of an ``AwakeClock``.
            custom: text by name.
        """
        if self.recording:
            self.end(at_ns - 1, now_s, {"outcome": "interrupted"})
        discarded = [e for e in self._episodes if e.discarded]
        if discarded:  # the new one may have the same name, so they must be out of its way
            while self._arrived:
                self._settle()
            for episode in discarded:
                self._complete(episode)
        episode = _OpenEpisode(self._next, name, dict(custom), at_ns, now_s + START_S)
        episode.latched = {topic: deque((m for m in kept if m.time_ns < at_ns), kept.maxlen)
                           for topic, kept in self._latched.items()}
        self._next += 1
        self._episodes.append(episode)
        before, self._before = self._before, deque()
        self._before_bytes = 0
        for message in before:
            if episode.contains(message.time_ns):
                self._write(episode, message)
            else:
                self._keep(message)

    def end(self, at_ns: int, now_s: float, custom: Mapping[str, str]) -> None:
        """End the running episode; does nothing if there is none."""
        for episode in self._episodes:
            if episode.end_ns is None:
                episode.end_ns, episode.close_at = at_ns, now_s + POST_ROLL_S
                episode.custom.update(custom)
                self._last = episode

    def discard(self) -> None:
        """Discard the last episode that ended; does nothing if there is none, or it was already.

        An episode is discarded once its bag is complete.
        """
        episode, self._last = self._last, None
        if episode in self._episodes:
            episode.discarded = True
        elif episode is not None:
            self._sink.discard(episode.key)

    def tick(self, now_s: float) -> None:
        """Sort the messages and complete the episodes that have waited long enough."""
        while self._arrived and now_s - self._arrived[0][0] >= SETTLE_S:
            self._settle()
        for episode in self._episodes:
            if episode.has_content and now_s >= episode.start_at:
                self._start(episode)
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

    def _complete(self, episode: _OpenEpisode) -> None:
        self._episodes.remove(episode)
        if episode.has_content:
            self._start(episode)
        if episode.waiting is not None:
            self.empty.append(episode.name)
            if self._last is episode:
                self._last = None
            return
        lost = {f"lost {topic}": str(n) for topic, n in episode.lost.items()}
        self._sink.end(episode.key, episode.custom | lost)
        if episode.discarded:
            self._sink.discard(episode.key)

    def _write(self, episode: _OpenEpisode, message: RawMessage) -> None:
        last = episode.sequences.get(message.topic)
        if message.sequence and message.topic not in self._uncounted:
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
        episode.has_content |= message.topic not in self._quiet and \
            message.topic not in self._latched

    def _start(self, episode: _OpenEpisode) -> None:
        """Begin the bag, with all that came so far."""
        if episode.waiting is None:
            return
        self._sink.begin(episode.key, episode.name, episode.custom)
        for latched in (m for messages in episode.latched.values() for m in messages):
            self._write_latched(episode, latched)
        episode.latched.clear()
        for waiting in episode.waiting:
            self._sink.write(episode.key, waiting)
        episode.waiting = None

    def _write_latched(self, episode: _OpenEpisode, message: RawMessage) -> None:
        self._sink.write(episode.key, replace(message, log_ns=episode.begin_ns))

    def _keep(self, message: RawMessage) -> None:
        self._before.append(message)
        self._before_bytes += len(message.data)
        oldest = message.log_ns - PRE_ROLL_S * 1e9
        while self._before and (self._before[0].log_ns < oldest
                                or self._before_bytes > PRE_ROLL_BYTES):
            self._before_bytes -= len(self._before.popleft().data)
