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

"""The share of each fix in the difference between bad and good: alone, and when left out."""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.experiments.ablation.cells import BAD, FIXES, GOOD

# Orders of magnitude for losses, the rate itself for success.
LOSSES = ("max_loss", "final_loss", "held_out_noise_loss")


def fix_shares(cells: Mapping[str, dict]) -> dict:
    """Compare every fix with the way from ``bad`` to ``good``.

    Args:
        cells: per cell what ``summarize_cell`` returns.

    Returns:
        Per measure (logarithm of a loss, success per task) the value of ``bad`` and ``good`` as
        means over seeds, and per fix ``recovered`` = (bad - bad+fix) / (bad - good) and ``lost``
        = (good-fix - good) / (bad - good), each with ``share``, and ``low`` and ``high`` over
        seeds. They need not add up to 1. ``fixes`` is None where the seeds of bad and good
        overlap, and there is no difference to divide.
    """
    measures = {name: {cell: _log_losses(c, name) for cell, c in cells.items()}
                for name in LOSSES}
    for task in cells[GOOD]["success"]:
        measures[f"success {task}"] = {cell: c["success"].get(task, {}).get("seeds", {})
                                       for cell, c in cells.items()}
    return {name: _shares(values) for name, values in measures.items()}


def _log_losses(cell: dict, name: str) -> dict[str, float]:
    """Return the decimal logarithm per seed, of the seeds that have the metric."""
    seeds = cell["figures"].get(name, {}).get("seeds", {})
    return {seed: math.log10(v) for seed, v in seeds.items() if v}


def _shares(values: Mapping[str, dict[str, float]]) -> dict:
    bad, good = values[BAD], values[GOOD]
    result = {"bad": _mean(bad), "good": _mean(good), "fixes": None}
    if not bad or not good or max(min(bad.values()), min(good.values())) <= \
            min(max(bad.values()), max(good.values())):
        return result
    fixes = {}
    for fix in FIXES:
        with_it, without = values.get(f"{BAD}+{fix}"), values.get(f"{GOOD}-{fix}")
        if with_it is not None and without is not None:
            fixes[fix] = {"recovered": _share(bad, with_it, bad, good),
                          "lost": _share(without, good, bad, good)}
    return result | {"fixes": fixes}


def _share(start: dict, end: dict, bad: dict, good: dict) -> dict:
    """Return (start - end) / (bad - good) of the means, and its range over seeds."""
    seeds = [s for s in start if s in end and s in bad and s in good and bad[s] != good[s]]
    if not seeds:
        return {"share": None, "low": None, "high": None}
    single = [(start[s] - end[s]) / (bad[s] - good[s]) for s in seeds]
    over_all = sum(start[s] - end[s] for s in seeds) / sum(bad[s] - good[s] for s in seeds)
    return {"share": over_all, "low": min(single), "high": max(single)}


def _mean(seeds: dict[str, float]) -> float | None:
    return sum(seeds.values()) / len(seeds) if seeds else None
