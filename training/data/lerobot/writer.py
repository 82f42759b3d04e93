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

"""Write LeRobotDataset v3.0 directories: parquet files, images as lossless PNG or as videos.

The layout is the one of https://github.com/huggingface/lerobot (``src/lerobot/datasets``),
written with pyarrow alone, so that collecting demonstrations needs neither lerobot nor its
dependencies. Reading is in ``training.data.dataset``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import check_new_directory, create_directory
from training.data.lerobot.format import (
    CHUNKS_SIZE,
    CODEBASE_VERSION,
    DATA_FILE_MB,
    DATA_PATH,
    VIDEO_FILE_MB,
    VIDEO_PATH,
)
from training.data.lerobot.video import VideoJoiner

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# What lerobot's DEFAULT_FEATURES name; every dataset has them.
INDEX_FEATURES = {
    name: {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index")}


@dataclass(frozen=True)
class DatasetEpisode:
    """One demonstration, ready to be written.

    Attributes:
        task: the instruction, in words.
        images: feature name -> PNG bytes per frame, for features of dtype ``image``.
        image_stats: feature name -> ``image_stats`` of the frames.
        arrays: feature name -> (frames, size) float32.
        videos: feature name -> file of ``VideoEncoder``, for features of dtype ``video``.
    """

    task: str
    images: Mapping[str, Sequence[bytes]]
    image_stats: Mapping[str, Mapping[str, np.ndarray]]
    arrays: Mapping[str, np.ndarray]
    videos: Mapping[str, Path] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Number of frames."""
        return len(next(iter(self.arrays.values())))


class LeRobotDatasetWriter:
    """Append episodes to a new dataset directory; ``close`` writes the metadata.

    Args:
        root: directory to create with the first episode; must not exist or be empty.
        fps: frames per second.
        features: user features as in ``meta/info.json``: dtype ``image``, ``video`` or ``float32``
            vectors.
        robot_type: free text of ``info.json``.

    Raises:
        InputError: ``root`` exists with content, or cannot be created.
    """

    def __init__(self, root: str | Path, fps: int, features: Mapping[str, dict],
                 robot_type: str):
        self.root = Path(root)
        check_new_directory(self.root)
        self.fps = fps
        self.features = {**features, **INDEX_FEATURES}
        self.robot_type = robot_type
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict] = []
        self._frames = 0
        self._chunk, self._file = 0, 0
        self._file_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._schema = self._data_schema()
        self._videos = {name: VideoJoiner(self.root, name, fps)
                        for name, feature in features.items() if feature["dtype"] == "video"}

    def add(self, episode: DatasetEpisode) -> None:
        """Append one episode (one row group of the current data file)."""
        if not self._episodes:
            create_directory(self.root / "meta")
        self._open_file()
        task_index = self._tasks.setdefault(episode.task, len(self._tasks))
        n, episode_index = episode.length, len(self._episodes)
        arrays = dict(episode.arrays)
        arrays["timestamp"] = (np.arange(n) / self.fps).astype(np.float32)
        arrays["frame_index"] = np.arange(n, dtype=np.int64)
        arrays["episode_index"] = np.full(n, episode_index, np.int64)
        arrays["index"] = np.arange(self._frames, self._frames + n, dtype=np.int64)
        arrays["task_index"] = np.full(n, task_index, np.int64)
        columns, size = [], 0
        for name, feature in self.features.items():
            if name in self._videos:
                continue
            if feature["dtype"] == "image":
                frames = [{"bytes": png, "path": f"frame-{i:06d}.png"}
                          for i, png in enumerate(episode.images[name])]
                size += sum(len(png) for png in episode.images[name])
                columns.append(pa.array(frames, IMAGE_TYPE))
            else:
                columns.append(_column(arrays[name], self._schema.field(name).type))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._file_bytes += size
        stats = {name: array_stats(array) for name, array in arrays.items()}
        stats |= episode.image_stats
        spans = {}
        for name, joiner in self._videos.items():
            spans |= joiner.append(episode.videos[name], n)
        self._episodes.append({
            "episode_index": episode_index, "tasks": [episode.task], "length": n,
            "data/chunk_index": self._chunk, "data/file_index": self._file,
            "dataset_from_index": self._frames, "dataset_to_index": self._frames + n,
            **spans, "stats": stats})
        self._frames += n

    def close(self) -> None:
        """Finish the data file and write everything under ``meta/``."""
        if self._writer is None:
            raise InputError(f"No episode was written to {self.root}; nothing to close.")
        self._writer.close()
        for joiner in self._videos.values():
            joiner.close()
        meta = self.root / "meta"
        _write_tasks(meta / "tasks.parquet", self._tasks)
        _write_episodes(meta / "episodes" / "chunk-000" / "file-000.parquet", self._episodes)
        stats = {name: _combine([e["stats"][name] for e in self._episodes])
                 for name in self.features}
        (meta / "stats.json").write_text(json.dumps(
            {name: {k: v.tolist() for k, v in s.items()} for name, s in stats.items()}, indent=4),
            encoding="utf-8")
        info = {
            "codebase_version": CODEBASE_VERSION, "robot_type": self.robot_type,
            "total_episodes": len(self._episodes), "total_frames": self._frames,
            "total_tasks": len(self._tasks), "chunks_size": CHUNKS_SIZE,
            "data_files_size_in_mb": DATA_FILE_MB, "video_files_size_in_mb": VIDEO_FILE_MB,
            "fps": self.fps, "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._videos else None, "features": self.features}
        # Last: a directory without info.json is recognizably unfinished.
        (meta / "info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")

    def _open_file(self) -> None:
        if self._writer is not None and self._file_bytes < DATA_FILE_MB * 1e6:
            return
        if self._writer is not None:
            self._writer.close()
            self._file += 1
            if self._file == CHUNKS_SIZE:
                self._chunk, self._file = self._chunk + 1, 0
        path = self.root / DATA_PATH.format(chunk_index=self._chunk, file_index=self._file)
        path.parent.mkdir(parents=True, exist_ok=True)
        # PNG is compressed already; snappy on the rest is lerobot's own choice.
        self._writer = pq.ParquetWriter(path, self._schema, compression="snappy",
                                        use_dictionary=False)
        self._file_bytes = 0

    def _data_schema(self) -> pa.Schema:
        fields, hf = [], {}
        for name, feature in self.features.items():
            if feature["dtype"] == "video":
                continue
            if feature["dtype"] == "image":
                fields.append(pa.field(name, IMAGE_TYPE))
                hf[name] = {"_type": "Image"}
                continue
            scalar = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
            value = {"dtype": feature["dtype"], "_type": "Value"}
            shape = feature["shape"]
            if list(shape) == [1]:
                fields.append(pa.field(name, scalar))
                hf[name] = value
            else:
                fields.append(pa.field(name, pa.list_(scalar, shape[0])))
                hf[name] = {"feature": value, "length": shape[0], "_type": "Sequence"}
        metadata = {"huggingface": json.dumps({"info": {"features": hf}})}
        return pa.schema(fields, metadata=metadata)


def _column(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_list(kind):  # a feature of shape [1]
        return pa.array(array.reshape(-1), kind)
    return pa.array(array.tolist(), kind)


def array_stats(array: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of (frames,) or (frames, size) values, as ``stats.json`` holds them."""
    array = np.asarray(array, np.float64).reshape(len(array), -1)
    stats = {"min": array.min(0), "max": array.max(0), "mean": array.mean(0),
             "std": array.std(0), "count": np.array([len(array)])}
    return stats | dict(zip(QUANTILES, np.quantile(array, list(QUANTILES.values()), axis=0),
                            strict=True))


def thinned(image: np.ndarray) -> np.ndarray:
    """Return every fourth pixel each way of (..., H, W, 3), which statistics are made of."""
    return image[..., ::4, ::4, :]


def image_stats(images: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics per color of (frames, H, W, 3) uint8."""
    return thinned_stats(thinned(images))


def thinned_stats(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``image_stats`` of images of which ``thinned`` left (frames, h, w, 3) uint8."""
    pixels = images.reshape(-1, 3) / 255.0
    stats = {name: value.reshape(3, 1, 1) for name, value in array_stats(pixels).items()
             if name != "count"}
    return stats | {"count": np.array([len(images)])}


def _combine(stats: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Pool per-episode statistics as lerobot's ``aggregate_stats`` does."""
    counts = np.array([s["count"][0] for s in stats], np.float64)
    means = np.stack([s["mean"] for s in stats])
    variances = np.stack([s["std"] for s in stats]) ** 2
    weights = (counts / counts.sum()).reshape(-1, *[1] * (means.ndim - 1))
    mean = (weights * means).sum(0)
    variance = (weights * (variances + (means - mean) ** 2)).sum(0)
    combined = {"min": np.min([s["min"] for s in stats], 0),
                "max": np.max([s["max"] for s in stats], 0),
                "mean": mean, "std": np.sqrt(variance), "count": np.array([int(counts.sum())])}
    return combined | {q: (weights * np.stack([s[q] for s in stats])).sum(0) for q in QUANTILES}


def _write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """``tasks.parquet`` is a pandas frame: the task text is its index."""
    table = pa.table({"task_index": pa.array(list(tasks.values()), pa.int64()),
                      "task": pa.array(list(tasks), pa.string())})
    pandas_metadata = {
        "index_columns": ["task"], "column_indexes": [], "pandas_version": "2.2.3",
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64",
             "numpy_type": "int64", "metadata": None},
            {"name": "task", "field_name": "task", "pandas_type": "unicode",
             "numpy_type": "object", "metadata": None}]}
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas_metadata)})
    pq.write_table(table, path)


def _write_episodes(path: Path, episodes: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for episode in episodes:
        row = {k: v for k, v in episode.items() if k != "stats"}
        row["meta/episodes/chunk_index"] = 0
        row["meta/episodes/file_index"] = 0
        for name, stats in episode["stats"].items():
            row |= {f"stats/{name}/{k}": v.tolist() for k, v in stats.items()}
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows), path)
