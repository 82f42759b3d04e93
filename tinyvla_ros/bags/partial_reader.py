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

"""Read incomplete or damaged storage files from the beginning as far as they go."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import lz4.frame
import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Metadata, Schema
from mcap.writer import MCAP0_MAGIC

from tinyvla_ros.bags.definitions import MessageDefinition
from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.writer import CUSTOM

COMPRESSED = ".zstd"  # end of the name of a storage file that was compressed whole
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no serialized message begins so
# A larger record is damage: a wrong length must not take all memory.
RECORD_LIMIT = 1 << 30
DATABASE_LIMIT = 1 << 40
HEAD = struct.Struct("<BQ")  # opcode and length of a record


@dataclass(frozen=True)
class FoundMessage:
    """A message, and what the file contains about its topic."""

    topic: TopicMetadata
    log_ns: int
    publish_ns: int
    data: bytes
    sequence: int = 0


@dataclass(frozen=True)
class CustomData:
    """Custom data that our recorder wrote into the file; later ones replace earlier ones."""

    values: dict[str, str]


@dataclass(frozen=True)
class Damage:
    """A part that could not be read; reading goes on if possible."""

    what: str


Found = FoundMessage | CustomData | Damage


def read_partial(path: Path) -> Iterator[Found]:
    """Yield the readable content of a storage file, and its damage.

    Args:
        path: ends in ``.mcap`` or ``.db3``, or in one of these and ``.zstd``; only read.

    Raises:
        OSError: the file cannot be opened; damaged content raises nothing.
    """
    try:
        if path.suffix != COMPRESSED:
            yield from _uncompressed(path)
            return
        with TemporaryDirectory(prefix="recover-") as folder:
            plain = Path(folder) / path.stem
            with path.open("rb") as source, plain.open("wb") as target:
                zstandard.ZstdDecompressor().copy_stream(source, target)
            yield from _uncompressed(plain)
    except OSError:
        raise
    except Exception as err:  # of any library that meets damaged bytes
        yield Damage(" ".join(str(err).split()) or type(err).__name__)


def _uncompressed(path: Path) -> Iterator[Found]:
    for found in (_mcap if path.suffix == ".mcap" else _sqlite3)(path):
        if isinstance(found, FoundMessage) and found.data.startswith(ZSTD_MAGIC):
            # rosbag2 compresses message by message if told so; only metadata.yaml tells it.
            data = zstandard.ZstdDecompressor().decompressobj().decompress(found.data)
            found = replace(found, data=data)
        yield found


def _mcap(path: Path) -> Iterator[Found]:
    """Read record by record; the index at the end, which may be missing, is not used."""
    with path.open("rb") as file:
        if file.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise ValueError("it does not begin as an MCAP file does")
        reader = _Records()
        while head := file.read(HEAD.size):
            if len(head) < HEAD.size:
                yield Damage("it ends within a record")
                return
            opcode, length = HEAD.unpack(head)
            if length > RECORD_LIMIT:
                yield Damage(f"a record of {length} bytes at {file.tell()}")
                return
            payload = file.read(length)
            yield from reader.read(opcode, payload)
            if len(payload) < length:
                yield Damage("it ends within a record")
                return
            if opcode == Opcode.DATA_END:
                return


class _Records:
    """Turns MCAP records into messages."""

    def __init__(self):
        self._schemas: dict[int, Schema] = {}
        self._topics: dict[int, TopicMetadata] = {}

    def read(self, opcode: int, payload: bytes) -> Iterator[Found]:
        stream = ReadDataStream(BytesIO(payload))
        if opcode == Opcode.CHUNK:
            yield from self._chunk(Chunk.read(stream))
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            self._topics[channel.id] = _topic(channel, self._schemas.get(channel.schema_id))
        elif opcode == Opcode.METADATA:
            metadata = Metadata.read(stream)
            if metadata.name == CUSTOM:
                yield CustomData(dict(metadata.metadata))
        elif opcode == Opcode.MESSAGE:
            message = Message.read(stream, len(payload))
            if message.channel_id in self._topics:
                yield FoundMessage(self._topics[message.channel_id], message.log_time,
                                   message.publish_time, message.data, message.sequence)

    def _chunk(self, chunk: Chunk) -> Iterator[Found]:
        data = _decompress(chunk)
        if len(data) == chunk.uncompressed_size and chunk.uncompressed_crc and \
                zlib.crc32(data) != chunk.uncompressed_crc:
            # Any of its messages may be wrong; the next chunk is independent.
            yield Damage("a chunk with a wrong checksum was left out")
            return
        at = 0
        while at + HEAD.size <= len(data):
            opcode, length = HEAD.unpack_from(data, at)
            at += HEAD.size
            if at + length > len(data):
                return  # the chunk was cut off here
            yield from self.read(opcode, data[at:at + length])
            at += length


def _decompress(chunk: Chunk) -> bytes:
    """Decompress a chunk, which may be cut off."""
    if chunk.compression == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(chunk.data)
    if chunk.compression == "lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(chunk.data)
    return chunk.data


def _topic(channel: Channel, schema: Schema | None) -> TopicMetadata:
    try:
        qos = yaml.safe_load(channel.metadata.get("offered_qos_profiles", "")) or []
    except yaml.YAMLError:
        qos = []
    type_hash = channel.metadata.get("topic_type_hash", "")
    if schema is None:
        return TopicMetadata(channel.topic, "", MessageDefinition("", type_hash), qos)
    definition = MessageDefinition(schema.data.decode(), type_hash, schema.encoding)
    return TopicMetadata(channel.topic, schema.name, definition, qos)


def _sqlite3(path: Path) -> Iterator[Found]:
    """Read a copy: sqlite applies the journal to the file it opens."""
    with TemporaryDirectory(prefix="recover-") as folder:
        for file in path.parent.glob(path.name + "*"):  # with its journal
            shutil.copy(file, folder)
        _fill_up(Path(folder) / path.name)
        with sqlite3.connect(Path(folder) / path.name) as database:
            definitions: dict[str, MessageDefinition] = {}
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if ("message_definitions",) in tables:
                definitions = {kind: MessageDefinition(text, "", encoding)
                               for kind, text, encoding in database.execute(
                    "SELECT topic_type, encoded_message_definition, encoding "
                    "FROM message_definitions")}
            topics = {number: TopicMetadata(name, kind, definitions.get(kind, MessageDefinition()))
                      for number, name, kind in database.execute(
                          "SELECT id, name, type FROM topics")}
            for number, stamp, data in database.execute(
                    "SELECT topic_id, timestamp, data FROM messages"):  # the index may be lost
                if number in topics:
                    yield FoundMessage(topics[number], stamp, stamp, data)


def _fill_up(database: Path) -> None:
    """Give a database that was cut off its length again: sqlite opens no shorter one."""
    with database.open("r+b") as file:
        head = file.read(100)
        page = int.from_bytes(head[16:18], "big")
        length = int.from_bytes(head[28:32], "big") * (65536 if page == 1 else page)
        if len(head) == 100 and file.seek(0, 2) < length <= DATABASE_LIMIT:
            file.truncate(length)
