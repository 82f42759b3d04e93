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

"""The states of a bag as series of stamped values."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError, unknown

WAY_OUT = "; leave this bag out, or name the --states to store."
# Stamp (ns) and values by name of a message.
_Row = tuple[int, Mapping[str, float]]


@dataclass(frozen=True)
class Series:
    """Something measured again and again.

    Attributes:
        name: of the topic, with the joint where it has several; for messages.
        stamps: (n,) int64 ns, ascending, none twice.
        values: (n,) float64; for cameras int64, the place of the message on its topic.
    """

    name: str
    stamps: np.ndarray
    values: np.ndarray


def series(path: Path, name: str, stamps: Sequence[int], values: Sequence[float]) -> Series:
    """Return a series of one topic of a bag.

    Raises:
        InputError: it is empty, or its stamps go back.
    """
    stamps = np.array(stamps, np.int64)
    if not len(stamps):
        raise InputError(f"{path}: nothing was recorded on {name}; leave this bag out.")
    steps = np.diff(stamps)
    if (steps < 0).any():
        at = int(np.argmax(steps < 0))
        raise InputError(f"{path}: the stamps of {name} go back by {-steps[at] / 1e9:.3f} s "
                         f"after {stamps[at] / 1e9:.3f} s, as when a simulation starts again or "
                         "two publishers send; split or leave out this bag.")
    # Of messages with the same stamp the last one counts, as in ``stamp_matching``.
    last = np.append(steps > 0, True)
    return Series(name, stamps[last], np.array(values)[last])


@dataclass(frozen=True)
class States:
    """Which states a dataset has.

    Attributes:
        only: these, in this order, and no others are looked at; empty for all that were recorded.
        required: a bag without these is refused.
        named: of the robot contract. A bag in which one of these is not finite is refused; any
            other is left out.
    """

    only: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """States that cannot be left out."""
        return frozenset(self.only) or self.named.union(self.required)


def find_states(path: Path, topics: Mapping[str, Sequence[_Row]], label: Callable[[str], str],
                states: States) -> tuple[dict[str, Series], list[str]]:
    """Return the states of a bag, and what was left out and why, a few words each.

    Args:
        path: of the bag, for messages.
        topics: topic -> its messages, each with some of the states.
        label: returns what messages call a state.
        states: which are wanted.

    Raises:
        InputError: a topic has no values at all, or stamps that go back; a state comes in
            messages with different others; one that is needed is not finite or missing.
    """
    found: dict[str, Series] = {}
    notes: list[str] = []
    known: dict[str, None] = {}
    for topic, rows in topics.items():
        recorded = dict.fromkeys(name for _, row in rows for name in row)
        if not recorded:
            what = f"none of the {len(rows)} messages on {topic} has a position, or anything " \
                "else that the robot contract names" if rows else \
                f"nothing was recorded on {topic}"
            raise InputError(f"{path}: {what}; leave this bag out.")
        known |= recorded
        if states.only:
            rows = [(t, {n: v for n, v in row.items() if n in states.only}) for t, row in rows]
        for name, result in _topic_states(path, topic, rows, label).items():
            if isinstance(result, Series):
                found[name] = result
            elif name in states.needed:
                raise InputError(f"{path}: {result}{WAY_OUT}")
            else:
                notes.append(f"without state {name!r}, because {result}")
    for name in (*states.only, *states.required):
        if name not in found:
            raise InputError(f"{path}: {unknown('state', name, known)}")
    notes += [f"without state {n!r}, which the robot contract names and no message has"
              for n in sorted(states.named.difference(known)) if not states.only]
    return {n: found[n] for n in states.only or found}, notes


def _topic_states(path: Path, topic: str, rows: Sequence[_Row], label: Callable[[str], str]
                  ) -> dict[str, Series | str]:
    """Return the series of every state of a topic, or why it cannot be stored.

    Messages with the same names are one series, in whatever order they name them. Messages
    without any, such as those with velocities alone, are passed over.
    """
    groups = defaultdict(list)
    for stamp, row in rows:
        if row:
            groups[frozenset(row)].append((stamp, row))
    several = Counter(name for names in groups for name in names)
    result: dict[str, Series | str] = {}
    for group in sorted(groups.values(), key=lambda rows: list(rows[0][1])):
        times = [stamp for stamp, _ in group]
        for name in group[0][1]:
            joint, values = label(name), [row[name] for _, row in group]
            if several[name] > 1:
                # The policy node prefers the message with more of its own joints, and which
                # those are is not known here.
                raise InputError(f"{path}: joint {joint!r} comes in different messages of "
                                 f"{topic}; let one publisher send it, always with the same "
                                 "others, or name the --states to store.")
            result[name] = _not_finite(topic, joint, times, values) or \
                series(path, f"{topic} ({joint})", times, values)
    return result


def _not_finite(topic: str, joint: str, times: list[int], values: list[float]) -> str:
    """Return what is not finite, empty if all is."""
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(np.float32(values))  # as they are stored
    if not wrong.any():
        return ""
    at = int(np.argmax(wrong))
    twice = " or named twice" if np.isnan(values[at]) else ""
    return (f"{joint!r} of {topic} is {values[at]}{twice} at {times[at] / 1e9:.3f} s, and not "
            f"finite in {wrong.sum()} of {len(values)} messages")
