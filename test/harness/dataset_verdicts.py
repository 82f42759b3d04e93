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

"""Small datasets, each odd in one way, and what is to become of them.

docs/data.md shows them: ``PYTHONPATH=test python -m harness.dataset_verdicts`` writes its table.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from harness import datasets
from harness.datasets import SIZE, edit_episodes, edit_info
from harness.odd_datasets import (
    CHW,
    DATA,
    FRAMES,
    FRONT,
    STATE,
    Change,
    actions,
    column,
    doubles,
    feature,
    gray16,
    images,
    info,
    lies_about_files,
    nothing,
    one,
    other_column,
    palette_png,
    picture,
    rate,
    second_camera,
    stale_statistics,
    state,
    tasks,
    turning,
    video,
    wide,
    with_alpha,
)
from harness.raw_png import COLOR, GRAY, raw_png
from tinyvla_ros.core.tables import markdown_table

ACCEPTED, WARNED, REFUSED = "accepted", "warned", "refused"
START, END = "<!-- verdicts -->", "<!-- end of verdicts -->"
DOCS = Path(__file__).parents[2] / "docs/data.md"
PUSH, PULL = datasets.TASKS[:2]
DEPTH = {"video.is_depth_map": True}


@dataclass(frozen=True)
class Row:
    """A dataset and its verdict.

    Attributes:
        name: what is odd about it.
        change: makes it odd; the dataset has one camera and the names that the recipe wants.
        verdict: of ``tinyvla train`` and of ``tinyvla data check --config`` with its recipe.
        says: what both messages name.
        alone: verdict of ``tinyvla data check``, which knows no recipe; None for the same.
    """

    name: str
    change: Change
    verdict: str
    says: tuple[str, ...] = ()
    alone: str | None = None


SECTIONS: dict[str, tuple[Row, ...]] = {
    "cameras": (
        Row("8-bit color PNG", nothing, ACCEPTED),
        Row("video, `yuv420p`", video(), ACCEPTED),
        Row("video, 10 bits of color", video("yuv420p10le"), ACCEPTED),
        Row("video, 8 bits of gray", video("gray"), ACCEPTED),
        Row("channels first, named", feature(FRONT, **CHW), ACCEPTED),
        Row("channels first, without names", feature(FRONT, **CHW | {"names": None}), ACCEPTED),
        Row("PNG, 8 bits of gray", images(lambda i: raw_png(i[:, :, 0], GRAY)), ACCEPTED),
        Row("PNG with a palette", images(palette_png), ACCEPTED),
        Row("PNG, opaque alpha channel", images(lambda i: with_alpha(i, 255)), ACCEPTED),
        Row("PNG, transparent", images(lambda i: with_alpha(i, 128)), REFUSED, ("transparent",)),
        Row("PNG, 16 bits of gray (depth)", images(gray16), REFUSED, ("16 bits", FRONT)),
        Row("PNG, 16 bits of color", images(lambda i: raw_png(i.astype(np.uint16) * 257, COLOR)),
            REFUSED, ("16 bits", FRONT)),
        Row("video, 16 bits of gray (depth)", video("gray16le", "ffv1"), REFUSED, ("16 bits",)),
        Row("video, high dynamic range", video("yuv420p10le", trc=16), REFUSED, ("16",)),
        Row("`info: {video.is_depth_map: true}`", feature(FRONT, info=DEPTH), REFUSED),
        Row("`video_info: {video.is_depth_map: true}`", feature(FRONT, video_info=DEPTH),
            REFUSED),
        Row("`info: {is_depth_map: \"yes\"}`", feature(FRONT, info={"is_depth_map": "yes"}),
            REFUSED),
        Row("a second camera is depth", lambda r: second_camera(r, info=DEPTH), WARNED,
            ("other", "depth")),
        Row("names say BGR", feature(FRONT, names=["height", "width", "bgr"]), REFUSED),
        Row("names and shape say 64 channels", feature(FRONT, names=CHW["names"]), REFUSED),
        Row("another size than declared", feature(FRONT, shape=[32, 64, 3]), REFUSED,
            ("64x64", "32x64")),
        Row("images as arrays of numbers", column(FRONT, [[[0, 0]]] * FRAMES, pa.list_(
            pa.list_(pa.uint8()))), REFUSED, (FRONT, "numbers")),
        Row("only the file name of an image", column(
            FRONT, [{"bytes": None, "path": "a/7.png"}] * FRAMES,
            pa.struct([("bytes", pa.binary()), ("path", pa.string())])), REFUSED, ("a/7.png",)),
        Row("16:9 into a square", wide, WARNED, ("64x36", "0.2188"), alone=ACCEPTED),
        Row("one image is a single color", one(FRONT, 7, {
            "bytes": datasets.png(np.full((SIZE, SIZE, 3), 100, np.uint8)), "path": None}),
            WARNED, ("one single color", "frame 1 of episode 1")),
        Row("video at another rate", video(fps=20), REFUSED, ("no frame at",)),
        Row("frames that no episode uses", video(surplus=3), WARNED, ("13 frames",)),
    ),
    "names": (
        Row("actions in another order", feature("action", names=["dy", "dx"]), ACCEPTED),
        Row("`{\"motors\": [...]}`", feature("action", names={"motors": ["dx", "dy"]}), ACCEPTED),
        Row("two steps, channel by channel", actions(4, ["dx.0", "dx.1", "dy.0", "dy.1"], fps=5),
            ACCEPTED),
        Row("two steps, the same names again", actions(4, ["dx", "dy", "dx", "dy"], fps=5),
            ACCEPTED),
        Row("matrix (channels, steps)", actions(6, ["dx", "dy"], [2, 3], 10 / 3), ACCEPTED),
        Row("two steps without names", actions(4, None, fps=5), REFUSED, ("dx.0",),
            alone=WARNED),
        Row("actions without names", feature("action", names=None), WARNED, ("action",)),
        Row("another spelling", feature("action", names=["DX", "DY"]), REFUSED, ("'DX'", "'dx'"),
            alone=ACCEPTED),
        Row("two arms, the recipe has one", actions(4, ["left_dx", "left_dy", "right_dx",
                                                        "right_dy"], fps=5),
            REFUSED, ("left_dx",), alone=ACCEPTED),
        Row("an action that the recipe does not have", actions(3, ["dx", "grip", "dy"]), WARNED,
            ("grip",), alone=ACCEPTED),
        Row("a state named twice", feature(STATE, names=["x", "x", "angle"]), REFUSED, ("'x'",),
            alone=WARNED),
        Row("numbered names that skip one", feature(STATE, names={"x": 0, "y": 1, "angle": 3}),
            REFUSED, ("'angle': 3",), alone=WARNED),
        Row("stated unit is not the recipe's", feature("action", units=["deg", "m"]), REFUSED,
            ("deg", "rad"), alone=ACCEPTED),
    ),
    "numbers": (
        Row("float64", doubles(lambda rows: rows), ACCEPTED),
        Row("time since 1970 as a state", doubles(
            lambda rows: [[r[0], r[1], 1.7e9 + 0.1 * i] for i, r in enumerate(rows)]),
            REFUSED, ("angle", "float32")),
        Row("1e300", doubles(lambda rows: [[1e300 * r[0], *r[1:]] for r in rows]), REFUSED,
            ("float32",)),
        Row("int64 beyond 2^24", column(STATE, [[2**24 + 1 + i, i, i] for i in range(FRAMES)],
                                        pa.list_(pa.int64(), 3), dtype="int64"),
            REFUSED, ("16777217",)),
        Row("0.5 where int64 is declared", feature(STATE, dtype="int64"), REFUSED, ("int64",)),
        Row("300 where int8 is declared", column(STATE, [[i, 300, i] for i in range(FRAMES)],
                                                 pa.list_(pa.int64(), 3), dtype="int8"),
            REFUSED, ("300", "int8")),
        Row("an unknown dtype", feature("action", dtype="bfloat17"), REFUSED, ("bfloat17",)),
        Row("NaN in an action", one("action", 12, [0.0, float("nan")]), REFUSED,
            ("frame 2 of episode 2",)),
        Row("infinite state", one(STATE, 7, [float("inf"), 0.0, 0.0]), REFUSED,
            ("frame 1 of episode 1",)),
        Row("NaN in a state that the recipe does not use", one(STATE, 7, [0.0, float("nan"), 0.0]),
            WARNED, ("frame 1 of episode 1",), alone=REFUSED),
        Row("NaN in a feature that nobody reads", lambda r: other_column(
            r, [float("nan")] * FRAMES, dtype="float32", shape=[1], names=None), WARNED,
            ("force",)),
        Row("null in an action", column("action", lambda rows: [*rows[:-1], None],
                                        pa.list_(pa.float32())), REFUSED, ("action", "empty")),
        Row("rows of 1 and of 3 values", column("action", lambda rows: [
            [0.0], [0.0, 0.0, 0.0], *rows[2:]], pa.list_(pa.float32())), REFUSED, ("1", "3")),
        Row("one action of 1e6", one("action", 5, [1e6, 0.0]), REFUSED,
            ("1e+06", "frame 5 of episode 0"), alone=WARNED),
        Row("actions slightly beyond the limits", one("action", 5, [1.5, 0.0]), WARNED,
            ("1.5", "frame 5 of episode 0"), alone=ACCEPTED),
        Row("one state of 1e6", one(STATE, 5, [0.0, 0.0, 1e6]), WARNED,
            ("1e+06", "frame 5 of episode 0")),
        Row("an angle that wraps at pi", state(2, turning(2 * np.pi)), WARNED, ("2 pi", "angle")),
        Row("an angle that wraps, resampled", state(2, turning(2 * np.pi, True)), WARNED,
            ("2 pi", "angle")),
        Row("an angle that wraps at 180 degrees", state(2, turning(360.0)), WARNED,
            ("360", "angle")),
        Row("an angle that wraps, noted as `continuous`", lambda r: (
            state(2, turning(2 * np.pi))(r), feature(STATE, continuous=["angle"])(r)), ACCEPTED),
        Row("degrees, noted as `continuous` in radians", lambda r: (
            state(2, turning(360.0))(r), feature(STATE, continuous=["angle"])(r)), REFUSED,
            ("360", "6.28")),
        Row("`continuous: true` for all", feature(STATE, continuous=True), REFUSED, ("True",)),
        Row("a state that never changes", state(2, 0.5), WARNED, ("angle", "0.5")),
        Row("`stats.json` of other data", stale_statistics, WARNED, ("stats.json",)),
    ),
    "time": (
        Row("rate of another `dt`", lambda r: rate(r, 20), REFUSED, ("0.05", "0.1"),
            alone=ACCEPTED),
        Row("a time that is not frame / fps", one("timestamp", 8, 0.25), REFUSED,
            ("0.25", "2 of episode 1")),
        Row("time stands still", one("timestamp", 3, 0.2), REFUSED, ("3 of episode 0",)),
        Row("frame numbers with a gap", one("frame_index", 4, 9), REFUSED, ("9",)),
        Row("`fps: true`", info(fps=True), REFUSED, ("True",)),
    ),
    "episodes, files": (
        Row("an episode of one frame", nothing, ACCEPTED),
        Row("`total_frames` lies", info(total_frames=20), REFUSED, ("20", "19")),
        Row("`total_episodes` lies", info(total_episodes=2), REFUSED, ("2", "3")),
        Row("a data file is missing", lambda r: lies_about_files(r, False), REFUSED,
            ("19", "10")),
        Row("a data file too many", lambda r: lies_about_files(r, True), REFUSED, ("19", "24")),
        Row("`._file-000.parquet` of macOS", lambda r: (r / DATA).with_name(
            "._file-000.parquet").write_bytes(b"\0\5\26\7"), ACCEPTED),
        Row("`episode_index` twice", lambda r: edit_episodes(
            r, lambda e: e[2].update(episode_index=1)), REFUSED, ("Episode 1",)),
        Row("a column that is not declared", lambda r: other_column(r, [0.0] * FRAMES), WARNED,
            ("force",)),
        Row("a feature without a column", lambda r: edit_info(r, lambda i: i["features"].update(
            force={"dtype": "float32", "shape": [1], "names": None})), WARNED, ("force",)),
        Row("`codebase_version: v2.1`", info(codebase_version="v2.1"), REFUSED, ("v2.1",)),
        Row("another `data_path`", info(data_path="rows/{chunk_index}.parquet"), REFUSED,
            ("rows/",)),
        Row("`video_path` of v2.1", info(video_path="videos/{episode_chunk}.mp4"), REFUSED,
            ("episode_chunk",)),
        Row("a test split", info(splits={"train": "0:2", "test": "2:3"}), WARNED, ("test",)),
    ),
    "tasks": (
        Row("`task_index` without a task", one("task_index", 8, 2), REFUSED,
            ("2 of episode 1",)),
        Row("a task without words", tasks(PUSH, " "), REFUSED, ("task 1",)),
        Row("an empty `task_index`", tasks(PUSH, PULL, indices=(0, None)), REFUSED,
            ("None",)),
        Row("the same words twice", tasks(PUSH, "Push  the block"), WARNED,
            ("0 and 1",)),
        Row("the episode table names another task", lambda r: edit_episodes(
            r, lambda e: e[1].update(tasks=["fly"])), WARNED, ("'fly'", "'pull the block'")),
        Row("a task that no episode has", tasks(PUSH, PULL, "fly"), WARNED, ("'fly'",)),
    ),
}
ROWS = {row.name: row for rows in SECTIONS.values() for row in rows}


def build(row: Row, root: Path) -> Path:
    """Write the dataset of a row."""
    lengths = (1, 4, 9) if "one frame" in row.name else datasets.LENGTHS
    datasets.write_dataset(root, ("front",), lengths, draw=picture)
    row.change(root)
    return root


def table() -> str:
    """Return the table of docs/data.md."""
    rows = [(row.name, section, row.alone or row.verdict, row.verdict)
            for section, part in SECTIONS.items() for row in part]
    return markdown_table(("dataset", "about", "`data check`", "`data check --config`, `train`"),
                          rows)


if __name__ == "__main__":
    text = DOCS.read_text()
    before, rest = text.split(START)
    part = DOCS.with_suffix(".part")
    part.write_text(f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}")
    shutil.move(part, DOCS)
