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

"""The episodes of a folder as a table: outcome, duration, who commanded, and totals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.bags.commander import read_commanders, shares_text
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.tables import markdown_table

UNKNOWN = "unknown"


@dataclass(frozen=True)
class EpisodeRow:
    """An episode in the table.

    Attributes:
        name: of the bag.
        task: its task, or else its instruction; empty if neither was recorded.
        outcome: as recorded; empty if it was not.
        duration_s: from the first message to the last.
        commanders: see ``BagInfo``.
        messages: their number.
        lost: messages that did not reach the recorder or were not written.
    """

    name: str
    task: str
    outcome: str
    duration_s: float
    commanders: dict[str, float]
    messages: int
    lost: int


def episode_row(bag: Bag) -> EpisodeRow:
    """Return the row of a bag; only messages that say who commands are read."""
    custom = bag.custom
    lost = sum(int(v) for k, v in custom.items()
               if k.startswith(("lost ", "dropped ")) and v.isdecimal())
    commanders = read_commanders(bag).commanders.shares(bag.start_ns, bag.end_ns)
    return EpisodeRow(bag.name, custom.get("task") or custom.get("instruction", ""),
                      custom.get("outcome", ""), bag.duration_s, commanders,
                      sum(t.count for t in bag.topics.values()), lost)


def episode_table(folder: Path, rows: Sequence[EpisodeRow], discarded: int) -> str:
    """Return the text of ``tinyvla bag info FOLDER``.

    Args:
        folder: where the episodes are.
        rows: one for each that can be read.
        discarded: number of those that were discarded.
    """
    table = markdown_table(
        ["episode", "task", "outcome", "s", "commander", "messages", "lost"],
        [[r.name, r.task, r.outcome or UNKNOWN, f"{r.duration_s:.1f}",
          shares_text(r.commanders) or UNKNOWN, r.messages, r.lost] for r in rows])
    outcomes = Counter(r.outcome or UNKNOWN for r in rows)
    seconds = sum(r.duration_s for r in rows)
    commanded: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, share in (row.commanders or {UNKNOWN: 1.0}).items():
            commanded[name] += share * row.duration_s
    shares = {n: s / seconds for n, s in sorted(commanded.items(), key=lambda c: -c[1])} \
        if seconds else {}
    lines = [str(folder), *(f"  {line}" for line in table.splitlines()),
             f"  {len(rows)} episodes, {_time(seconds)}: "
             + ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())]
    if shares:
        lines.append(f"  commander: {shares_text(shares)}")
    if discarded:
        lines.append(f"  {discarded} discarded, not in the table")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
