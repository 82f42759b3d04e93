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

"""Changes that make a small dataset odd in one way; ``harness.dataset_verdicts`` lists them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness import datasets
from harness.datasets import FPS, LENGTHS, SIZE, edit_column, edit_info, set_value
from harness.raw_png import COLOR_ALPHA, GRAY, PALETTE, raw_png

FRONT, STATE = "observation.images.front", "observation.state"
DATA = "data/chunk-000/file-000.parquet"
FRAMES = sum(LENGTHS)
Change = Callable[[Path], object]


def picture(row: int, camera: str = "front") -> np.ndarray:
    """Return the (SIZE, SIZE, 3) uint8 image of a row, none of them dark."""
    return datasets.image(row, camera) // 2 + 60


def info(**fields) -> Change:
    """Replace fields of ``info.json``."""
    return lambda root: edit_info(root, lambda i: i.update(fields))


def feature(name: str, **fields) -> Change:
    """Replace fields of a feature in ``info.json``."""
    return lambda root: edit_info(root, lambda i: i["features"][name].update(fields))


def column(name: str, values, kind: pa.DataType, **fields) -> Change:
    """Replace a column of the data, fields of its feature, and the statistics."""
    def change(root: Path) -> None:
        table = pq.read_table(root / DATA)
        made = values(table[name].to_pylist()) if callable(values) else values
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, pa.array(made, kind)), root / DATA)
        feature(name, **fields)(root)
        mend_statistics(root, name)
    return change


def mend_statistics(root: Path, name: str) -> None:
    """Make ``stats.json`` right again for numbers that have changed, if they are regular."""
    cells = pq.read_table(root / DATA)[name].to_pylist()
    if name == FRONT or None in cells or len({np.size(cell) for cell in cells}) > 1:
        return
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    values = np.array(cells, np.float64).reshape(FRAMES, -1)
    stats[name] = {k: getattr(values, k)(0).tolist() for k in ("min", "mean", "max")}
    path.write_text(json.dumps(stats))


def actions(size: int, names, shape: list[int] | None = None, fps: float = FPS) -> Change:
    """Give every row ``size`` actions, and the dataset another rate."""
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, (FRAMES, size)).astype(np.float32)
    nested = values.reshape(FRAMES, *shape) if shape and len(shape) > 1 else values
    kind = pa.list_(pa.float32()) if nested.ndim == 2 else pa.list_(pa.list_(pa.float32()))

    def change(root: Path) -> None:
        column("action", nested.tolist(), kind, names=names, shape=shape or [size])(root)
        rate(root, fps)
    return change


def rate(root: Path, fps: float) -> None:
    """Change the rate, and the time stamps with it."""
    info(fps=fps)(root)
    column("timestamp", [i / fps for n in LENGTHS for i in range(n)], pa.float32())(root)


def state(channel: int, values) -> Change:
    """Replace the states of a channel by (frames,) values or by a function of them."""
    def new(rows):
        rows = np.array(rows)
        rows[:, channel] = values(rows[:, channel]) if callable(values) else values
        return rows.tolist()
    return column(STATE, new, pa.list_(pa.float32(), 3))


def one(name: str, row: int, value) -> Change:
    """Replace one value of a column."""
    def change(root: Path) -> None:
        edit_column(root, name, set_value(row, value))
        if not isinstance(value, dict) and np.isfinite(np.array(value, np.float64)).all():
            mend_statistics(root, name)
    return change


def images(encode: Callable[[np.ndarray], bytes], **fields) -> Change:
    """Encode the images otherwise."""
    return column(FRONT, [{"bytes": encode(picture(row)), "path": None}
                          for row in range(FRAMES)],
                  pa.struct([("bytes", pa.binary()), ("path", pa.string())]), **fields)


def video(pix_fmt: str = "yuv420p", codec: str = "libx264", trc: int = 0, fps: int = FPS,
          surplus: int = 0) -> Change:
    """Store the images as video."""
    def change(root: Path) -> None:
        datasets.to_video(root, "front", "libx264", surplus=surplus)
        rows = np.cumsum([0, *LENGTHS])
        if surplus == 0:
            for file, (start, end) in enumerate(((0, rows[2]), (rows[2], rows[3]))):
                datasets.encode(datasets.video_path(root, "front", file),
                                [picture(i) for i in range(start, end)], fps,
                                codec, pix_fmt=pix_fmt, color_trc=trc)
    return change


def tasks(*texts: str | None, indices: tuple[int | None, ...] = (0, 1, 2)) -> Change:
    """Write another table of tasks."""
    def change(root: Path) -> None:
        pq.write_table(pa.table({"task_index": pa.array(indices[:len(texts)], pa.int64()),
                                 "task": pa.array(texts, pa.string())}),
                       root / "meta/tasks.parquet")
        info(total_tasks=len(texts))(root)
    return change


def wide(root: Path) -> None:
    """Store 16:9 images."""
    images(lambda image: datasets.png(np.hstack([image] * 2)[:36, :64]), shape=[36, 64, 3])(root)


def lies_about_files(root: Path, extra: bool) -> None:
    """Add a copy of the data as a second file, or leave half of the data out."""
    table = pq.read_table(root / DATA)
    if extra:
        pq.write_table(table.slice(0, 5), root / "data/chunk-000/file-001.parquet")
    else:
        pq.write_table(table.slice(0, 10), root / DATA)


def other_column(root: Path, values: list[float], **fields) -> None:
    """Add a feature that training does not read."""
    table = pq.read_table(root / DATA)
    pq.write_table(table.append_column("force", pa.array(values, pa.float32())), root / DATA)
    if fields:
        edit_info(root, lambda i: i["features"].update(force=fields))


def second_camera(root: Path, **fields) -> None:
    """Add a camera that the recipe does not name."""
    table = pq.read_table(root / DATA)
    name = "observation.images.other"
    pq.write_table(table.append_column(name, table[FRONT]), root / DATA)
    edit_info(root, lambda i: i["features"].update({name: i["features"][FRONT] | fields}))


def stale_statistics(root: Path) -> None:
    """Write statistics of other data."""
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats["action"]["max"] = [7.0, 7.0]
    path.write_text(json.dumps(stats))


def turning(turn: float, halfway: bool = False) -> np.ndarray:
    """Return (frames,) angles that cross the end of the turn once in the longest episode."""
    angles = np.linspace(-0.2, 0.2, FRAMES)
    angles[10:] = np.linspace(0.42, 0.6, FRAMES - 10)
    wrapped = (angles + 0.5) % 1.0 - 0.5
    if halfway:
        wrapped[np.argmax(wrapped < -0.4)] = 0.001
    return wrapped * turn


def gray16(image: np.ndarray) -> bytes:
    """Encode as a depth camera does."""
    return raw_png(image[:, :, 0].astype(np.uint16) * 37, GRAY)


def palette_png(image: np.ndarray) -> bytes:
    """Encode with a table of colors."""
    colors, indices = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
    return raw_png(indices.reshape(SIZE, SIZE).astype(np.uint8), PALETTE, colors)


def with_alpha(image: np.ndarray, opacity: int) -> bytes:
    """Encode with an alpha channel."""
    return raw_png(np.dstack([image, np.full((SIZE, SIZE), opacity, np.uint8)]), COLOR_ALPHA)


def nothing(root: Path) -> None:
    """Leave the dataset as it is."""


doubles = partial(column, STATE, kind=pa.list_(pa.float64()), dtype="float64")
CHW = {"shape": [3, SIZE, SIZE], "names": ["channels", "height", "width"]}
