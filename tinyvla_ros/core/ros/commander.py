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

"""Who commands an arm: what nodes say on their ``commander`` topics.

Every node that commands an arm publishes a latched std_msgs/String on its own topic
``~/commander``: its word, ``human`` or ``policy``, before the first command, and an empty text
when the last one no longer applies. A topic has one publisher, so that a message says who claims
and who no longer does. Nothing here imports ROS.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# The last part of the topic's name.
COMMANDER = "commander"
HUMAN, POLICY = "human", "policy"
# What is said of a moment that no node claims, and of one that nodes with several words claim.
NOBODY, SEVERAL = "nobody", "several"


def is_commander_topic(topic: str) -> bool:
    """Return whether a topic is one on which a node says that it commands."""
    return topic.rpartition("/")[2] == COMMANDER


@dataclass(frozen=True)
class Commanders:
    """Who commanded, over time.

    Attributes:
        times: (n,) int64 ns, ascending, from which each name counts; the first one also before.
        names: (n,) ``human``, ``policy`` or another node's word, ``nobody``, ``several``. Empty
            if it is not known who commanded.
    """

    times: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def always(cls, name: str) -> Commanders:
        """Return one who commanded all the time."""
        return cls(np.zeros(1, np.int64), (name,))

    @classmethod
    def unknown(cls) -> Commanders:
        """Return that nothing is known."""
        return cls(np.empty(0, np.int64), ())

    @classmethod
    def of(cls, claims: Mapping[str, Sequence[tuple[int, str]]]) -> Commanders:
        """Return who commanded by (time in ns, text) of every message of each topic, in order."""
        changes = [(at_ns, topic, text) for topic, said in claims.items() for at_ns, text in said]
        times, names = [0], [NOBODY]
        active: dict[str, str] = {}
        for at_ns, topic, text in sorted(changes, key=lambda c: c[0]):
            active[topic] = text.strip()
            times.append(at_ns)
            names.append(_one_of({word for word in active.values() if word}))
        return cls(np.array(times, np.int64), tuple(names))

    def shifted(self, times: np.ndarray) -> Commanders:
        """Return the same with other times, (n,) int64 ns, ascending."""
        return Commanders(times, self.names)

    def at(self, times: np.ndarray) -> np.ndarray:
        """Return the names at times in ns, an array of text of the same shape.

        It must be known who commanded.
        """
        index = np.searchsorted(self.times, times, "right") - 1
        return np.array(self.names)[np.maximum(index, 0)]

    def shares(self, start_ns: int, end_ns: int) -> dict[str, float]:
        """Return the share of the time of each name, the largest first; empty if not known."""
        if not self.names:
            return {}
        ends = np.clip(np.append(self.times[1:], end_ns), start_ns, end_ns)
        begins = np.clip(self.times, start_ns, end_ns)
        begins[0] = start_ns
        lasted = dict.fromkeys(self.names, 0.0)
        for name, begin, end in zip(self.names, begins, ends, strict=True):
            lasted[name] += float(end - begin)
        whole = sum(lasted.values())
        if not whole:
            return {self.names[-1]: 1.0}
        return {n: lasted[n] / whole for n in sorted(lasted, key=lambda n: -lasted[n])
                if lasted[n]}


def _one_of(words: Collection[str]) -> str:
    if not words:
        return NOBODY
    return next(iter(words)) if len(words) == 1 else SEVERAL
