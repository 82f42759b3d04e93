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

"""Write a recipe for data, and check it by what training and the robot will ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.core.commented_yaml import Noted, commented_yaml
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import check_new_file, write_new_file
from training.data.checks.acceptance import check_tables
from training.data.checks.declarations import Wanted
from training.data.turning import read_turning
from training.learning.recipe import Recipe
from training.recipe_writing import choices
from training.recipe_writing.summary import DataSummary, read_data


@dataclass(frozen=True)
class WrittenRecipe:
    """A recipe that was written.

    Attributes:
        recipe: as training reads it.
        notes: sentences about what was left out or may surprise.
    """

    recipe: Recipe
    notes: tuple[str, ...]


def write_recipe(roots: Sequence[Path], out: Path, robot: Path | None = None) -> WrittenRecipe:
    """Write the recipe that suits some datasets and, where one is given, a robot.

    Raises:
        InputError: ``out`` exists, the data cannot be read or do not fit each other, what
            training would refuse, or a robot on which the policy could not run.
    """
    check_new_file(out)
    contract = RobotContract.load(robot) if robot else None
    data = read_data(roots, contract)
    tree, notes = recipe_tree(data, contract)
    text = commented_yaml(tree, _head(roots, robot))
    recipe = parse(Recipe, yaml.safe_load(text), f"The recipe for {roots[0]}")
    notes += _check_data(data, recipe)
    if contract is not None:
        notes += _check_robot(data, recipe, contract, robot)
    write_new_file(out, text)
    return WrittenRecipe(Recipe.load(out), tuple(dict.fromkeys(notes)))


def recipe_tree(data: DataSummary, contract: RobotContract | None) -> tuple[dict, list[str]]:
    """Return the content of a recipe with its comments, and sentences about what was left out.

    Raises:
        InputError: see ``choices``.
    """
    cameras, without = choices.cameras(data, contract)
    state, left = choices.states(data, contract)
    action, surprises = choices.actions(data, contract, [s.value for s in state])
    rows, each, dt = (action[n].value for n in ("horizon", "n_action_steps", "dt"))
    why_less = f"{len(left)} left out, see below" if left else ""
    tree = {"cameras": cameras, "state": Noted(state, why_less), "action": action,
            "model": choices.model(data, contract, rows, each, dt),
            "language": choices.language(data), "diffusion": choices.diffusion(),
            "optimization": choices.optimization(data, action.get("relative", {})),
            "seed": Noted(0, "default: of the weights, the batches and the noise")}
    return tree, [*data.notes, *without, *left, *surprises]


def _head(roots: Sequence[Path], robot: Path | None) -> list[str]:
    sources = " ".join(str(r) for r in roots) + (f" --robot {robot}" if robot else "")
    return [f"Written by: tinyvla recipe --from {sources}",
            "Behind each value: whether it comes from the data, from the robot contract or is a "
            "default,", "that of config/train/default.yaml. docs/reference.md explains every "
            "field."]


def _check_data(data: DataSummary, recipe: Recipe) -> list[str]:
    """Ask what training asks; return the warnings.

    Raises:
        InputError: the first error.
    """
    wanted, notes = Wanted(recipe.cameras, recipe.state, recipe.action), []
    for tables in data.tables:
        for finding in check_tables(tables, wanted).findings:
            if finding.error:
                raise InputError(f"{tables.root}: {finding.text}")
            notes.append(f"{tables.root}: {finding.text}")
    return notes


def _check_robot(data: DataSummary, recipe: Recipe, contract: RobotContract, robot: Path
                 ) -> list[str]:
    """Ask what a robot asks of the checkpoint; return what may surprise."""
    turning = read_turning(data.tables[0].info["features"], recipe.state, recipe.action)
    config = recipe.policy_config(data.tasks, turning)
    try:
        return [f"{robot}: {note}" for note in check_contract(contract, config)]
    except InputError as err:
        raise InputError(f"A policy of these data would not run with {robot}: {err}") from None
