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

"""A thread that writes episodes to the disk; messages wait for it in bounded memory."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.reader import DISCARDED
from tinyvla_ros.bags.recorded_message import RawMessage
from tinyvla_ros.bags.writer import BagWriter, free_directory, move_to_free
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.worker import Worker

# Messages are with the operating system after this time, and survive a crash from then on, s.
FLUSH_S = 0.1
# Period of the check for free disk space, s.
SPACE_CHECK_S = 1.0


class WriterThread:
    """The sink of an ``EpisodeSorter``; its methods never wait for the disk.

    Attributes:
        out: directory of the bags.
        recorded, dropped: messages written, and dropped for lack of memory or space, by topic.
        bytes: written so far.
        buffered: bytes that wait to be written.
        bags: number of complete ones, discarded ones too.
        failure: why an episode was cut short, empty if none was.

    Args:
        out: directory for the bags; created.
        compression: ``none``, ``zstd`` or ``lz4``.
        buffer_bytes: memory for messages that wait.
        min_free_bytes: an episode ends when the disk has less space left.

    Raises:
        InputError: ``out`` cannot be created.
    """

    def __init__(self, out: Path, compression: str = "none", buffer_bytes: int = 256_000_000,
                 min_free_bytes: int = 0):
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise InputError(f"Cannot create {out}: {err.strerror}; choose a writable directory."
                             ) from None
        self.out, self._compression = out, compression
        self._limit, self._min_free = buffer_bytes, min_free_bytes
        self._topics: dict[str, tuple[TopicMetadata, Callable[[bytes], bytes] | None]] = {}
        self._bags: dict[int, BagWriter | None] = {}  # None once it has failed
        self._tasks: queue.SimpleQueue[tuple | None] = queue.SimpleQueue()  # None to end
        self._lock = threading.Lock()  # of ``buffered``
        self._flushed = self._space_checked = 0.0
        self._finished: deque[Path] = deque()
        self._moved: deque[Path] = deque()
        self._complete_bags: dict[int, Path] = {}
        self.recorded: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._dropped_in: dict[int, Counter[str]] = {}
        self.bytes = self.buffered = self.bags = 0
        self.failure = ""
        self._worker = Worker("writer")
        self._worker.start(self._write_forever)

    # ---- called by the thread that receives the messages -----------------------------------

    def topic(self, name: str, written: TopicMetadata,
              convert: Callable[[bytes], bytes] | None = None) -> None:
        """Register a topic before its first message.

        Args:
            name: of the topic as received.
            written: the topic in the bag.
            convert: turns a received message into one of the bag, in the writing thread.
        """
        self._topics[name] = written, convert

    def begin(self, key: int, name: str, custom: Mapping[str, str]) -> None:
        """Start a bag."""
        self._dropped_in[key] = Counter()
        self._tasks.put((self._begin, key, name, dict(custom)))

    def write(self, key: int, message: RawMessage) -> None:
        """Append a message to a bag, or drop it if the buffer is full."""
        size = len(message.data)
        if self.buffered + size > self._limit:
            self.dropped[message.topic] += 1
            self._dropped_in[key][message.topic] += 1
            return
        with self._lock:
            self.buffered += size
        self._tasks.put((self._write, key, message))

    def end(self, key: int, custom: Mapping[str, str]) -> None:
        """Complete a bag."""
        dropped = {f"dropped {t}": str(n) for t, n in self._dropped_in.pop(key).items()}
        self._tasks.put((self._end, key, dict(custom) | dropped))

    def discard(self, key: int) -> None:
        """Move a complete bag to ``out/discarded``, under a name that is free there.

        A bag that could not be completed stays where it is; so does one that cannot be moved.
        """
        self._tasks.put((self._discard, key))

    def take_discarded(self) -> list[Path]:
        """Return where the bags are that were discarded since the last call."""
        return [self._moved.popleft() for _ in range(len(self._moved))]

    def take_finished(self) -> list[Path]:
        """Return the bags that were completed since the last call."""
        return [self._finished.popleft() for _ in range(len(self._finished))]

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._tasks.put(None)
        self._worker.wait(timeout=60.0)

    # ---- the writing thread ---------------------------------------------------------------

    def _write_forever(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=FLUSH_S)
            except queue.Empty:
                task = ()
            if task is None:
                return
            if task:
                method, key, *arguments = task
                try:
                    method(key, *arguments)
                except OSError as err:
                    self._fail(key, f"cannot be written: {err.strerror or err}")
            self._flush_and_check_space()

    def _flush_and_check_space(self) -> None:
        now = time.monotonic()
        if now - self._flushed >= FLUSH_S:
            self._flushed = now
            for key, bag in list(self._bags.items()):
                try:
                    if bag is not None:
                        bag.flush()
                except OSError as err:
                    self._fail(key, f"cannot be written: {err.strerror or err}")
        if self._min_free and now - self._space_checked >= SPACE_CHECK_S:
            self._space_checked = now
            free = shutil.disk_usage(self.out).free
            if free < self._min_free:
                for key in [k for k, bag in self._bags.items() if bag is not None]:
                    self._fail(key, f"was ended: the disk has {free // 1_000_000} MB left, less "
                               f"than min_free_mb {self._min_free // 1_000_000}")

    def _begin(self, key: int, name: str, custom: dict[str, str]) -> None:
        self._bags[key] = None
        self._bags[key] = BagWriter(free_directory(self.out, name), custom, self._compression)

    def _write(self, key: int, message: RawMessage) -> None:
        with self._lock:
            self.buffered -= len(message.data)
        bag = self._bags[key]
        if bag is None:
            self.dropped[message.topic] += 1
            return
        (topic, convert), data = self._topics[message.topic], message.data
        name = topic.name
        if convert is not None:
            try:
                data = convert(data)
            except MessageError as err:
                self.failure = f"{message.topic} cannot be recorded as {name}: {err}"
                self.dropped[message.topic] += 1
                return
        if name not in bag.topics:
            bag.add_topic(replace(topic))
        bag.write(name, message.log_ns, message.publish_ns, data, message.sequence)
        self.recorded[name] += 1
        self.bytes += len(data)

    def _end(self, key: int, custom: dict[str, str]) -> None:
        bag = self._bags.pop(key)
        if bag is not None:
            self._complete(key, bag, custom)

    def _discard(self, key: int) -> None:
        bag = self._complete_bags.pop(key, None)
        if bag is None:
            return
        try:
            self._moved.append(move_to_free(bag, self.out / DISCARDED))
        except OSError as err:
            self.failure = (f"{bag} was discarded and could not be moved to "
                            f"{self.out / DISCARDED}: {err.strerror or err}; move it yourself.")

    def _fail(self, key: int, why: str) -> None:
        """End a bag early: what it has is completed, the rest of the episode is dropped."""
        bag, self._bags[key] = self._bags.get(key), None
        name = f"Episode {bag.directory.name}" if bag else "An episode"
        self.failure = f"{name} {why}; free some space, what was recorded is kept."
        if bag is not None:
            self._complete(key, bag, {"outcome": "cut short", "cut_short": why})

    def _complete(self, key: int, bag: BagWriter, custom: dict[str, str]) -> None:
        try:
            bag.close(custom)
        except OSError as err:
            self.failure = (f"{bag.directory} could not be completed: {err.strerror or err}; run "
                            f"'tinyvla bag recover {bag.directory}'.")
            return
        self.bags += 1
        self._complete_bags = {key: bag.directory}  # only the last one can still be discarded
        self._finished.append(bag.directory)
