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

"""Make a complete bag of one that was cut off; the original is only read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.bags.metadata import STORAGE, read_information
from tinyvla_ros.bags.partial_reader import COMPRESSED, CustomData, Damage, read_partial
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.core.errors import InputError


@dataclass(frozen=True)
class Recovered:
    """A new bag, the number of its messages, and what could not be read, a few words each."""

    path: Path
    messages: int
    problems: tuple[str, ...]


def recover(source: Path, out: Path) -> Recovered:
    """Copy every readable message of a bag into a new, complete one.

    Args:
        source: a bag directory, or an MCAP or sqlite3 file.
        out: directory to create.

    Raises:
        InputError: there is nothing to read, or ``out`` exists or cannot be written.
    """
    files, custom = _files(source), _custom(source)
    if out.exists():
        raise InputError(f"{out} exists; choose another --out, nothing was overwritten.")
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a recovery that was itself cut off
    try:
        messages, problems = _copy(files, part, out.name, custom)
        if messages is None:
            why = f" ({'; '.join(problems)})" if problems else ""
            raise InputError(f"{source} has nothing readable{why}; there is nothing to recover.")
        part.rename(out)
    except OSError as err:
        raise InputError(f"{source} cannot be copied to {out}: {err.strerror or err}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Recovered(out, messages, tuple(problems))


def _copy(files: Sequence[Path], directory: Path, name: str, custom: dict[str, str]
          ) -> tuple[int | None, list[str]]:
    """Write everything readable, in the order it is found, into a new bag.

    Returns:
        The number of messages, None if nothing was readable, and what was not, a few words each.
    """
    problems: list[str] = []
    writer, found_custom = None, False
    for file in files:
        for found in read_partial(file):
            if isinstance(found, Damage):
                problems.append(f"{file.name}: {found.what}")
            elif isinstance(found, CustomData):
                custom, found_custom = custom | found.values, True
            else:
                topic = found.topic
                writer = writer or BagWriter(directory, custom, name=name)
                if topic.name not in writer.topics:
                    writer.add_topic(topic)
                writer.write(topic.name, found.log_ns, found.publish_ns, found.data,
                             found.sequence)
    if writer is None and not found_custom:
        return None, problems
    # An episode that was cut off before its first message has no writer yet.
    writer = writer or BagWriter(directory, custom, name=name)
    writer.close(custom | {"outcome": custom.get("outcome", "interrupted"), "recovered": "true"})
    return sum(topic.count for topic in writer.topics.values()), problems


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise InputError(f"{source} does not exist; give a bag directory, or an MCAP or sqlite3 "
                         "file.")
    files = [source] if source.is_file() else [f for f in source.iterdir() if f.is_file()]
    files = [f for f in files if f.name.removesuffix(COMPRESSED).endswith(STORAGE)]
    if not files:
        raise InputError(f"{source} is not a bag: there is no file ending in "
                         f"{' or '.join(STORAGE)}.")
    # rosbag2 counts <name>_0, <name>_1, ..., <name>_10.
    return sorted(files, key=lambda f: (len(f.stem), f.stem))


def _custom(source: Path) -> dict[str, str]:
    """Return the custom data of metadata.yaml, empty if it is missing or damaged."""
    try:
        return read_information(source).get("custom_data", {})
    except InputError:
        return {}
