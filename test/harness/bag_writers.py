# SPDX-License-Identifier: Apache-2.0
"""The recorder's writer thread with one topic of strings."""

from __future__ import annotations

from pathlib import Path

from harness.recordings import START_NS, STRING, text_message
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.recorded_message import RawMessage
from tinyvla_ros.bags.writer_thread import WriterThread


def writer_for(out: Path, **options) -> WriterThread:
    writer = WriterThread(out, **options)
    writer.topic("/a", TopicMetadata("/a", STRING, definition(STRING)))
    return writer


def raw(text: str, i: int = 0) -> RawMessage:
    stamp = START_NS + i * 1_000_000
    return RawMessage("/a", stamp, stamp, text_message(text))
