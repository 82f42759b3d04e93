# SPDX-License-Identifier: Apache-2.0
"""Make a complete bag of one that was cut off; the original is only read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.bags.metadata import (
    STORAGE,
    compression_mode,
    custom_data,
    read_information,
)
from tinyvla_ros.bags.partial_reader import CustomData, Damage, FoundMessage, read_partial
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.core.errors import InputError


@dataclass(frozen=True)
class Recovered:
    """A recovered bag.

    Attributes:
        path: of the new bag.
        messages: how many it has.
        problems: what could not be read, a few words each.
    """

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
        copy, problems = _Copy(part, out.name, custom), []
        for file in files:
            for found in read_partial(file):
                if isinstance(found, Damage):
                    problems.append(f"{file.name}: {found.what}")
                else:
                    copy.add(found)
        if not copy.anything:
            why = f" ({'; '.join(problems)})" if problems else ""
            raise InputError(f"{source} has nothing readable{why}; there is nothing to recover.")
        copy.close()
        part.rename(out)
    except OSError as err:
        raise InputError(f"{source} cannot be copied to {out}: {err.strerror or err}.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Recovered(out, copy.messages, tuple(problems))


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise InputError(f"{source} does not exist; give a bag directory, or an MCAP or sqlite3 "
                         "file.")
    files = [source] if source.is_file() else [f for f in source.iterdir() if f.is_file()]
    files = [f for f in files if f.suffix in STORAGE]
    if not files:
        raise InputError(f"{source} is not a bag: there is no file ending in "
                         f"{' or '.join(STORAGE)}.")
    # rosbag2 counts <name>_0, <name>_1, ..., <name>_10.
    return sorted(files, key=lambda f: (len(f.stem), f.stem))


def _custom(source: Path) -> dict[str, str]:
    """Return the custom data of metadata.yaml, empty if it is missing or damaged."""
    try:
        information = read_information(source)
    except InputError:
        return {}
    if compression_mode(information) == "message":
        raise InputError(f"{source} was compressed message by message, which is not recovered "
                         "here; use 'ros2 bag reindex'.")
    return custom_data(information)


class _Copy:
    """Writes messages and custom data in the order they are found."""

    def __init__(self, directory: Path, name: str, custom: dict[str, str]):
        self._directory, self._name, self._custom = directory, name, custom
        self._writer: BagWriter | None = None
        self.messages = 0
        self.anything = False

    def add(self, found: FoundMessage | CustomData) -> None:
        self.anything = True
        if isinstance(found, CustomData):
            self._custom |= found.values
            return
        self._open()
        topic = found.topic
        if topic.name not in self._writer.topics:
            self._writer.add_topic(topic)
        self._writer.write(topic.name, found.log_ns, found.publish_ns, found.data, found.sequence)
        self.messages += 1

    def _open(self) -> None:
        if self._writer is None:
            self._writer = BagWriter(self._directory, self._custom, name=self._name)

    def close(self) -> None:
        self._open()  # for an episode that was cut off before its first message
        self._custom.setdefault("outcome", "interrupted")
        self._writer.close(self._custom | {"recovered": "true"})
