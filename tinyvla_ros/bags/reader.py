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

"""Read any rosbag2 recording: MCAP or sqlite3, ours or ``ros2 bag record``'s."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from tinyvla_ros.bags.definitions import typestore
from tinyvla_ros.bags.metadata import METADATA, STORAGE, read_information
from tinyvla_ros.bags.recorded_message import BagMessage, BagTopic
from tinyvla_ros.bags.writer import CUSTOM
from tinyvla_ros.core.errors import InputError

# Folder of the episodes that were discarded, in that of the others.
DISCARDED = "discarded"
# What MCAP files of other programs hold beside ros2msg and ros2idl.
OTHER_SCHEMAS = ("flatbuffer", "jsonschema", "protobuf", "ros1msg")


class Bag(AbstractContextManager):
    """One recording, open for reading; nothing is ever written to it.

    Attributes:
        path: the directory, or the storage file alone.
        topics: by name.
        custom: text by name, ``custom_data`` of metadata.yaml, or what our recorder wrote into
            an MCAP file that is read alone: task, instruction, seed, outcome, checkpoint_digest
            and robot_contract.
        recorded_by: ROS distribution and storage as metadata.yaml names them; empty without one.
        start_ns, end_ns: receive times of the first and last message; both 0 if there is none.
        namespace: of the robot, for names that are relative, as given or recorded;
            ``topics.find_topic`` sets it if neither is.
        only_namespace: it was given, so that relative names are in it and nowhere else.

    Args:
        path: a bag directory, or an MCAP or sqlite3 file.
        namespace: of the robot, if the bag has several.

    Raises:
        InputError: it does not exist, is not a bag, is damaged or cut off.
    """

    def __init__(self, path: str | Path, namespace: str = ""):
        self.path = Path(path)
        self.namespace = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
        self.only_namespace = bool(self.namespace)
        _check(self.path)
        try:
            self._reader = AnyReader([self.path], default_typestore=typestore())
            self._reader.open()
        except KeyError as err:
            # Of any other channel the library would pass over the content.
            raise InputError(_foreign(self.path, err)) from None
        except Exception as err:  # the library lets whatever a damaged file causes through
            raise InputError(_why(self.path, err)) from None
        information = read_information(self.path)
        self.custom: Mapping[str, str] = information.get("custom_data") or _noted(self.path)
        # Our recorder notes where the run was that it belonged to.
        self.namespace = self.namespace or self.custom.get("namespace", "").rstrip("/")
        self.recorded_by = (f"ROS {information.get('ros_distro') or 'unknown'}, "
                            f"{information.get('storage_identifier')}") if information else ""
        # Files that the MCAP library can read; rosbags reads the others, without publish times.
        self._mcap = [self.path] if self.path.suffix == ".mcap" else [
            self.path / Path(name).name for name in information.get("relative_file_paths", ())
            if name.endswith(".mcap") and not information["compression_mode"]]
        self.topics = {name: BagTopic(name, info.msgtype or "several types", info.msgcount,
                                      _publishers(info))
                       for name, info in self._reader.topics.items()}
        empty = not self._reader.message_count
        self.start_ns = 0 if empty else self._reader.start_time
        self.end_ns = 0 if empty else self._reader.end_time - 1

    @property
    def duration_s(self) -> float:
        """Seconds from the first message to the last."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def name(self) -> str:
        """Name of the bag."""
        return bag_name(self.path)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def __exit__(self, *error) -> None:
        self.close()

    def messages(self, topics: Iterable[str] | None = None) -> Iterator[BagMessage]:
        """Yield messages in the order they were received.

        Args:
            topics: names, also of topics that the bag does not have; default: all.

        Raises:
            InputError: the storage is damaged further on.
        """
        wanted = set(self.topics).intersection(self.topics if topics is None else topics)
        if not wanted:
            return
        try:
            yield from self._from_mcap(wanted) if self._mcap else self._from_rosbags(wanted)
        except InputError:
            raise
        except Exception as err:
            raise InputError(_why(self.path, err)) from None

    def _from_mcap(self, topics: set[str]) -> Iterator[BagMessage]:
        # The files of a bag may overlap, and be listed in another order.
        yield from heapq.merge(*(self._from_file(path, topics) for path in self._mcap),
                               key=lambda m: m.log_ns)

    def _from_file(self, path: Path, topics: set[str]) -> Iterator[BagMessage]:
        with path.open("rb") as file:
            reader = make_reader(file, validate_crcs=True)
            summary = reader.get_summary()
            # Without an index the library would sort the whole file in memory.
            indexed = bool(summary and summary.chunk_indexes)
            for _, channel, message in reader.iter_messages(topics, log_time_order=indexed):
                yield BagMessage(self.topics[channel.topic], message.log_time,
                                 message.publish_time, message.data)

    def _from_rosbags(self, topics: set[str]) -> Iterator[BagMessage]:
        connections = [c for c in self._reader.connections if c.topic in topics]
        silent = {c.topic for c in connections if c.msgcount}
        for connection, log_ns, data in self._reader.messages(connections):
            silent.discard(connection.topic)
            yield BagMessage(self.topics[connection.topic], log_ns, log_ns, bytes(data))
        if silent:
            # The library finds a topic in the file by everything that metadata.yaml says of it.
            raise InputError(f"{self.path}: {METADATA} describes {sorted(silent)[0]} otherwise "
                             "than the file (its type, or its offered_qos_profiles); make a bag "
                             f"by the file alone with 'tinyvla bag recover {self.path}'.")

    def decode(self, message: BagMessage) -> object:
        """Return a message with the attributes it has in ROS; arrays are numpy's.

        Raises:
            InputError: its type is unknown, or its bytes are not of that type.
        """
        kind, store = message.topic.type, self._reader.typestore
        fields = [name for name, _ in store.fielddefs.get(kind, ((), ()))[1]]
        if fields in ([], ["structure_needs_at_least_one_member"]):
            store = typestore()  # rosbag2 leaves definitions empty that it does not find
        if kind not in store.fielddefs:
            raise InputError(f"{self.path}: {message.topic.name} has messages of type {kind}, "
                             "which neither the bag nor this machine defines; leave it out.")
        try:
            return store.deserialize_cdr(message.data, kind)
        except Exception as err:
            raise InputError(f"{self.path}: a message of {message.topic.name} is not a {kind} "
                             f"({_short(err)}).") from None


def bag_name(path: Path) -> str:
    """Return the name of a directory, or of a storage file without its suffix."""
    return path.stem if path.suffix in STORAGE else path.name


def find_bags(*paths: str | Path) -> list[Path]:
    """Return the bags at or below every path, in order of their names, without discarded ones.

    A directory with a storage file or a metadata.yaml is a bag, complete or not. One in a folder
    ``discarded`` is left out, unless the path names that folder or a bag in it.

    Raises:
        InputError: there is none at one of them.
    """
    bags = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist; give a bag, or a folder of bags.")
        if path.is_file():
            _check(path)
            bags.append(path)
            continue
        found = _bags_below(path)
        if not found:
            raise InputError(f"{path} holds no bag: no directory with {METADATA} or a file ending "
                             f"in {' or '.join(STORAGE)}; {_instead(*path.rglob('*'))}.")
        kept = [b for b in found if not _is_discarded(b, path)]
        if not kept:
            raise InputError(f"{path} holds no bag but {len(found)} discarded; name "
                             f"{found[0].parent} to use them.")
        bags += kept
    return bags


def discarded_bags(path: str | Path) -> list[Path]:
    """Return the bags below a folder that ``find_bags`` leaves out, in order of their names."""
    path = Path(path)
    return [b for b in _bags_below(path) if _is_discarded(b, path)] if path.is_dir() else []


def _bags_below(path: Path) -> list[Path]:
    return sorted({f.parent for f in path.rglob("*")
                   if f.is_file() and (f.suffix in STORAGE or f.name == METADATA)
                   and f.parent.suffix != ".part"})


def _is_discarded(bag: Path, path: Path) -> bool:
    return DISCARDED in bag.relative_to(path).parts[:-1]


def _check(path: Path) -> None:
    """Raise our error for a path that is not a bag, before the library raises its own."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give a bag directory, or an MCAP or sqlite3 "
                         "file.")
    if path.is_file():
        if path.suffix not in STORAGE:
            raise InputError(f"{path} is not a bag; {_instead(path)}.")
        return
    if (path / METADATA).is_file():
        return
    if any(f.suffix in STORAGE for f in path.iterdir()):
        raise InputError(f"{path} has no {METADATA}, it was cut off; make a complete bag of it "
                         f"with 'tinyvla bag recover {path}'.")
    raise InputError(f"{path} is not a bag: it has neither {METADATA} nor a file ending in "
                     f"{' or '.join(STORAGE)}; {_instead(*path.iterdir())}.")


def _instead(*files: Path) -> str:
    """Return what to do with files that are not a bag."""
    for file in files:
        if file.suffix == ".bag":
            return f"{file.name} is of ROS 1, convert it with 'rosbags-convert'"
        if file.name.endswith(tuple(s + ".zstd" for s in STORAGE)):
            return f"{file.name} is compressed, use 'tinyvla bag recover'"
    return f"give a bag directory, or a file ending in {' or '.join(STORAGE)}"


def _noted(path: Path) -> dict[str, str]:
    """Return what our recorder wrote into an MCAP file; empty for anything else."""
    custom: dict[str, str] = {}
    if path.suffix == ".mcap" and path.is_file():
        try:
            with path.open("rb") as file:
                for record in make_reader(file).iter_metadata():
                    if record.name == CUSTOM:
                        custom = dict(record.metadata)  # the last one is the complete one
        except Exception as err:  # see above
            raise InputError(_why(path, err)) from None
    return custom


def _publishers(info) -> int:
    profiles = [len(getattr(c.ext, "offered_qos_profiles", ())) for c in info.connections]
    return max(1, sum(profiles))


def _why(path: Path, err: Exception) -> str:
    # rosbags reads metadata.yaml in the encoding of the locale.
    if isinstance(err, UnicodeDecodeError) and sys.getfilesystemencoding() != "utf-8":
        return (f"{path} holds text that does not fit {err.encoding}, the encoding of this "
                "locale; set LC_ALL=C.UTF-8, or PYTHONUTF8=1.")
    return (f"{path} cannot be read ({_short(err)}); it may be cut off or damaged, try "
            f"'tinyvla bag recover {path}'.")


def _foreign(path: Path, err: KeyError) -> str:
    if err.args[0] not in OTHER_SCHEMAS:
        return _why(path, err)
    return (f"{path} has channels with schemas of encoding {err}, which are no ROS 2 messages; "
            "make a file without them with 'mcap filter --exclude-topic-regex'.")


def _short(err: Exception) -> str:
    return " ".join(str(err).split()).removesuffix(".")[:200] or type(err).__name__
