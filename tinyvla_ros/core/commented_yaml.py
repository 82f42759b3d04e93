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

"""Write YAML that a person goes on with: every line may have a comment; and find what is open.

A value that nobody but the reader knows is ``???``. A file that still has one is refused with the
comment of its line, which is the question.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tinyvla_ros.core.errors import InputError

PLACEHOLDER = "???"
TODO = "TODO: "
WIDTH = 99
# A comment begins after a blank; '#' within a word or a quoted text is none.
_COMMENT = re.compile(r"""^(?:[^#'"]|'[^']*'|"[^"]*"|(?<!\s)#)*(?:^|\s)# ?(?P<text>.*)$""")


@dataclass(frozen=True)
class Noted:
    """A value for one line, or a block of such values, and the comment that goes with it."""

    value: object
    note: str = ""


@dataclass(frozen=True)
class OpenLine:
    """A line that someone must look at.

    Attributes:
        number: of the line, from 1.
        question: its comment, without ``TODO:``.
        key: dotted place of the value, of a placeholder only.
    """

    number: int
    question: str
    key: str = ""


def commented_yaml(tree: Mapping[str, object], head: Sequence[str] = ()) -> str:
    """Return YAML of nested mappings and lists whose leaves are ``Noted`` or plain values.

    Args:
        tree: a mapping, a list, or ``Noted`` with one of them as value, is written as a block if
            it holds a ``Noted``; anything else in one line.
        head: lines of the comment at the top.
    """
    return "\n".join([*(f"# {line}".rstrip() for line in head), *_block(tree, "")]) + "\n"


def scalar(value: object) -> str:
    """Return a value as it is written in one line."""
    if value == PLACEHOLDER:
        return PLACEHOLDER
    text = yaml.safe_dump(value, default_flow_style=True, width=10 ** 6, allow_unicode=True,
                          sort_keys=False)
    return text.removesuffix("...\n").strip()


def _block(node: object, pad: str) -> Iterator[str]:
    items = node.items() if isinstance(node, Mapping) else (("-", value) for value in node)
    for key, item in items:
        noted = item if isinstance(item, Noted) else Noted(item)
        start = f"{pad}-" if key == "-" else f"{pad}{scalar(key)}:"
        if not _is_block(noted.value):
            line = f"{start} {scalar(noted.value)}"
            if isinstance(noted.value, list) and len(line) > WIDTH:
                noted = Noted([Noted(value) for value in noted.value], noted.note)
        if not _is_block(noted.value):
            yield from _with_comment(line, noted.note, pad)
        elif key == "-":
            first, *rest = _block(noted.value, f"{pad}  ")
            if noted.note:
                yield from _comment(noted.note, pad)
            yield f"{start} {first.lstrip()}"
            yield from rest
        else:
            yield from _with_comment(start, noted.note, pad)
            yield from _block(noted.value, f"{pad}  ")


def _is_block(value: object) -> bool:
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return any(isinstance(v, Noted) or _is_block(v) for v in inner)


def _with_comment(line: str, note: str, pad: str) -> list[str]:
    if not note:
        return [line]
    whole = f"{line}  # {note}"
    return [whole] if len(whole) <= WIDTH else [*_comment(note, pad), line]


def _comment(note: str, pad: str) -> list[str]:
    return textwrap.wrap(note, WIDTH, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ",
                         break_long_words=False, break_on_hyphens=False)


def open_lines(text: str) -> list[OpenLine]:
    """Return the lines of a YAML file that have a ``TODO`` comment or a placeholder."""
    lines = text.splitlines()
    found: dict[int, OpenLine] = {}
    above: list[str] = []
    for number, line in enumerate(lines, 1):
        match = _COMMENT.match(line)
        if match and not line[:match.start("text")].strip(" #"):
            above.append(match["text"])
            continue
        comment = match["text"] if match else " ".join(above)
        if comment.startswith(TODO.strip()):
            found[number] = OpenLine(number, comment.removeprefix(TODO.strip()).strip())
        above = []
    for key, number in _placeholders(yaml.compose(text), ""):
        question = found[number].question if number in found else ""
        found[number] = OpenLine(number, question, key)
    return [found[number] for number in sorted(found)]


def _placeholders(node: yaml.Node | None, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.ScalarNode) and node.value == PLACEHOLDER:
        yield key or PLACEHOLDER, node.start_mark.line + 1
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _placeholders(name, key)
            yield from _placeholders(value, f"{key}.{name.value}".lstrip("."))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _placeholders(value, f"{key}.{index}".lstrip("."))


def refuse_placeholders(path: str | Path) -> None:
    """Refuse a file, which is valid YAML, that has a value still to be filled in.

    Raises:
        InputError: names the line, its question, and the other lines.
    """
    first, *others = [o for o in open_lines(Path(path).read_text(encoding="utf-8-sig"))
                      if o.key] or [None]
    if first is None:
        return
    question = f" ({first.question})" if first.question else ""
    more = f" So are lines {', '.join(str(o.number) for o in others)}." if others else ""
    raise InputError(f"{path}, line {first.number}: '{first.key}' is {PLACEHOLDER}{question}; "
                     f"fill it in.{more}")
