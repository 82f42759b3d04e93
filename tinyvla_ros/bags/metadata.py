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

"""``metadata.yaml`` as rosbag2 of ROS 2 Jazzy writes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tinyvla_ros.bags.definitions import MessageDefinition
from tinyvla_ros.core.configuration import read_yaml
from tinyvla_ros.core.errors import InputError

METADATA = "metadata.yaml"
STORAGE = (".mcap", ".db3")  # ends of the storage files' names
VERSION = 9  # of rosbag2_storage in jazzy
DISTRO = "jazzy"


@dataclass
class TopicMetadata:
    """A topic in a bag.

    Attributes:
        name: with its namespace, ``/camera/front/image_raw``.
        type: ``sensor_msgs/msg/Image``.
        definition: of the type.
        qos: offered profiles as rosbag2 names their parts, see ``qos_profile``.
        count: messages.
    """

    name: str
    type: str
    definition: MessageDefinition = field(default_factory=MessageDefinition)
    qos: list[dict] = field(default_factory=list)
    count: int = 0

    @property
    def qos_yaml(self) -> str:
        """The profiles as an MCAP channel carries them."""
        return to_yaml(self.qos) if self.qos else ""


def bag_information(file: str, topics: Collection[TopicMetadata], start_ns: int, end_ns: int,
                    custom: Mapping[str, str]) -> dict:
    """Return what rosbag2 notes about a bag of one file, in ``metadata.yaml`` and in the file.

    Args:
        file: name of the MCAP file; compression of its chunks is internal to MCAP and not noted.
        topics: all of them, including those without messages.
        start_ns, end_ns: receive times of the first and the last message, 0 if there is none.
        custom: text by name, ``custom_data``.
    """
    count = sum(t.count for t in topics)
    start = {"nanoseconds_since_epoch": start_ns}
    duration = {"nanoseconds": end_ns - start_ns}
    return {
        "version": VERSION,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": start,
        "message_count": count,
        "topics_with_message_count": [
            {"topic_metadata": {"name": t.name, "type": t.type, "serialization_format": "cdr",
                                "offered_qos_profiles": t.qos,
                                "type_description_hash": t.definition.type_hash},
             "message_count": t.count} for t in topics],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file],
        "files": [{"path": file, "starting_time": dict(start), "duration": dict(duration),
                   "message_count": count}],
        "custom_data": dict(custom) or None,
        "ros_distro": DISTRO}


def read_information(bag: Path) -> dict:
    """Return the content of a bag's ``metadata.yaml``; empty if it has none.

    ``custom_data`` is a dict of texts; ``compression_mode`` is ``file``, ``message`` or empty.

    Raises:
        InputError: it is not what rosbag2 writes.
    """
    path = bag / METADATA
    if not path.is_file():
        return {}
    content = read_yaml(path)
    information = content.get("rosbag2_bagfile_information") if isinstance(content, dict) else None
    if not isinstance(information, dict):
        raise InputError(f"{path} is not what rosbag2 writes; make a complete bag of it "
                         f"with 'tinyvla bag recover {bag}'.")
    custom, mode = information.get("custom_data"), str(information.get("compression_mode")).lower()
    custom = {str(k): str(v) for k, v in custom.items()} if isinstance(custom, dict) else {}
    return information | {"custom_data": custom,
                          "compression_mode": mode if mode in ("file", "message") else ""}


def to_yaml(data: object) -> str:
    """Return YAML in the order given."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=4096)


def qos_profile(history: str, depth: int, reliability: str, durability: str) -> dict:
    """Return a profile of rosbag2; times are infinite, liveliness is automatic.

    Args:
        history: ``keep_last``, ``keep_all`` or ``unknown``.
        depth: of the history.
        reliability: ``reliable`` or ``best_effort``.
        durability: ``volatile`` or ``transient_local``.
    """
    forever = {"sec": 9223372036, "nsec": 854775807}
    return {"history": history, "depth": depth, "reliability": reliability,
            "durability": durability, "deadline": dict(forever), "lifespan": dict(forever),
            "liveliness": "automatic", "liveliness_lease_duration": dict(forever),
            "avoid_ros_namespace_conventions": False}


def safe_name(parts: Iterable[object]) -> str:
    """Join parts to a name that is valid in every file system."""
    text = "_".join(str(p) for p in parts if str(p))
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)[:120] or "episode"
