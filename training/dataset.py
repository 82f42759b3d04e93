# SPDX-License-Identifier: Apache-2.0
"""Read a LeRobotDataset v3.0 directory into a memory-mapped cache and draw batches from it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap
from tqdm import tqdm

from tinyvla_ros.configuration import read_json
from tinyvla_ros.errors import InputError, unknown
from tinyvla_ros.images import crop_and_shrink
from tinyvla_ros.policy_config import ActionSpec, CameraSpec

IMAGE_PREFIX = "observation.images."


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
    """

    root: Path
    tasks: tuple[str, ...]
    images: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    task_index: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

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
        cameras: the views the policy wants; each needs a feature ``observation.images.<name>``.
        state: state names the policy wants, found by name in ``observation.state``.
        action: channels and control period; the dataset's fps must be 1/dt divided by the number
            of control steps per row.
        cache: directory for decoded images; default: beside the dataset.

    Raises:
        InputError: not a dataset, features that do not match, non-finite values, empty.
    """
    root = Path(root)
    info = _read_info(root)
    _check_features(root, info, cameras, state, action)
    episodes = _read_episodes(root)
    tasks = pq.read_table(root / "meta" / "tasks.parquet").to_pydict()
    names = dict(zip(tasks["task_index"], tasks.get("task", tasks.get("__index_level_0__")),
                     strict=True))
    files = sorted((root / "data").glob("chunk-*/file-*.parquet"))
    wanted = json.dumps({n: c.model_dump() for n, c in cameras.items()}) + json.dumps(info)
    wanted += "".join(f"{f.name}{f.stat().st_size}{f.stat().st_mtime_ns}" for f in files)
    key = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    cache = Path(cache) if cache else root.with_name(root.name + ".cache")
    images = _in_memory(_image_cache(cache / key, files, cameras, info["total_frames"]))
    tables = [pq.read_table(f, columns=["observation.state", "action", "task_index"])
              for f in files]
    states = np.concatenate([_array(t, "observation.state") for t in tables])
    columns = [_state_names(info).index(name) for name in state]
    actions = np.concatenate([_array(t, "action") for t in tables])
    actions = actions.reshape(len(actions), -1, len(action.channels))
    for name, values in (("observation.state", states), ("action", actions)):
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values).reshape(len(values), -1).all(1))[0, 0])
            raise InputError(f"{root}: '{name}' has a non-finite value in frame {row}; remove "
                             "that episode.")
    return Demonstrations(
        root, tuple(names[i] for i in range(len(names))), images,
        np.ascontiguousarray(states[:, columns]), actions,
        np.concatenate([_array(t, "task_index") for t in tables]).reshape(-1).astype(np.int64),
        np.array(episodes["dataset_from_index"], np.int64),
        np.array(episodes["dataset_to_index"], np.int64))


def _read_info(root: Path) -> dict:
    if not (root / "meta" / "info.json").is_file():
        raise InputError(f"{root} is not a LeRobotDataset (no meta/info.json); give a directory "
                         "written by 'tinyvla collect' or by lerobot.")
    info = read_json(root / "meta" / "info.json")
    if info.get("codebase_version") != "v3.0":
        raise InputError(f"{root} has codebase_version {info.get('codebase_version')!r}; convert "
                         "it to 'v3.0' with lerobot.")
    if not info.get("total_frames"):
        raise InputError(f"{root} holds no frames; collect demonstrations first.")
    return info


def _read_episodes(root: Path) -> dict:
    files = sorted((root / "meta" / "episodes").glob("chunk-*/file-*.parquet"))
    columns = ["dataset_from_index", "dataset_to_index"]
    parts = [pq.read_table(f, columns=columns).to_pydict() for f in files]
    return {c: [v for part in parts for v in part[c]] for c in columns}


def _state_names(info: dict) -> list[str]:
    names = info["features"]["observation.state"]["names"]
    return list(names if isinstance(names, list) else next(iter(names.values())))


def _check_features(root, info, cameras, state, action) -> None:
    features = info["features"]
    available = [n.removeprefix(IMAGE_PREFIX) for n in features if n.startswith(IMAGE_PREFIX)]
    for name in cameras:
        if name not in available:
            raise InputError(f"{root}: {unknown('camera', name, available)}")
        if features[IMAGE_PREFIX + name]["dtype"] != "image":
            raise InputError(f"{root}: camera {name!r} is stored as "
                             f"{features[IMAGE_PREFIX + name]['dtype']!r}; only 'image' is read.")
    for needed in ("observation.state", "action"):
        if needed not in features:
            raise InputError(f"{root} has no feature '{needed}'; known: {', '.join(features)}.")
    for name in state:
        if name not in _state_names(info):
            raise InputError(f"{root}: {unknown('state', name, _state_names(info))}")
    shape = features["action"]["shape"]
    steps, rest = divmod(int(np.prod(shape)), len(action.channels))
    if rest or not steps:
        raise InputError(f"{root}: 'action' has shape {shape}; the configuration names "
                         f"{len(action.channels)} channels, the size must be a multiple of that.")
    if abs(info["fps"] * steps * action.dt - 1.0) > 1e-3:
        raise InputError(f"{root}: {info['fps']} fps with {steps} actions per frame is a control "
                         f"period of {1 / info['fps'] / steps:.6g} s, the configuration says "
                         f"{action.dt:.6g} s; make 'dt' agree.")


def _array(table, column: str) -> np.ndarray:
    return np.array(table[column].to_pylist(), np.float32)


def _image_cache(path: Path, files: list[Path], cameras: dict[str, CameraSpec],
                 frames: int) -> np.ndarray:
    """Decode every image once; the cache appears whole or not at all."""
    sizes = {(c.height, c.width) for c in cameras.values()}
    if len(sizes) > 1:
        raise InputError(f"Cameras have different sizes {sorted(sizes)}; give all the same.")
    shape = (frames, len(cameras), *sizes.pop(), 3)
    if not (path / "images.npy").is_file():
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.mkdir(parents=True, exist_ok=True)
        images = open_memmap(part / "images.npy", "w+", np.uint8, shape)
        row = 0
        with tqdm(total=frames, unit="frame", desc="decode images") as progress:
            for file in files:
                for batch in pq.ParquetFile(file).iter_batches(
                        256, columns=[IMAGE_PREFIX + n for n in cameras]):
                    for j, (name, spec) in enumerate(cameras.items()):
                        for i, cell in enumerate(batch.column(IMAGE_PREFIX + name).to_pylist()):
                            images[row + i, j] = _decode(cell["bytes"], spec, file)
                    row += len(batch)
                    progress.update(len(batch))
        images.flush()
        del images
        shutil.rmtree(path, ignore_errors=True)
        os.replace(part, path)
    return np.load(path / "images.npy", mmap_mode="r")


def _in_memory(images: np.ndarray) -> np.ndarray:
    """Read the cache into memory if it takes less than half of what is free.

    Random reads of a memory map are several seconds a batch where the system drops file pages.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return np.array(images) if images.nbytes < free / 2 else images


def _decode(data: bytes, spec: CameraSpec, file: Path) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{file} holds an image that cannot be decoded; collect again.")
    return crop_and_shrink(image[:, :, ::-1], spec.crop, spec.height, spec.width)
