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

"""Names, rate, limits and tasks, which LeRobot keeps in the dataset and not in config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError

INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.jsonl"


@dataclass(frozen=True)
class DatasetFacts:
    """What is used of a LeRobotDataset; None or empty where it is missing.

    Attributes:
        fps: frames per second.
        names: feature -> name of every entry.
        limits: feature -> smallest and largest value of every entry.
        tasks: instructions.
    """

    fps: float | None = None
    names: dict[str, tuple[str, ...]] | None = None
    limits: dict[str, tuple[list[float], list[float]]] | None = None
    tasks: tuple[str, ...] = ()


def read_dataset(root: str | Path) -> DatasetFacts:
    """Read the metadata of a LeRobotDataset directory, v2.0 to v3.0.

    Raises:
        InputError: there is none, or it is damaged.
    """
    root = Path(root)
    info = read_json(root / INFO)
    if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
        raise InputError(f"{root / INFO} has no features; give the root of a LeRobotDataset.")
    names = {}
    for feature, value in info["features"].items():
        found = _flat(value.get("names") if isinstance(value, dict) else None)
        if found:
            names[feature] = found
    fps = info.get("fps")
    return DatasetFacts(float(fps) if isinstance(fps, (int, float)) and fps > 0 else None, names,
                        _limits(root / STATS), _tasks(root))


def _flat(names: object) -> tuple[str, ...]:
    """Names come as a list, or as a mapping that groups lists, as in ``{"motors": [...]}``."""
    if isinstance(names, dict):
        groups = names.values()
        if all(isinstance(group, int) for group in groups):  # name -> column
            return tuple(sorted(names, key=names.get))
        return tuple(name for group in groups for name in _flat(group))
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()


def _limits(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    if not path.is_file():
        return {}
    stats = read_json(path)
    return {feature: (value["min"], value["max"]) for feature, value in stats.items()
            if isinstance(value, dict) and {"min", "max"} <= value.keys()}


def _tasks(root: Path) -> tuple[str, ...]:
    path = root / TASKS
    if path.is_file():
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            return tuple(dict.fromkeys(str(row["task"]) for row in rows))
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged; give --instruction TEXT.") from None
    path = root / "meta" / "tasks.parquet"
    if not path.is_file():
        return ()
    import pyarrow
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pyarrow.ArrowException, OSError):
        raise InputError(f"{path} is damaged; give --instruction TEXT.") from None
    # pandas' index: LeRobot names it "task" or not at all.
    column = next((c for c in ("task", "__index_level_0__") if c in table.column_names), None)
    return () if column is None else tuple(dict.fromkeys(map(str, table[column].to_pylist())))


def choose_names(what: str, given: tuple[str, ...], dataset: DatasetFacts, feature: str,
                 size: int) -> tuple[str, ...]:
    """Return the names of a vector's entries, from the command line or the dataset.

    Args:
        what: ``state`` or ``action``, as in the option.
        given: names from the command line; empty for those of the dataset.
        dataset: what is known of the dataset.
        feature: name of the vector in the dataset.
        size: number of its entries.

    Raises:
        InputError: there are no names, or not ``size`` different ones.
    """
    if given:
        names = given
        source = f"--{what}-names"
    else:
        names = (dataset.names or {}).get(feature, ())
        source = f"the dataset's {feature}"
        if not names:
            raise InputError(f"LeRobot's config.json does not name the {size} entries of "
                             f"{feature}; give --dataset DIR with names, or --{what}-names "
                             "A,B,...")
    if len(names) != size:
        raise InputError(f"{source} has {len(names)} names, {', '.join(names)}; the policy's "
                         f"{feature} has {size} entries, name each of them.")
    if len(set(names)) != len(names) or not all(names):
        raise InputError(f"{source} is {', '.join(names)}; give each name once in "
                         f"--{what}-names A,B,...")
    return names
