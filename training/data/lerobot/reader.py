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

"""Read the tables of a LeRobotDataset v3.0 directory.

The layout is the one of https://github.com/huggingface/lerobot (``src/lerobot/datasets``). Here a
file is either read or refused in one sentence; whether the tables fit each other is judged in
``training.data.consistency``, and the images are decoded in ``training.data.frames``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from training.data.lerobot.columns import column_values, read_columns, unreadable
from training.data.lerobot.format import (
    DATA_PATH,
    INDEX_COLUMNS,
    VIDEO_PATH,
    feature_size,
)


@dataclass(frozen=True)
class VideoSpans:
    """Where every episode is in the video files of one camera.

    Attributes:
        chunk: (episodes,) int64 number of the chunk directory.
        file: (episodes,) int64 number of the file in it.
        begin: (episodes,) float64 seconds from the start of the file.
        end: (episodes,) float64 seconds, exclusive.
    """

    chunk: np.ndarray
    file: np.ndarray
    begin: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class Episodes:
    """The episode table, sorted by ``number``.

    Attributes:
        number: (episodes,) int64 ``episode_index``.
        length: (episodes,) int64 frames.
        start: (episodes,) int64 first row of the episode in the data.
        end: (episodes,) int64 one past its last row.
        videos: feature name -> spans, for features stored as video.
        tasks: (episodes,) the instructions of each, None where the table does not name them.
    """

    number: np.ndarray
    length: np.ndarray
    start: np.ndarray
    end: np.ndarray
    videos: dict[str, VideoSpans]
    tasks: tuple[frozenset[str] | None, ...]


@dataclass(frozen=True)
class Tables:
    """Everything of a dataset but its values and images.

    Attributes:
        root: the dataset directory.
        info: content of ``meta/info.json``.
        files: data files in the order of their rows.
        tasks: instructions; ``rows["task_index"]`` points here.
        episodes: the episode table.
        rows: ``INDEX_COLUMNS`` -> (frames,) int64, ``timestamp`` float64 seconds.
    """

    root: Path
    info: dict
    files: list[Path]
    tasks: tuple[str, ...]
    episodes: Episodes
    rows: dict[str, np.ndarray]

    @property
    def frames(self) -> int:
        """Number of rows in the data files."""
        return len(self.rows["index"])

    def frame_name(self, row: int) -> str:
        """Return how a person finds a row: 'frame 7 of episode 3'."""
        return f"frame {self.rows['frame_index'][row]} of episode " \
               f"{self.rows['episode_index'][row]}"

    def column(self, name: str) -> np.ndarray:
        """Read a numeric feature of all rows.

        Returns:
            (frames, size) as stored: where float32 is declared, the file may hold float64.

        Raises:
            InputError: the column is missing, or does not have the declared shape or kind.
        """
        feature = self.info["features"][name]
        size, dtype = feature_size(feature), np.dtype(feature["dtype"])
        return np.concatenate([column_values(read_columns(file, [name]), name, size, dtype, file)
                               for file in self.files])


def read_tables(root: str | Path) -> Tables:
    """Read ``meta/`` and the index columns of the data files.

    Raises:
        InputError: not a dataset, no frames, or a file that is missing, cut short or lacks a
            column.
    """
    root = Path(root)
    info = read_info(root)
    files = parquet_files(root / "data")
    if not files:
        raise InputError(f"{root} has no data files (data/chunk-000/file-000.parquet ...); copy "
                         "the whole dataset directory again.")
    parts = {file: read_columns(file, INDEX_COLUMNS) for file in files}
    rows = {name: _scalars(parts, name, np.float64 if name == "timestamp" else np.int64)
            for name in INDEX_COLUMNS}
    if not len(rows["index"]):
        raise InputError(f"{root} holds no frames; collect demonstrations first.")
    return Tables(root, info, files, _read_tasks(root), _read_episodes(root, info), rows)


def parquet_files(folder: Path) -> list[Path]:
    """Return the parquet files of a table, in order; hidden ones are macOS's, not the table's."""
    return sorted(p for p in folder.glob("*/*.parquet") if not p.name.startswith("."))


def read_info(root: Path) -> dict:
    """Read ``meta/info.json`` and check what everything else relies on.

    Raises:
        InputError: not a dataset, another version, no frames, or fields of the wrong kind.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise InputError(f"{root} is not a LeRobotDataset (no meta/info.json); give a directory "
                         "written by 'tinyvla collect' or by lerobot.")
    info = read_json(path)
    if not isinstance(info, dict) or info.get("codebase_version") != "v3.0":
        version = info.get("codebase_version") if isinstance(info, dict) else None
        advice = "convert it to 'v3.0' with lerobot"
        if str(version).startswith("v2"):
            advice += " (python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=...)"
        raise InputError(f"{root} has codebase_version {version!r}; {advice}.")
    frames = info.get("total_frames")
    if frames and (not isinstance(frames, int) or frames < 0):
        raise InputError(f"{path}: 'total_frames' is {frames!r}; give the number of frames.")
    if not frames:
        raise InputError(f"{root} holds no frames; collect demonstrations first.")
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < math.inf:
        raise InputError(f"{path}: 'fps' is {fps!r}; give the frames per second, above 0.")
    features = info.get("features")
    if not isinstance(features, dict) or not all(
            isinstance(f, dict) and isinstance(f.get("dtype"), str)
            and isinstance(f.get("shape"), list) for f in features.values()):
        raise InputError(f"{path}: 'features' must map each name to its 'dtype' and 'shape'; "
                         "write the dataset again with lerobot.")
    for name, feature in features.items():
        if not all(type(side) is int and side > 0 for side in feature["shape"]):
            raise InputError(f"{path}: '{name}' has shape {feature['shape']}; give whole numbers "
                             "above 0.")
    if (info.get("data_path") or DATA_PATH) != DATA_PATH:
        raise InputError(f"{path}: data_path is {info['data_path']!r}, and only lerobot's "
                         f"{DATA_PATH!r} is read; move the files there and write that.")
    try:
        (info.get("video_path") or VIDEO_PATH).format(video_key="", chunk_index=0, file_index=0)
    except (AttributeError, LookupError, ValueError):
        raise InputError(f"{path}: video_path is {info['video_path']!r}; write a path like "
                         f"{VIDEO_PATH!r}.") from None
    return info


def _read_tasks(root: Path) -> tuple[str, ...]:
    path = root / "meta" / "tasks.parquet"
    if not path.is_file():
        raise InputError(f"{path} is missing; copy the 'meta' directory again, it names the "
                         "instructions.")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as err:
        raise unreadable(path, err) from None
    # The text is the index of a pandas frame, whose column name varies with lerobot's version.
    text = [f.name for f in schema
            if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    text = [n for n in ("task", "__index_level_0__") if n in text] or text
    if not text:
        raise InputError(f"{path} has no column of texts ('task'); write the dataset again with "
                         "lerobot.")
    table = read_columns(path, ["task_index", text[0]]).to_pydict()
    tasks = dict(zip(table["task_index"], table[text[0]], strict=True))
    if set(tasks) != set(range(len(table["task_index"]))) or not tasks:
        shown = ", ".join(str(i) for i in table["task_index"][:10]) or "no rows"
        raise InputError(f"{path} has task_index {shown}; they must be 0, 1, 2 ... without gaps or"
                         " repetitions.")
    return tuple(tasks[i] or "" for i in range(len(tasks)))


def _read_episodes(root: Path, info: dict) -> Episodes:
    files = parquet_files(root / "meta" / "episodes")
    if not files:
        raise InputError(f"{root} has no episode table (meta/episodes/chunk-000/file-000.parquet)"
                         "; copy the 'meta' directory again.")
    videos = [n for n, f in info["features"].items() if f["dtype"] == "video"]
    spans = {n: [f"videos/{n}/{c}" for c in
                 ("chunk_index", "file_index", "from_timestamp", "to_timestamp")] for n in videos}
    columns = ["episode_index", "length", "dataset_from_index", "dataset_to_index",
               *(c for names in spans.values() for c in names)]
    parts = {file: read_columns(file, columns) for file in files}
    order = np.argsort(_scalars(parts, columns[0]), kind="stable")
    tasks = [texts for file, table in parts.items() for texts in _task_texts(file, len(table))]

    def read(name: str, dtype=np.int64) -> np.ndarray:
        return _scalars(parts, name, dtype)[order]

    return Episodes(
        *map(read, columns[:4]),
        {n: VideoSpans(read(chunk), read(file), read(begin, np.float64), read(end, np.float64))
         for n, (chunk, file, begin, end) in spans.items()},
        tuple(tasks[i] for i in order))


def _task_texts(path: Path, rows: int) -> list[frozenset[str] | None]:
    """Return the column ``tasks`` of the episode table, a list of texts per row."""
    if "tasks" not in pq.read_schema(path).names:
        return [None] * rows
    cells = read_columns(path, ["tasks"])["tasks"].to_pylist()
    return [frozenset([cell] if isinstance(cell, str) else map(str, cell)) if cell else None
            for cell in cells]


def _scalars(parts: Mapping[Path, pa.Table], name: str, dtype=np.int64) -> np.ndarray:
    """Return a column of one number a row, out of the tables of several files."""
    return np.concatenate([column_values(table, name, 1, np.dtype(dtype), file)[:, 0]
                           for file, table in parts.items()])
