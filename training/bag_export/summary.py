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

"""What is said about bags that were exported, left out or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from training.bag_export.episode import BagOutcome


def difference(bag: Path, about: dict, first: dict) -> str:
    """Return why an episode cannot be in a dataset with the first one."""
    for name in {**first["features"], **about["features"]}:
        feature, other = (d["features"].get(name, {}) for d in (first, about))
        if other != feature:
            what = next(k for k in {**feature, **other} if feature.get(k) != other.get(k))
            advice = ", or name the --states that both have" if name.endswith("state") else ""
            return (f"{bag}: {what} of {name} is {_listed(other.get(what))}, that of "
                    f"{first['bag']['bag']} {_listed(feature.get(what))}; export them to datasets "
                    f"of their own{advice}.")
    return (f"{bag}: its actions come from {about['source']} at {about['bag']['control_period_s']}"
            f" s, those of {first['bag']['bag']} from {first['source']} at "
            f"{first['bag']['control_period_s']} s; export them to datasets of their own.")


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else \
        "not there" if value is None else str(value)


def summary(outcomes: Sequence[BagOutcome], foreign: list[Path], discarded: list[Path],
            mixture: str) -> list[str]:
    """Return a line about every bag of which something is to be said, and about all of them.

    Args:
        outcomes: what became of each bag.
        foreign: files that are no bags.
        discarded: bags that were discarded and are not named.
        mixture: a sentence about who commanded.
    """
    lines = []
    for outcome in outcomes:
        if outcome.refused:
            lines.append(f"refused: {outcome.text}")
        elif outcome.place is None:
            lines.append(f"left out: {outcome.bag}: {outcome.text}")
        elif outcome.text:
            lines.append(f"note: {outcome.bag}: {outcome.text}")
    if foreign:
        names = ", ".join(str(f) for f in foreign[:3])
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        lines.append(f"passed over, no bags: {names}{more}")
    kinds = Counter(o.kind for o in outcomes if o.kind)
    if discarded:
        kinds["discarded"] += len(discarded)
    if kinds:
        counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        lines.append(f"left out {kinds.total()} of {len(outcomes) + len(discarded)} bags: "
                     f"{counts}")
    if mixture:
        lines.append(mixture)
    return lines
