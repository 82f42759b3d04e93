# SPDX-License-Identifier: Apache-2.0
"""Read storage files from their beginning as far as they go, without index or footer."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
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

from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.writer import CUSTOM

# Largest record that is believed; a damaged length must not take all memory.
RECORD_LIMIT = 1 << 30
HEAD = struct.Struct("<BQ")  # opcode and length of a record


@dataclass(frozen=True)
class Definition:
    """How the file defines a message type; encoding is empty if it does not."""

    encoding: str = ""
    text: str = ""


@dataclass(frozen=True)
class Salvaged:
    """A message, with all that is known of its topic."""

    topic: TopicMetadata
    definition: Definition
    log_ns: int
    publish_ns: int
    data: bytes
    sequence: int = 0


@dataclass(frozen=True)
class CustomData:
    """Custom data that our recorder left in the file; later ones replace earlier ones."""

    values: dict[str, str]


@dataclass(frozen=True)
class Damage:
    """Something that could not be read; reading goes on if it can."""

    what: str


Found = Salvaged | CustomData | Damage


def salvage(path: Path) -> Iterator[Found]:
    """Yield what a storage file holds, damage included; never raises for what is in it.

    Args:
        path: ends in ``.mcap`` or ``.db3``; only read.

    Raises:
        OSError: it cannot be read at all.
    """
    try:
        yield from (_mcap if path.suffix == ".mcap" else _sqlite3)(path)
    except OSError:
        raise
    except Exception as err:  # whatever unpackers and decompressors say to rubbish
        yield Damage(" ".join(str(err).split()) or type(err).__name__)


def _mcap(path: Path) -> Iterator[Found]:
    """Read a file from its beginning as far as it goes; its index, if any, is not needed."""
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
    """Makes messages of MCAP records."""

    def __init__(self):
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, tuple[TopicMetadata, Definition]] = {}

    def read(self, opcode: int, payload: bytes) -> Iterator[Found]:
        stream = ReadDataStream(BytesIO(payload))
        if opcode == Opcode.CHUNK:
            yield from self._chunk(Chunk.read(stream))
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            schema = self._schemas.get(channel.schema_id)
            self._channels[channel.id] = (
                _topic(channel, schema),
                Definition(schema.encoding, schema.data.decode()) if schema else Definition())
        elif opcode == Opcode.METADATA:
            metadata = Metadata.read(stream)
            if metadata.name == CUSTOM:
                yield CustomData(dict(metadata.metadata))
        elif opcode == Opcode.MESSAGE:
            message = Message.read(stream, len(payload))
            if message.channel_id in self._channels:
                yield Salvaged(*self._channels[message.channel_id], message.log_time,
                              message.publish_time, message.data, message.sequence)

    def _chunk(self, chunk: Chunk) -> Iterator[Found]:
        data = _decompress(chunk)
        if len(data) == chunk.uncompressed_size and chunk.uncompressed_crc and \
                zlib.crc32(data) != chunk.uncompressed_crc:
            # Which of its messages are wrong nobody knows; the next chunk may be well.
            yield Damage("the checksum of a chunk is wrong, it was left out")
            return
        at = 0
        while at + HEAD.size <= len(data):
            opcode, length = HEAD.unpack_from(data, at)
            at += HEAD.size
            if at + length > len(data):
                return  # the chunk was cut off, what comes before was not
            yield from self.read(opcode, data[at:at + length])
            at += length


def _decompress(chunk: Chunk) -> bytes:
    """Return as much of a chunk as there is."""
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
    return TopicMetadata(channel.topic, schema.name if schema else "", qos,
                         channel.metadata.get("topic_type_hash", ""))


def _sqlite3(path: Path) -> Iterator[Found]:
    """Read what sqlite still finds; it mends a journal in a copy, never in the original."""
    with TemporaryDirectory(prefix="recover-") as place:
        for file in path.parent.glob(path.name + "*"):  # with its journal
            shutil.copy(file, place)
        with sqlite3.connect(Path(place) / path.name) as database:
            definitions: dict[str, Definition] = {}
            tables = {row[0] for row in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "message_definitions" in tables:
                definitions = {kind: Definition(encoding, text) for kind, encoding, text in
                               database.execute(
                    "SELECT topic_type, encoding, encoded_message_definition "
                    "FROM message_definitions")}
            topics = {number: (TopicMetadata(name, kind), definitions.get(kind, Definition()))
                      for number, name, kind in database.execute(
                          "SELECT id, name, type FROM topics")}
            for number, stamp, data in database.execute(
                    "SELECT topic_id, timestamp, data FROM messages ORDER BY timestamp"):
                if number in topics:
                    yield Salvaged(*topics[number], stamp, stamp, data)
