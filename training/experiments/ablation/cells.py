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

"""The recipes that an ablation compares: from a bad one to a good one, one fix at a time."""

from __future__ import annotations

from pathlib import Path

from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from training.learning.recipe import Recipe

# A fix is a group of fields that is taken from the other recipe as a whole.
FIXES = {
    "initialization": ("initialization.kind", "initialization.head_scale"),
    "loss": ("optimization.loss_scale_above",),
    "schedule": ("optimization.learning_rate", "optimization.batch_size",
                 "optimization.final_fraction", "optimization.warmup_steps"),
    "clipping": ("optimization.gradient_norm",),
}
# Set by the ablation itself: equal budgets, several seeds.
BUDGET = ("optimization.steps", "seed")
BAD, GOOD, REFERENCE = "bad", "good", "reference"
RUNS = "runs"  # name of the runs in the log, and of the folder that holds them


def make_cells(bad: Recipe, good: Recipe, reference: Recipe | None = None) -> dict[str, Recipe]:
    """Return the recipes to compare, by name.

    ``bad``, ``bad+<fix>`` with one fix taken from ``good``, ``good``, ``good-<fix>`` with one
    left as in ``bad``, and ``reference``. Fixes in which they do not differ are left out.

    Raises:
        InputError: the recipes differ in a field that belongs to no fix, or in none that does.
    """
    bad_fields, good_fields = (_flat(r.model_dump(mode="json")) for r in (bad, good))
    differing = {f for f in bad_fields.keys() | good_fields.keys()
                 if bad_fields.get(f) != good_fields.get(f)} - set(BUDGET)
    foreign = sorted(differing.difference(*FIXES.values()))
    if foreign:
        known = ", ".join(field for fields in FIXES.values() for field in fields)
        raise InputError(f"The recipes differ in {', '.join(foreign)}, which belongs to no fix; "
                         f"make it equal in both, fixes change {known}.")
    fixes = [name for name, fields in FIXES.items() if differing.intersection(fields)]
    if not fixes:
        raise InputError("The recipes do not differ in any fix; give --bad and --good that do.")
    if len(fixes) == 1:  # bad with this fix is good
        fixes = []
    cells = {BAD: bad}
    cells |= {f"{BAD}+{fix}": _with_fix(bad, good, fix) for fix in fixes}
    cells |= {GOOD: good}
    cells |= {f"{GOOD}-{fix}": _with_fix(good, bad, fix) for fix in fixes}
    return cells | ({REFERENCE: reference} if reference else {})


def with_budget(recipe: Recipe, samples: int, seed: int) -> Recipe:
    """Return the recipe for ``samples`` observations.

    Raises:
        InputError: not a whole number of batches.
    """
    steps, rest = divmod(samples, recipe.optimization.batch_size)
    if rest or steps < 1:
        raise InputError(f"Samples is {samples}; give a multiple of every batch size, one is "
                         f"{recipe.optimization.batch_size}.")
    optimization = recipe.optimization.model_copy(update={"steps": steps})
    return recipe.model_copy(update={"optimization": optimization, "seed": seed})


def _with_fix(recipe: Recipe, other: Recipe, fix: str) -> Recipe:
    data, source = recipe.model_dump(mode="json"), other.model_dump(mode="json")
    for field in FIXES[fix]:
        part, name = field.split(".")
        data[part][name] = source[part][name]
    return parse(Recipe, data, f"recipe with the other's {fix}")


def _flat(data: dict, prefix: str = "") -> dict:
    """Return nested dictionaries as one with dotted keys."""
    flat = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def run_path(out: Path, cell: str, seed: int) -> Path:
    """Return the directory of a run."""
    return Path(out) / RUNS / f"{cell}-{seed}"
