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

"""Small bags of strings, written and read by our own code."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.ros_messages import make, serialize
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata, qos_profile
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import RawMessage
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.bags.writer_thread import WriterThread

STRING = "std_msgs/msg/String"
START_NS = 1_700_000_000_000_000_000


def text_message(text: str) -> bytes:
    """Return a serialized std_msgs/String."""
    return serialize(make(STRING, data=text))


def write_bag(path: Path, texts: dict[str, list[str]], custom: dict[str, str] | None = None,
              compression: str = "none", close: bool = True) -> Path:
    """Write strings on topics, a message of each topic every 10 ms.

    Args:
        path: directory to create.
        texts: topic -> texts.
        custom: custom data to begin with.
        compression: of chunks.
        close: if false, the bag ends behind the last flush.
    """
    qos = [qos_profile("keep_last", 10, "reliable", "volatile")]
    with tempfile.TemporaryDirectory() as elsewhere:
        place = path if close else Path(elsewhere) / path.name
        writer = BagWriter(place, custom or {}, compression)
        for topic in texts:
            writer.add_topic(TopicMetadata(topic, STRING, definition(STRING), qos))
        for i in range(max(map(len, texts.values()), default=0)):
            for topic, lines in texts.items():
                if i < len(lines):
                    stamp = START_NS + i * 10_000_000
                    writer.write(topic, stamp, stamp - 1_000_000, text_message(lines[i]), i + 1)
            if i % 10 == 9:
                writer.flush()
        if not close:
            writer.flush()
            shutil.copytree(place, path)
        writer.close()
    return path


def texts_in(path: Path, topic: str) -> list[str]:
    """Read the strings of a topic back, with our reader."""
    with Bag(path) as bag:
        return [bag.decode(m).data for m in bag.messages([topic])]


def writer_for(out: Path, **options) -> WriterThread:
    """Return a recorder's writer thread that has the topic ``/a``."""
    writer = WriterThread(out, **options)
    writer.topic("/a", TopicMetadata("/a", STRING, definition(STRING)))
    return writer


def raw(text: str, i: int = 0) -> RawMessage:
    """Return the message number ``i`` of ``/a`` for a writer thread."""
    stamp = START_NS + i * 1_000_000
    return RawMessage("/a", stamp, stamp, text_message(text))
