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

"""Tables of what came of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from tinyvla_ros.core.intervals import mcnemar, rate_text
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.trial.log import JudgedTrial


def summary(trials: Iterable[JudgedTrial], names: Mapping[str, str]) -> str:
    """Return success with its intervals, and paired tests on the scenes that two share, Markdown.

    A partial success counts as none.

    Args:
        trials: judged ones.
        names: digest of each checkpoint -> what it is called.
    """
    by = {digest: [t for t in trials if t.checkpoint == digest] for digest in names}
    instructions = list(dict.fromkeys(t.instruction for mine in by.values() for t in mine))
    rows = [["success (95 %)", *(rate_text(_successes(mine)) for mine in by.values())]]
    if len(instructions) > 1:
        rows += [[f"- {words}", *(rate_text(_successes(
            [t for t in mine if t.instruction == words])) for mine in by.values())]
            for words in instructions]
    rows += [[kind, *(str(sum(t.outcome == kind for t in mine)) for mine in by.values())]
             for kind in ("success", "partial", "failure")]
    rows.append(["median time, s", *(_median([t.seconds for t in mine])
                                     for mine in by.values())])
    parts = [markdown_table(["", *names.values()], rows)]
    parts += [_paired(by[a], by[b], names[a], names[b]) for a, b in combinations(names, 2)]
    return "\n\n".join(parts)


def _successes(trials: Sequence[JudgedTrial]) -> list[bool]:
    return [t.outcome == "success" for t in trials]


def _median(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = sorted(values)[(len(values) - 1) // 2]
    return f"{middle:.1f}"


def _paired(first: Sequence[JudgedTrial], second: Sequence[JudgedTrial], name: str, other: str
            ) -> str:
    a, b = ({t.scene: t.outcome == "success" for t in trials} for trials in (first, second))
    shared = a.keys() & b.keys()
    only = [sum(x[s] and not y[s] for s in shared) for x, y in ((a, b), (b, a))]
    return (f"On {len(shared)} scenes that both tried only {name} succeeds in {only[0]}, only "
            f"{other} in {only[1]}; McNemar's exact test p = {mcnemar(*only):.3g}.")
