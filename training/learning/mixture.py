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

"""Several datasets as one, mixed by weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.language_config import fold
from training.data.consistency import Finding
from training.data.dataset import Demonstrations, load_demonstrations
from training.data.lerobot.reader import read_info
from training.learning.recipe import Recipe


class ConcatenatedRows:
    """The rows of several arrays as if they were one; nothing is copied until it is read."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(a) for a in arrays)])
        self.shape = (int(self._starts[-1]), *arrays[0].shape[1:])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return rows by number, (N,) int64."""
        out = np.empty((len(rows), *self.shape[1:]), self._arrays[0].dtype)
        owner = np.searchsorted(self._starts, rows, "right") - 1
        for i, array in enumerate(self._arrays):
            mine = owner == i
            if mine.any():
                out[mine] = array[rows[mine] - self._starts[i]]
        return out


@dataclass(frozen=True)
class Mixture(Demonstrations):
    """Demonstrations of several datasets.

    Attributes:
        group: (frames,) int64: which pair of dataset and task a frame belongs to.
        group_weights: share of a batch per group, relative.
    """

    group: np.ndarray | None = None
    group_weights: tuple[float, ...] = ()


def parse_sources(arguments: Sequence[str]) -> list[tuple[Path, float]]:
    """Read ``DIRECTORY`` or ``DIRECTORY=WEIGHT`` arguments; the weight is 1 where none is given.

    Raises:
        InputError: a weight that is no positive number, or a directory given twice.
    """
    sources = []
    for argument in arguments:
        path, text = argument, "1"
        if "=" in argument and not Path(argument).exists():
            path, _, text = argument.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = -1.0
        if not 0.0 < weight < float("inf"):
            raise InputError(f"Data {argument!r} has the weight {text!r}; give "
                             "DIRECTORY=WEIGHT with a positive number.")
        sources.append((Path(path), weight))
    paths = [path.resolve() for path, _ in sources]
    if len(set(paths)) != len(paths):
        raise InputError(f"Data {' '.join(arguments)} names a directory twice; give it once, with "
                         "the sum of the weights.")
    return sources


def load_mixture(sources: Sequence[tuple[Path, float]], recipe: Recipe,
                 cache: Path | None = None) -> Mixture:
    """Load datasets and concatenate them; tasks with the same words are one task.

    A batch draws a dataset by weight, then one of its tasks evenly, then a frame evenly.

    Args:
        sources: directories and weights.
        recipe: names the features that are needed.
        cache: see ``load_demonstrations``.

    Raises:
        InputError: see ``load_demonstrations``; also, rows of different numbers of actions.
    """
    parts = [load_demonstrations(root, recipe.cameras, recipe.state, recipe.action, cache)
             for root, _ in sources]
    robots = [f"{part.root} of {read_info(part.root).get('robot_type')!r}" for part in parts]
    if len({robot.rsplit(" of ", 1)[1] for robot in robots}) > 1:
        parts[0] = replace(parts[0], notes=(*parts[0].notes, Finding(
            "robots", f"The datasets are of several robots ({', '.join(robots)}), and one policy "
            "gets them all; make sure that names and units mean the same.", error=False)))
    steps = {p.actions.shape[1] for p in parts}
    if len(steps) > 1:
        raise InputError(f"The datasets have {sorted(steps)} actions per frame; mix only "
                         "datasets that were recorded at the same rate.")
    for part in parts:
        if part.turning != parts[0].turning:
            raise InputError(f"{parts[0].root} and {part.root} note other joints that turn "
                             "without end ('continuous' in meta/info.json); export both with one "
                             "robot contract.")
    return concatenate(parts, [weight for _, weight in sources])


def concatenate(parts: Sequence[Demonstrations], weights: Sequence[float]) -> Mixture:
    """Concatenate loaded datasets; see ``load_mixture``."""
    # As a policy compares them; the first spelling stays.
    spelling: dict[str, str] = {}
    for task in (task for part in parts for task in part.tasks):
        spelling.setdefault(fold(task), task)
    tasks = tuple(spelling.values())
    indices, groups, group_weights, starts, ends = [], [], [], [], []
    frames = 0
    for part, weight in zip(parts, weights, strict=True):
        table = np.array([tasks.index(spelling[fold(task)]) for task in part.tasks])
        used = np.unique(part.task_index)
        groups.append(np.searchsorted(used, part.task_index) + len(group_weights))
        group_weights += [weight / len(used)] * len(used)
        indices.append(table[part.task_index])
        starts.append(part.starts + frames)
        ends.append(part.ends + frames)
        frames += len(part.states)
    images = parts[0].images if len(parts) == 1 else ConcatenatedRows([p.images for p in parts])
    return Mixture(
        root=parts[0].root, tasks=tasks, images=images,
        states=np.concatenate([p.states for p in parts]),
        actions=np.concatenate([p.actions for p in parts]),
        executed=np.concatenate([p.executed for p in parts]),
        plans=_plans(parts),
        task_index=np.concatenate(indices), starts=np.concatenate(starts),
        ends=np.concatenate(ends), fingerprint="+".join(p.fingerprint for p in parts),
        notes=tuple(note for p in parts for note in p.notes), turning=parts[0].turning,
        group=np.concatenate(groups), group_weights=tuple(group_weights))


def _plans(parts: Sequence[Demonstrations]) -> np.ndarray | None:
    shape = next((p.plans.shape[1:] for p in parts if p.plans is not None), None)
    return None if shape is None else np.concatenate([
        np.full((len(p.states), *shape), np.nan, np.float32) if p.plans is None else p.plans
        for p in parts])
