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

"""Small LeRobotDatasets on disk, with images or videos whose frames tell themselves apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.files import write_json
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats

# SVT-AV1 encodes from 64 pixels up.
FPS, SIZE = 10, 64
STATE, ACTION = ["x", "y", "angle"], ["dx", "dy"]
LENGTHS = (6, 4, 9)
TASKS = ("push the block", "pull the block", "push the block")


def image(row: int, camera: str) -> np.ndarray:
    """Return the (SIZE, SIZE, 3) uint8 image of a row: neighbors differ by 40 in brightness."""
    pixels = np.full((SIZE, SIZE, 3), 30 + 40 * (row % 5), np.uint8)
    # A corner that differs between cameras; also keeps the image from being blank.
    pixels[:16, :16] = (200, 0, 0) if camera == "front" else (0, 0, 200)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 RGB."""
    return cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()


def write_dataset(root: Path, cameras: tuple[str, ...] = ("front", "wrist"),
                  lengths: tuple[int, ...] = LENGTHS, tasks: tuple[str, ...] = TASKS,
                  draw=image) -> Path:
    """Write an image dataset with random states and actions; ``draw`` makes the images."""
    rng = np.random.default_rng(0)
    features = {f"observation.images.{c}": {"dtype": "image", "shape": [SIZE, SIZE, 3],
                                            "names": ["height", "width", "channels"]}
                for c in cameras}
    features["observation.state"] = {"dtype": "float32", "shape": [3], "names": STATE}
    features["action"] = {"dtype": "float32", "shape": [2], "names": ACTION}
    writer = LeRobotDatasetWriter(root, FPS, features, "toy")
    row = 0
    for length, task in zip(lengths, tasks, strict=True):
        images = {f"observation.images.{c}": np.stack([draw(row + i, c)
                                                       for i in range(length)]) for c in cameras}
        writer.add(DatasetEpisode(
            task, {n: [png(i) for i in stack] for n, stack in images.items()},
            {n: image_stats(stack) for n, stack in images.items()},
            {"observation.state": rng.normal(size=(length, 3)).astype(np.float32),
             "action": rng.uniform(-1.0, 1.0, (length, 2)).astype(np.float32)}))
        row += length
    writer.close()
    return root


def to_video(root: Path, camera: str, codec: str, split: int = 2, surplus: int = 3) -> Path:
    """Turn a camera of an image dataset into videos, as lerobot stores them.

    Args:
        root: dataset, changed in place.
        camera: camera name.
        codec: name of the encoder.
        split: number of episodes in the first file; the others are in a second one.
        surplus: frames between episodes that no episode uses, as deleting some leaves.
    """
    feature = f"observation.images.{camera}"
    info = edit_info(root, lambda i: (
        i["features"][feature].update(dtype="video"),
        i.update(video_path="videos/{video_key}/chunk-{chunk_index:03d}/"
                            "file-{file_index:03d}.mp4")))
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    cells = table[feature].to_pylist()
    images = [cv2.imdecode(np.frombuffer(c["bytes"], np.uint8), 1)[:, :, ::-1] for c in cells]
    pq.write_table(table.drop_columns([feature]), path)
    episodes = read_episodes(root)
    for file, part in enumerate((episodes[:split], episodes[split:])):
        frames = []
        for episode in part:
            if frames:
                frames += [np.zeros_like(images[0])] * surplus
            begin = len(frames) / info["fps"]
            start, end = episode["dataset_from_index"], episode["dataset_to_index"]
            frames += images[start:end]
            episode |= {f"videos/{feature}/chunk_index": 0, f"videos/{feature}/file_index": file,
                        f"videos/{feature}/from_timestamp": begin,
                        f"videos/{feature}/to_timestamp": begin + (end - start) / info["fps"]}
        encode(video_path(root, camera, file), frames, info["fps"], codec)
    write_episodes(root, episodes)
    return root


def video_path(root: Path, camera: str, file: int) -> Path:
    """Return the path of a video file of ``to_video``."""
    return root / f"videos/observation.images.{camera}/chunk-000/file-{file:03d}.mp4"


def encode(path: Path, frames: list[np.ndarray | None], fps: int, codec: str,
           more: dict[str, str] | None = None, pix_fmt: str = "yuv420p", color_trc: int = 0
           ) -> None:
    """Write frames as mp4, every second one a key frame as in lerobot; None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"g": "2", "crf": "20"} | ({"preset": "12"} if codec == "libsvtav1" else {})
        options |= more or {}
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if color_trc:
            stream.codec_context.color_trc = color_trc
        for i, image in enumerate(frames):
            if image is not None:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())


def edit_info(root: Path, change) -> dict:
    """Apply ``change`` to ``info.json`` and return the result."""
    path = root / "meta/info.json"
    info = read_json(path)
    change(info)
    write_json(path, info)
    return info


def edit_column(root: Path, name: str, change) -> None:
    """Replace a column of the data file by ``change`` of its list of values."""
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    position = table.column_names.index(name)
    values = pa.array(change(table[name].to_pylist()), table.schema.field(name).type)
    pq.write_table(table.set_column(position, table.schema.field(name), values), path)


def set_value(row: int, value):
    """Return a change for ``edit_column`` that replaces one value."""
    def change(values):
        values[row] = value
        return values
    return change


def read_episodes(root: Path) -> list[dict]:
    """Return the rows of the episode table."""
    return pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()


def write_episodes(root: Path, episodes: list[dict]) -> None:
    """Write the rows of the episode table."""
    pq.write_table(pa.Table.from_pylist(episodes),
                   root / "meta/episodes/chunk-000/file-000.parquet")


def edit_episodes(root: Path, change) -> None:
    """Apply ``change`` to the rows of the episode table, in place."""
    episodes = read_episodes(root)
    change(episodes)
    write_episodes(root, episodes)
