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

"""Message definitions of the ROS packages on this machine."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.core.errors import InputError

SEPARATOR = "=" * 80
_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+")
_PRIMITIVE = {"bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16",
              "int32", "uint32", "int64", "uint64", "string", "wstring"}


@dataclass(frozen=True)
class MessageDefinition:
    """A message type.

    Attributes:
        text: the definition and those of the types it contains; empty if unknown.
        type_hash: REP-2016, ``RIHS01_...``; empty if unknown.
        encoding: of the text, as MCAP names it: ``ros2msg`` or ``ros2idl``.
    """

    text: str = ""
    type_hash: str = ""
    encoding: str = "ros2msg"


@functools.cache
def definition(name: str) -> MessageDefinition:
    """Return the definition of ``package/msg/Type``.

    Raises:
        InputError: no package on this machine defines it.
    """
    path = _file(name)
    texts, pending, seen = [], [name], {name}
    while pending:
        current = pending.pop(0)
        text = _file(current).read_text(encoding="utf-8")
        texts.append(text if current == name else
                     f"{SEPARATOR}\nMSG: {current.replace('/msg/', '/')}\n{text}")
        for part in _parts(text, current.split("/")[0]):
            if part not in seen:
                seen.add(part)
                pending.append(part)
    return MessageDefinition("\n".join(texts), _hash(path.with_suffix(".json"), name))


@functools.cache
def typestore():
    """Return the message types of ROS 2 Jazzy, a ``rosbags.typesys.store.Typestore``."""
    from rosbags.typesys import Stores, get_typestore  # takes too long for a node that needs none

    return get_typestore(Stores.ROS2_JAZZY)


def _file(name: str) -> Path:
    package, _, kind = name.partition("/msg/")
    # The wheels of ROS are installed in the Python environment itself.
    places = [p for p in (*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix)
              if p]
    for place in places:
        path = Path(place) / "share" / package / "msg" / f"{kind}.msg"
        if path.is_file():
            return path
    raise InputError(f"The definition of {name} is in none of {', '.join(places)}; source the "
                     "workspace that has it.")


def _parts(text: str, package: str) -> list[str]:
    """Return the names of the types that a definition contains."""
    names = []
    for line in text.splitlines():
        match = _FIELD.match(line.split("#")[0])
        if match is None or match[1].split("<")[0] in _PRIMITIVE:
            continue
        kind = match[1]
        if "/" not in kind:
            kind = f"{package}/{kind}"
        names.append(kind.replace("/msg/", "/").replace("/", "/msg/"))
    return names


def _hash(path: Path, name: str) -> str:
    try:
        hashes = json.loads(path.read_text(encoding="utf-8"))["type_hashes"]
        return next(h["hash_string"] for h in hashes if h["type_name"] == name)
    except (OSError, ValueError, KeyError, StopIteration):
        return ""
