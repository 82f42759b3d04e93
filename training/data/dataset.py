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

"""Open a LeRobotDataset v3.0 directory for training: the features a policy wants, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from training.data.checks.acceptance import check_tables
from training.data.checks.declarations import Wanted
from training.data.checks.names import action_columns, plan_columns, state_columns
from training.data.consistency import Finding
from training.data.fingerprint import fingerprint
from training.data.image_cache import cached_images
from training.data.lerobot.format import (
    EXECUTED_ACTION,
    EXPERT_PLAN,
    camera_features,
    image_size,
)
from training.data.lerobot.reader import Tables, read_tables
from training.data.stored_images import remaining_transform
from training.data.turning import Turning, read_turning, turn_actions, turn_states


@dataclass(frozen=True)
class Demonstrations:
    """All frames of a dataset, ready for training.

    Attributes:
        root: the dataset directory.
        tasks: instructions; ``task_index`` points here.
        images: (frames, cameras, height, width, 3) uint8, memory-mapped.
        states: (frames, state) float32.
        actions: (frames, k, channels) float32: the k control steps of each frame.
        executed: likewise, what the arm did where that was recorded beside what it should have
            done (feature ``executed_action``); else the same as ``actions``.
        plans: (frames, horizon, channels) float32: the chunk to learn from each frame, where the
            data have the expert's plan (feature ``expert_plan``). None, or NaN for the frames of
            a dataset without, where it is the actions that follow.
        task_index: (frames,) int64.
        starts: (episodes,) int64, first frame of every episode.
        ends: (episodes,) int64, one past the last frame.
        fingerprint: equal for equal data (``training.data.fingerprint``).
        notes: warnings about the data, with the name of the dataset.
        turning: joints that turn without end; ``states`` are then within half a turn.
    """

    root: Path
    tasks: tuple[str, ...]
    images: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    executed: np.ndarray
    task_index: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    fingerprint: str = ""
    notes: tuple[Finding, ...] = ()
    turning: Turning = field(default_factory=Turning)
    plans: np.ndarray | None = None

    def chunk(self, frame: int, horizon: int, end: int
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the actions that follow a frame within its episode.

        Args:
            frame: frame of the observation.
            horizon: number of control steps.
            end: one past the last frame of its episode.

        Returns:
            (horizon, channels) actions, the last one repeated past the end of the episode;
            (horizon, channels) executed ones likewise; and (horizon,) float32 with 0 there. A
            plan goes on past that end, and executed are its own.
        """
        if self._is_planned(frame):
            plan = self.turning.from_state(self.plans[frame][:horizon], self.states[frame])
            return plan, plan, np.ones(horizon, np.float32)
        k, channels = self.actions.shape[1:]
        last = min(end, frame + -(-horizon // k))
        count = min((last - frame) * k, horizon)
        valid = np.zeros(horizon, np.float32)
        valid[:count] = 1.0
        rows = np.minimum(np.arange(horizon), count - 1)
        actions, executed = (
            self.turning.from_state(a[frame:last].reshape(-1, channels)[rows], self.states[frame])
            for a in (self.actions, self.executed))
        return actions, executed, valid

    def chunk_rows(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the actions of all chunks as the network has them, a frame's rows at a time.

        The number of the first row, and (frames, rows, channels): at least once every action, and
        if actions depend on the state where a chunk begins, those of every chunk, up to its
        horizon.
        """
        if not self.turning.shifts_actions:
            yield 0, self.actions
            return
        shifts = self.turning.shifts(self.actions[:, 0], self.states)[:, None]
        frames, ends = np.arange(len(shifts)), np.repeat(self.ends, self.ends - self.starts)
        horizon, k = self.turning.horizon, self.actions.shape[1]
        for ahead in range(-(-horizon // k)):
            rows = np.minimum(frames + ahead, ends - 1)
            yield ahead * k, self.actions[rows, :horizon - ahead * k] + shifts

    def valid_rows(self, frames: np.ndarray, horizon: int, ends: np.ndarray) -> np.ndarray:
        """Return (n,) how many rows of the chunks of ``frames`` are valid, see ``chunk``."""
        return np.where(self._is_planned(frames), horizon,
                        np.minimum((ends - frames) * self.actions.shape[1], horizon))

    def _is_planned(self, frames: np.ndarray | int) -> np.ndarray | bool:
        return self.plans is not None and ~np.isnan(self.plans[frames, 0, 0])


def load_demonstrations(root: str | Path, cameras: dict[str, CameraSpec], state: tuple[str, ...],
                        action: ActionSpec, cache: Path | None = None) -> Demonstrations:
    """Open a dataset; the first time, decode its images into ``cache``.

    Args:
        root: LeRobotDataset v3.0 directory.
        cameras: the views the policy wants; camera ``front`` is the feature
            ``observation.images.front`` (or ``observation.front``), of dtype image or video.
        state: state names the policy wants, found by name in ``observation.state``.
        action: channels and control period, found by name in ``action``; the dataset's fps must
            be 1/dt divided by the number of control steps per row.
        cache: directory for decoded images; default: beside the dataset.

    Raises:
        InputError: not a dataset, or one of the errors of ``tinyvla data check --config``: the
            two ask the same functions.
    """
    tables = read_tables(root)
    root = tables.root
    wanted = Wanted(cameras, state, action)
    findings = check_tables(tables, wanted).findings
    for finding in findings:
        if finding.error:
            raise InputError(f"{root}: {finding.text}")
    features = tables.info["features"]
    states = _float32(tables, "observation.state")[:, state_columns(features, state)]
    columns = action_columns(features, action, tables.info["fps"])
    actions = _float32(tables, "action")[:, columns]
    turning = read_turning(features, state, action)
    states = turn_states(turning, states, state)
    actions = turn_actions(turning, actions, tables.episodes.start, tables.episodes.end)
    executed = actions
    if EXECUTED_ACTION in features:
        columns = action_columns(features, action, tables.info["fps"], EXECUTED_ACTION)
        executed = turn_actions(turning, _float32(tables, EXECUTED_ACTION)[:, columns],
                                tables.episodes.start, tables.episodes.end)
    plans = None
    if EXPERT_PLAN in features:
        plans = turn_actions(turning, _float32(tables, EXPERT_PLAN)[:, plan_columns(
            features, action)], np.arange(len(states)), np.arange(len(states)) + 1)
    views = _views(tables, cameras)
    cache = Path(cache) if cache else root.with_name(root.name + ".cache")
    identity = fingerprint(root, cache)
    wanted_views = {n: spec.model_dump() for n, (_, spec) in views.items()}
    key = hashlib.sha256(json.dumps([identity, wanted_views]).encode()).hexdigest()[:16]
    images, seen = cached_images(cache / key, tables, views)
    return Demonstrations(
        root=root, tasks=tables.tasks, images=images,
        states=np.ascontiguousarray(states), actions=np.ascontiguousarray(actions),
        executed=np.ascontiguousarray(executed), task_index=tables.rows["task_index"],
        starts=tables.episodes.start,
        ends=tables.episodes.end, fingerprint=identity,
        notes=tuple(replace(f, text=f"{root}: {f.text}") for f in [*findings, *seen]),
        turning=turning, plans=plans)


def _views(tables: Tables, cameras: dict[str, CameraSpec]) -> dict[str, tuple[str, CameraSpec]]:
    """Return the feature of every camera, and what is left to do to its images."""
    features, views = camera_features(tables.info), {}
    for name, wanted in cameras.items():
        size = image_size(tables.info["features"][features[name]])
        views[name] = features[name], remaining_transform(tables.root, name, size, wanted)
    return views


def _float32(tables: Tables, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # of values that nobody wanted
        return tables.column(name).astype(np.float32, copy=False)
