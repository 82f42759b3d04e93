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

"""Which demonstrations a policy was trained with, those of the checkpoint it began with too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path


def lineage(fingerprints: Sequence[str], demonstrations: Mapping[str, int], init: Path | None
            ) -> dict[str, object]:
    """Return the part of ``training.json`` on all data so far.

    Args:
        fingerprints: of this run's datasets.
        demonstrations: instruction -> how many these have.
        init: checkpoint that training begins with, None without one.

    Returns:
        ``all_data`` (fingerprints) and ``all_demonstrations`` (by instruction); both are None
        where the other checkpoint does not tell, or shares a part of its data with this run, so
        that they cannot be counted.
    """
    known = {"all_data": sorted(fingerprints), "all_demonstrations": dict(demonstrations)}
    if init is None:
        return known
    before = _before(init)
    if before is None:
        return dict.fromkeys(known)
    theirs, counts = before
    if theirs <= set(fingerprints):
        return known
    if theirs & set(fingerprints):
        return dict.fromkeys(known)
    return {"all_data": sorted(theirs | set(fingerprints)),
            "all_demonstrations": {name: demonstrations.get(name, 0) + counts.get(name, 0)
                                   for name in (demonstrations | counts)}}


def _before(checkpoint: Path) -> tuple[set[str], dict[str, int]] | None:
    try:
        report = json.loads((checkpoint / "training.json").read_text(encoding="utf-8"))
        if "all_data" in report:
            data, counts = report["all_data"], report["all_demonstrations"]
        elif report["init"] is None:  # written before these entries
            data, counts = [d["fingerprint"] for d in report["data"]], report["demonstrations"]
        else:
            return None
        return None if data is None else (set(data), dict(counts))
    except (OSError, ValueError, KeyError, TypeError):  # imported, older still, or not there
        return None
