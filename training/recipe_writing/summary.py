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

"""What a recipe must know of datasets: cameras, states, actions, times and tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.angles import turn_of
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.language_config import fold
from training.data.checks.names import (
    channel_candidates,
    channel_of,
    numeric_feature,
    state_columns,
    step_columns,
)
from training.data.consistency import table_findings
from training.data.lerobot.format import EXPERT_PLAN, value_names
from training.data.lerobot.reader import Tables, read_tables
from training.data.turning import noted_turns
from training.recipe_writing.cameras import Camera, common_cameras
from training.recipe_writing.values import Values, describe_values


@dataclass(frozen=True)
class DataSummary:
    """What datasets have in common.

    Attributes:
        tables: of each dataset.
        cameras: camera name -> what its images are, of cameras that hold pictures.
        states: state name -> its values, in the order of the data.
        channels: action channel -> its values.
        units: action channel -> its unit, where the data state it.
        turns: state -> one turn, where the data note that it turns without end.
        turning: action channel -> the state that measures it, likewise.
        steps: control steps of a row.
        plan_rows: control steps of an expert's plan, 0 without plans.
        notes: sentences about what was left out.
    """

    tables: tuple[Tables, ...]
    cameras: dict[str, Camera]
    states: dict[str, Values]
    channels: dict[str, Values]
    units: dict[str, str]
    turns: dict[str, float]
    turning: dict[str, str]
    steps: int
    plan_rows: int
    notes: tuple[str, ...]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.tables[0].info["fps"]

    @property
    def frames(self) -> int:
        """Frames of all datasets."""
        return sum(t.frames for t in self.tables)

    @property
    def lengths(self) -> np.ndarray:
        """(episodes,) frames of every episode."""
        return np.concatenate([t.episodes.length for t in self.tables])

    @property
    def tasks(self) -> tuple[str, ...]:
        """All instructions, each once, as training takes them."""
        spelling: dict[str, str] = {}
        for task in (task for t in self.tables for task in t.tasks):
            spelling.setdefault(fold(task), task)
        return tuple(spelling.values())


def read_data(roots: Sequence[Path], contract: RobotContract | None) -> DataSummary:
    """Read what a recipe must know.

    Args:
        roots: LeRobotDataset directories.
        contract: names the action channels; None to take them from the data.

    Raises:
        InputError: a directory is no dataset or broken, or two of them do not fit each other.
    """
    tables = tuple(map(read_tables, roots))
    for t in tables:
        for finding in table_findings(t):
            if finding.error:
                raise InputError(f"{t.root}: {finding.text}")
    _agree(tables, "frames per second", [t.info["fps"] for t in tables])
    channels = _channels(tables, contract)
    columns = [_columns(t, channels, contract) for t in tables]
    _agree(tables, "control steps per frame", [len(c) for c in columns])
    notes: list[str] = []
    names = _state_names(tables, notes)
    for t in tables:
        others = [n for n in value_names(t.info["features"]["action"]) or []
                  if channel_of(n, channels) is None]
        if others:
            notes.append(f"{t.root}: the actions {', '.join(others)} are left out, the contract "
                         "has no such channels.")
    turns, turning = _turning(tables)
    actions = {c: describe_values([t.column("action")[:, place[:, i]]
                           for t, place in zip(tables, columns, strict=True)])
               for i, c in enumerate(channels)}
    return DataSummary(
        tables, common_cameras(tables, notes), _states(tables, names), actions,
        _units(tables, channels), turns, turning, len(columns[0]), _plan_rows(tables, channels),
        tuple(notes))


@contextmanager
def _about(root: Path) -> Iterator[None]:
    """Name the dataset in an error that does not."""
    try:
        yield
    except InputError as err:
        text = str(err)
        raise InputError(text if str(root) in text else f"{root}: {text}") from None


def _agree(tables: Sequence[Tables], what: str, values: Sequence[object]) -> None:
    for t, value in zip(tables, values, strict=True):
        if value != values[0]:
            raise InputError(f"{tables[0].root} has {_text(values[0])} {what} and {t.root} has "
                             f"{_text(value)}; write a recipe for each, or record both alike.")


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _channels(tables: Sequence[Tables], contract: RobotContract | None) -> list[str]:
    """Return the action channels: the contract's, or those that the names tell."""
    if contract is not None:
        return list(contract.actions)
    found = []
    for t in tables:
        features = t.info["features"]
        with _about(t.root):
            feature = numeric_feature(features, "action")
            known = value_names(features.get("observation.state", {"shape": []})) or []
            error = InputError(
                f"'action' has shape {feature['shape']} and the names {feature.get('names')!r}, "
                "which do not name its values; name every value in meta/info.json, those of "
                "several steps like 'dx.0', 'dx.1', or give --robot.")
            for candidate in channel_candidates(feature, known):
                try:
                    step_columns(feature, candidate)
                except InputError as err:
                    error = err
                    continue
                found.append(candidate)
                break
            else:
                raise error
    for t, names in zip(tables, found, strict=True):
        if set(names) != set(found[0]):
            raise InputError(f"{tables[0].root} has the actions {', '.join(found[0])} and "
                             f"{t.root} has {', '.join(names)}; write a recipe for each, or "
                             "name them alike in meta/info.json.")
    return found[0]


def _columns(tables: Tables, channels: Sequence[str], contract: RobotContract | None
             ) -> np.ndarray:
    with _about(tables.root):
        feature = numeric_feature(tables.info["features"], "action")
        try:
            return step_columns(feature, channels)
        except InputError as err:
            if contract is None:
                raise
            text = str(err).removesuffix(" Correct action.channels of the configuration, or the "
                                         "names in meta/info.json.")
            raise InputError(f"The robot contract {contract.name!r} does not fit the actions: "
                             f"{text} Give the contract of the robot that was recorded, or "
                             "correct the names in meta/info.json.") from None


def _state_names(tables: Sequence[Tables], notes: list[str]) -> list[str]:
    """Return the states that every dataset has, each once."""
    per_dataset = []
    for t in tables:
        with _about(t.root):
            state_columns(t.info["features"], ())
        names = value_names(t.info["features"]["observation.state"])
        twice = [n for n in dict.fromkeys(names) if names.count(n) > 1]
        notes += [f"{t.root}: the state {n} is left out, 'observation.state' names it "
                  f"{names.count(n)} times." for n in twice]
        per_dataset.append([n for n in names if n not in twice])
    common = [n for n in per_dataset[0] if all(n in names for names in per_dataset)]
    for t, names in zip(tables, per_dataset, strict=True):
        notes += [f"{t.root}: the state {n} is left out, not every dataset has it."
                  for n in names if n not in common]
    if not common:
        raise InputError(f"{' and '.join(str(t.root) for t in tables)} have no state in common "
                         f"({'; '.join(', '.join(n) for n in per_dataset)}); write a recipe for "
                         "each, or name the states alike in meta/info.json.")
    return common


def _states(tables: Sequence[Tables], names: Sequence[str]) -> dict[str, Values]:
    columns = []
    for t in tables:
        with _about(t.root):
            columns.append(t.column("observation.state")[
                :, state_columns(t.info["features"], names)])
    return {n: describe_values([c[:, i] for c in columns]) for i, n in enumerate(names)}


def _units(tables: Sequence[Tables], channels: Collection[str]) -> dict[str, str]:
    """Return the units that the first dataset states of its actions, or notes by a turn."""
    feature = tables[0].info["features"]["action"]
    names, units = value_names(feature) or [], feature.get("units", feature.get("unit"))
    units = [units] * len(names) if isinstance(units, str) else units
    stated = dict(zip(names, units, strict=True)) \
        if isinstance(units, list) and len(units) == len(names) else {}
    found = {c: stated.get(c, stated.get(f"{c}.0")) for c in channels}
    for channel, turn in noted_turns(tables[0].info["features"], "action").items():
        unit = next((u for u in ("rad", "deg") if abs(turn_of(u) - turn) < 0.01 * turn), None)
        found[channel] = found.get(channel) or unit
    return {c: str(u) for c, u in found.items() if u}


def _turning(tables: Sequence[Tables]) -> tuple[dict[str, float], dict[str, str]]:
    """Return what the datasets note of joints that turn without end."""
    noted = []
    for t in tables:
        with _about(t.root):
            features = t.info["features"]
            noted_turns(features, "action")
            states = noted_turns(features, "observation.state")
            note = features["action"].get("continuous", {})
            noted.append((states, {n: n for n in note} if isinstance(note, list) else note))
    for t, found in zip(tables, noted, strict=True):
        if found != noted[0]:
            raise InputError(f"{tables[0].root} and {t.root} note other joints that turn without "
                             "end ('continuous' in meta/info.json); note the same in both.")
    return noted[0]


def _plan_rows(tables: Sequence[Tables], channels: Sequence[str]) -> int:
    """Return the control steps of the shortest plans, 0 if no dataset has any."""
    rows = []
    for t in tables:
        if EXPERT_PLAN in t.info["features"]:
            with _about(t.root):
                rows.append(len(step_columns(t.info["features"][EXPERT_PLAN], channels)))
    return min(rows, default=0)
