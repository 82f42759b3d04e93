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

"""Write one rosbag2 directory; an interrupted one can be recovered."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from mcap.writer import CompressionType, Writer

from tinyvla_ros import __version__
from tinyvla_ros.bags.metadata import METADATA, TopicMetadata, bag_information, to_yaml
from tinyvla_ros.core.files import replace_file

# Metadata records in the MCAP file: our custom data (first and last), and what rosbag2 stores.
CUSTOM, ROSBAG2 = "tinyvla_ros", "rosbag2"
CHUNK_BYTES = 4_000_000
COMPRESSIONS = {"none": CompressionType.NONE, "zstd": CompressionType.ZSTD,
                "lz4": CompressionType.LZ4}


class BagWriter:
    """Append messages to a new bag; complete it with ``close``.

    Flushed messages survive the end of the process: ``tinyvla bag recover`` finds them, and the
    custom data the bag began with.

    Attributes:
        directory: the bag; its file is ``<name>_0.mcap``.
        topics: by name.
        custom: text by name.

    Args:
        directory: to create.
        custom: text by name.
        compression: of chunks: ``none``, ``zstd`` or ``lz4``.
        name: of the bag, if the directory will be renamed; default: the directory's.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, directory: Path, custom: Mapping[str, str], compression: str = "none",
                 name: str = ""):
        self.directory = directory
        self.topics: dict[str, TopicMetadata] = {}
        self.custom = dict(custom)
        directory.mkdir(parents=True)
        self._name = f"{name or directory.name}_0.mcap"
        self._file = (directory / self._name).open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES,
                              compression=COMPRESSIONS[compression])
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._start, self._end = 0, 0
        self._writer.start(profile="ros2", library=f"tinyvla_ros {__version__}")
        self._writer.add_metadata(CUSTOM, self.custom)
        self._file.flush()

    def add_topic(self, topic: TopicMetadata) -> None:
        """Register a topic before its first message; ``count`` is increased from then on."""
        definition = topic.definition
        if topic.type not in self._schemas:
            self._schemas[topic.type] = self._writer.register_schema(
                topic.type, definition.encoding if definition.text else "",
                definition.text.encode())
        metadata = {"offered_qos_profiles": topic.qos_yaml,
                    "topic_type_hash": definition.type_hash}
        self._channels[topic.name] = self._writer.register_channel(
            topic.name, "cdr", self._schemas[topic.type], metadata)
        self.topics[topic.name] = topic

    def write(self, topic: str, log_ns: int, publish_ns: int, data: bytes,
              sequence: int = 0) -> None:
        """Append a message.

        Args:
            topic: registered by ``add_topic``.
            log_ns, publish_ns: receive and publish time, ns since 1970.
            data: CDR.
            sequence: its publisher's number, stored modulo 2**32; 0 if there is none.
        """
        self._writer.add_message(self._channels[topic], log_ns, data, publish_ns,
                                 sequence & 0xFFFFFFFF)
        info = self.topics[topic]
        self._start = min(self._start, log_ns) if self._start else log_ns
        self._end = max(self._end, log_ns)
        info.count += 1

    def flush(self) -> None:
        """Hand everything to the operating system, so that the end of this process loses none."""
        self._writer.flush()

    def close(self, custom: Mapping[str, str] | None = None) -> None:
        """Complete the bag, with custom data to add or replace."""
        self.custom |= custom or {}
        information = bag_information(self._name, self.topics.values(), self._start, self._end,
                                      self.custom)
        try:
            self._writer.flush()
            self._writer.add_metadata(CUSTOM, self.custom)
            self._writer.add_metadata(ROSBAG2, {"serialized_metadata": to_yaml(information)})
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
        text = to_yaml({"rosbag2_bagfile_information": information})
        replace_file(self.directory / METADATA,
                     lambda part: part.write_text(text, encoding="utf-8"))


def free_directory(parent: Path, name: str) -> Path:
    """Return ``parent/name``, or ``parent/name-2`` and so on if that exists."""
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def move_to_free(bag: Path, parent: Path) -> Path:
    """Move a bag to another folder of the same disk, under a name that is free there.

    Returns:
        Where it is now.

    Raises:
        OSError: it cannot be moved; it is where it was.
    """
    parent.mkdir(exist_ok=True)
    while True:
        target = free_directory(parent, bag.name)
        try:
            bag.rename(target)
        except OSError as err:
            if err.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            continue  # another process took the name
        return target
