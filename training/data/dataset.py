# SPDX-License-Identifier: Apache-2.0
"""Open a LeRobotDataset v3.0 directory for training: the features a policy wants, checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from training.data.consistency import table_findings
from training.data.fingerprint import fingerprint
from training.data.image_cache import cached_images
from training.data.lerobot_format import (
    camera_features,
    channel_names,
    feature_size,
    image_size,
    is_depth,
)
from training.data.lerobot_reader import Tables, read_tables
from training.data.stored_images import remaining_transform


@dataclass(frozen=True)
class Demonstrations:
    """All frames of a dataset, ready for training.

    Attributes:
        root: the dataset directory.
        tasks: instructions; ``task_index`` points here.
        images: (frames, cameras, height, width, 3) uint8, memory-mapped.
        states: (frames, state) float32.
        actions: (frames, k, channels) float32: the k control steps of each frame.
        task_index: (frames,) int64.
        starts: (episodes,) int64, first frame of every episode.
        ends: (episodes,) int64, one past the last frame.
        fingerprint: equal for equal data (``training.data.fingerprint``).
    """

    root: Path
    tasks: tuple[str, ...]
    images: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    task_index: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    fingerprint: str = ""

    def chunk(self, frame: int, horizon: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the actions that follow a frame within its episode.

        Args:
            frame: frame of the observation.
            horizon: number of control steps.
            end: one past the last frame of its episode.

        Returns:
            (horizon, channels) actions, the last one repeated past the end of the episode, and
            (horizon,) float32 with 0 there.
        """
        k = self.actions.shape[1]
        last = min(end, frame + -(-horizon // k))
        actions = self.actions[frame:last].reshape(-1, self.actions.shape[2])[:horizon]
        valid = np.zeros(horizon, np.float32)
        valid[:len(actions)] = 1.0
        if len(actions) < horizon:
            actions = np.concatenate([actions, np.repeat(actions[-1:], horizon - len(actions), 0)])
        return actions, valid


def load_demonstrations(root: str | Path, cameras: dict[str, CameraSpec], state: tuple[str, ...],
                        action: ActionSpec, cache: Path | None = None) -> Demonstrations:
    """Open a dataset; the first time, decode its images into ``cache``.

    Args:
        root: LeRobotDataset v3.0 directory.
        cameras: the views the policy wants; camera ``front`` is the feature
            ``observation.images.front`` (or ``observation.front``), of dtype image or video.
        state: state names the policy wants, found by name in ``observation.state``.
        action: channels and control period; the dataset's fps must be 1/dt divided by the number
            of control steps per row.
        cache: directory for decoded images; default: beside the dataset.

    Raises:
        InputError: not a dataset, features that do not match, images of other pixels than the
            policy gets on the robot, tables that do not fit each other, files that are missing or
            damaged, non-finite values, empty.
    """
    tables = read_tables(root)
    root = tables.root
    views = _views(tables, cameras)
    columns = _state_columns(tables, state)
    _check_actions(tables, action)
    for finding in table_findings(tables):
        raise InputError(f"{root}: {finding.text}")
    states = _finite(tables, "observation.state")[:, columns]
    actions = _finite(tables, "action").reshape(tables.frames, -1, len(action.channels))
    cache = Path(cache) if cache else root.with_name(root.name + ".cache")
    identity = fingerprint(root, cache)
    wanted = {n: spec.model_dump() for n, (_, spec) in views.items()}
    key = hashlib.sha256(json.dumps([identity, wanted]).encode()).hexdigest()[:16]
    return Demonstrations(
        root=root, tasks=tables.tasks, images=cached_images(cache / key, tables, views),
        states=np.ascontiguousarray(states), actions=actions,
        task_index=tables.rows["task_index"], starts=tables.episodes.start,
        ends=tables.episodes.end, fingerprint=identity)


def _views(tables: Tables, cameras: dict[str, CameraSpec]) -> dict[str, tuple[str, CameraSpec]]:
    available, views = camera_features(tables.info), {}
    for name, wanted in cameras.items():
        if name not in available:
            raise InputError(f"{tables.root}: {unknown('camera', name, available)}")
        feature = tables.info["features"][available[name]]
        if is_depth(feature):
            raise InputError(f"{tables.root}: camera {name!r} is a depth map; name a color "
                             "camera.")
        views[name] = (available[name], remaining_transform(tables.root, name,
                                                            image_size(feature), wanted))
    return views


def _numeric(tables: Tables, name: str) -> dict:
    features = tables.info["features"]
    if name not in features:
        raise InputError(f"{tables.root} has no feature '{name}'; known: {', '.join(features)}.")
    if not features[name]["dtype"].startswith(("float", "int", "uint")):
        raise InputError(f"{tables.root}: '{name}' has dtype {features[name]['dtype']!r}; it must "
                         "be float32, float64 or an integer.")
    return features[name]


def _state_columns(tables: Tables, state: tuple[str, ...]) -> list[int]:
    feature = _numeric(tables, "observation.state")
    names = channel_names(feature)
    if names is None:
        raise InputError(f"{tables.root}: 'observation.state' has {feature_size(feature)} values "
                         f"and the names {feature.get('names')!r}; name every value, each "
                         "by another name, in meta/info.json.")
    for name in state:
        if name not in names:
            raise InputError(f"{tables.root}: {unknown('state', name, names)}")
    return [names.index(name) for name in state]


def _check_actions(tables: Tables, action: ActionSpec) -> None:
    root, fps, feature = tables.root, tables.info["fps"], _numeric(tables, "action")
    steps, rest = divmod(feature_size(feature), len(action.channels))
    if rest or not steps:
        raise InputError(f"{root}: 'action' has shape {feature['shape']}; the configuration names "
                         f"{len(action.channels)} channels, the size must be a multiple of that.")
    if abs(fps * steps * action.dt - 1.0) > 1e-3:
        raise InputError(f"{root}: {fps} fps with {steps} actions per frame is a control period "
                         f"of {1 / fps / steps:.6g} s, the configuration has {action.dt:.6g} s; "
                         "make 'dt' agree.")
    names = (channel_names(feature) or [])[:len(action.channels)]
    names = [name.removesuffix(".0") for name in names]
    if sorted(names) == sorted(action.channels) and names != list(action.channels):
        raise InputError(f"{root}: 'action' holds {', '.join(names)}, the configuration has the "
                         f"channels in the order {', '.join(action.channels)}; make it agree.")


def _finite(tables: Tables, name: str) -> np.ndarray:
    """Return (frames, size) float32 of a feature that must be finite."""
    values = tables.column(name).astype(np.float32, copy=False)
    wrong = np.flatnonzero(~np.isfinite(values).all(1))
    if len(wrong):
        raise InputError(f"{tables.root}: '{name}' is not finite in "
                         f"{tables.frame_name(int(wrong[0]))}, {len(wrong)} frames in all; "
                         "remove those episodes.")
    return values
