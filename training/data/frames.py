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

"""Decode the images of a LeRobotDataset, stored in the data files or as video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvla_ros.core.errors import InputError
from training.data.consistency import time_tolerance
from training.data.image_file import decode_color
from training.data.lerobot.columns import is_lfs_pointer, unreadable
from training.data.lerobot.format import VIDEO_PATH, image_size
from training.data.lerobot.reader import Tables

BATCH_ROWS = 64
# ITU-T H.273, transfer characteristics: SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG).
HDR = (16, 18)


def _fail(error: InputError) -> None:
    raise error


def camera_frames(tables: Tables, feature: str,
                  on_error: Callable[[InputError], None] = _fail
                  ) -> Iterator[tuple[int, np.ndarray]]:
    """Decode every image of a camera, in order within a file.

    Args:
        tables: the dataset; its episode table must fit its rows.
        feature: an ``image`` or ``video`` feature.
        on_error: called with each image or video that cannot be used; the default raises.

    Yields:
        row of the data and (height, width, 3) uint8 RGB.

    Raises:
        InputError: an image or a video is missing, cannot be decoded or is too short, is no color
            of 8 bits, or has another size than declared.
    """
    of_camera = _from_videos if tables.info["features"][feature]["dtype"] == "video" else \
        _from_data_files
    height, width = image_size(tables.info["features"][feature])
    wrong: set[tuple[int, ...]] = set()
    for row, image in of_camera(tables, feature, on_error):
        size = image.shape[:2]
        if size != (height, width) and size not in wrong:
            wrong.add(size)
            on_error(InputError(
                f"'{feature}' is {size[0]}x{size[1]} in {tables.frame_name(row)}, meta/info.json "
                f"declares {height}x{width} (height x width); make 'shape' agree."))
        yield row, image


def _from_data_files(tables, feature, on_error):
    row = 0
    for path in tables.files:
        for cell in _cells(path, feature):
            try:
                yield row, decode_color(cell)
            except ValueError as err:
                on_error(InputError(f"{path}: the image '{feature}' of {tables.frame_name(row)} "
                                    f"{err}."))
            row += 1


def _cells(path: Path, feature: str) -> Iterator[dict | bytes | None]:
    try:
        with pq.ParquetFile(path) as file:
            if feature not in file.schema_arrow.names:
                raise InputError(f"{path} has no column {feature!r}; write the dataset again "
                                 "with lerobot or 'tinyvla collect'.")
            for batch in file.iter_batches(BATCH_ROWS, columns=[feature]):
                yield from batch.column(feature).to_pylist()
    except (pa.ArrowException, OSError) as err:
        raise unreadable(path, err) from None


def video_files(tables: Tables, feature: str) -> Iterator[tuple[Path, np.ndarray]]:
    """Yield the video files of a feature, each with the positions of its episodes."""
    spans = tables.episodes.videos[feature]
    for chunk, number in sorted(set(zip(spans.chunk.tolist(), spans.file.tolist(), strict=True))):
        path = (tables.info.get("video_path") or VIDEO_PATH).format(
            video_key=feature, chunk_index=chunk, file_index=number)
        yield tables.root / path, np.flatnonzero((spans.chunk == chunk) & (spans.file == number))


def _from_videos(tables, feature, on_error):
    episodes, spans = tables.episodes, tables.episodes.videos[feature]
    for path, here in video_files(tables, feature):
        rows = np.concatenate([np.arange(episodes.start[e], episodes.end[e]) for e in here])
        begins = np.repeat(spans.begin[here], episodes.length[here])
        times = tables.rows["timestamp"][rows] + begins
        order = np.argsort(times, kind="stable")
        try:
            yield from _at_times(path, tables, rows[order], times[order])
        except InputError as err:
            on_error(err)


def _at_times(path: Path, tables: Tables, rows: np.ndarray, times: np.ndarray
              ) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the frame of one video file that belongs to each row.

    Matching is by presentation time, as lerobot does it: a file may hold frames of episodes that
    were deleted, so counting would shift everything behind them.

    Args:
        path: video file.
        tables: names the frames in messages.
        rows: (n,) rows in the order of their time.
        times: (n,) seconds from the start of the file, ascending.
    """
    fix = "copy the file again, or record or encode the episode again"
    first = tables.frame_name(rows[0])
    if not path.is_file():
        raise InputError(f"{path} is missing, it holds {first}; copy the videos directory again.")
    wanted, tolerance = 0, time_tolerance(times)
    before = now = None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video stream, it should hold {first}; {fix}.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                if now is None:
                    _check_color(path, stream, frame)
                before, now, image = now, float(frame.pts * stream.time_base), None
                if now > times[wanted] + tolerance[wanted]:
                    break
                while wanted < len(rows) and abs(times[wanted] - now) <= tolerance[wanted]:
                    if image is None:
                        image = frame.to_ndarray(format="rgb24")
                    yield int(rows[wanted]), image
                    wanted += 1
                if wanted == len(rows):
                    return
    except (av.FFmpegError, OSError) as err:
        if is_lfs_pointer(path):
            raise unreadable(path, err) from None
        reason = err.strerror or err
        raise InputError(f"{path} cannot be decoded at {tables.frame_name(rows[wanted])} "
                         f"({reason}); {fix}.") from None
    around = [t for t in (before, now) if t is not None]
    state = "no frame could be decoded" if not around else \
        f"the nearest is at {min(around, key=lambda t: abs(t - times[wanted])):.4f} s"
    raise InputError(f"{path} has no frame at {times[wanted]:.4f} s for "
                     f"{tables.frame_name(rows[wanted])} ({state}); {fix}.")


def _check_color(path: Path, stream, frame) -> None:
    """Refuse a video whose frames are no color, or not upright, as FFmpeg decodes them."""
    parts, name = frame.format.components, frame.format.name
    fix = "leave that camera out, or encode it again as 'yuv420p'"
    if len(parts) == 1 and parts[0].bits > 8 and not frame.format.has_palette:
        raise InputError(f"{path} holds '{name}', {parts[0].bits} bits of gray like a depth map, "
                         f"and color is valid; {fix}.")
    if any(part.is_alpha for part in parts):
        raise InputError(f"{path} holds '{name}' with transparency, and opaque color is valid; "
                         f"{fix}.")
    if stream.codec_context.color_trc in HDR:
        raise InputError(f"{path} holds high dynamic range (color_trc "
                         f"{stream.codec_context.color_trc}), whose colors a robot's camera does "
                         f"not have; {fix}.")
    if frame.rotation:
        raise InputError(f"{path} says that it is to be turned by {frame.rotation} degrees, and "
                         "frames are taken as they are stored; encode it upright.")
