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

"""Whether a new checkpoint is better than the one it was made of, on the same episodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sim_bridge.results.comparison import compare
from sim_bridge.results.saved import SavedResults
from tinyvla_ros.core.intervals import mcnemar

# A smaller p says that so lopsided a result is no chance.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Judgment:
    """What two evaluations say.

    Attributes:
        table: both side by side, Markdown.
        gained: episodes that succeed only after.
        lost: those that succeeded only before.
        p: of McNemar's exact test on them.
        worse: tasks that became significantly worse.
    """

    table: str
    gained: int
    lost: int
    p: float
    worse: tuple[str, ...]

    @property
    def is_better(self) -> bool:
        """Whether more episodes succeed, and no task lost for certain."""
        return self.gained > self.lost and not self.worse

    @property
    def sentence(self) -> str:
        """Return the verdict in words."""
        counts = f"{self.gained} episodes gained, {self.lost} lost, p = {self.p:.3g}"
        if self.worse:
            return f"Not better: {', '.join(self.worse)} became worse ({counts})."
        if not self.is_better:
            return f"Not better: {counts}."
        if self.p < SIGNIFICANT:
            return f"Better: {counts}."
        return (f"Better in these episodes, which may be chance ({counts}); more --episodes would "
                "tell.")


def judge(before: Path, after: Path) -> Judgment:
    """Compare two evaluations of the same episodes.

    Raises:
        InputError: they cannot be read, or are not of one protocol.
    """
    old, new = SavedResults.read(before), SavedResults.read(after)
    gained, lost = _changed(old, new, old.tasks)
    worse = []
    for task in old.tasks:
        up, down = _changed(old, new, [task])
        if down > up and mcnemar(up, down) < SIGNIFICANT:
            worse.append(task)
    # The new one has seen more, that is the point.
    table = compare([old, new], ["demonstrations"])
    return Judgment(table, gained, lost, mcnemar(gained, lost), tuple(worse))


def _changed(old: SavedResults, new: SavedResults, tasks: Iterable[str]) -> tuple[int, int]:
    """Return how many episodes succeed only after, and only before."""
    tasks = set(tasks)
    shared = [e for e in old.outcomes.keys() & new.outcomes.keys() if e[0] in tasks]
    return (sum(new.outcomes[e] and not old.outcomes[e] for e in shared),
            sum(old.outcomes[e] and not new.outcomes[e] for e in shared))
