# SPDX-License-Identifier: Apache-2.0
"""Small bags, real ones: serialized messages written by our writer or by others'."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.ros_messages import joint_state, make, serialize

STRING = "std_msgs/msg/String"
START_NS = 1_700_000_000_000_000_000


def text_message(text: str) -> bytes:
    """Return a serialized std_msgs/String."""
    return serialize(make(STRING, data=text))


def joint_message(stamp_ns: int, position: float) -> bytes:
    """Return a serialized sensor_msgs/JointState of one joint."""
    return serialize(joint_state(stamp_ns, {"a": position}))


def write_bag(path: Path, texts: dict[str, list[str]], custom: dict[str, str] | None = None,
              compression: str = "none", close: bool = True) -> Path:
    """Write strings on topics, a message of each topic every 10 ms.

    Args:
        path: directory to create.
        texts: topic -> texts.
        custom: custom data to begin with.
        compression: of chunks.
        close: leave it cut off behind the last flush, if false.
    """
    from tinyvla_ros.bags.definitions import definition
    from tinyvla_ros.bags.metadata import TopicMetadata, qos_profile
    from tinyvla_ros.bags.writer import BagWriter

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
    from tinyvla_ros.bags.reader import Bag

    with Bag(path) as bag:
        return [bag.decode(m).data for m in bag.messages([topic])]
