# SPDX-License-Identifier: Apache-2.0
"""Decode the images of a LeRobotDataset, stored in the data files or as video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tinyvla_ros.core.errors import InputError
from training.data.consistency import time_tolerance
from training.data.lerobot_format import VIDEO_PATH
from training.data.lerobot_reader import Tables, is_lfs_pointer, unreadable

BATCH_ROWS = 64


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
        InputError: an image or a video is missing, cannot be decoded or is too short.
    """
    if tables.info["features"][feature]["dtype"] == "video":
        yield from _from_videos(tables, feature, on_error)
    else:
        yield from _from_data_files(tables, feature, on_error)


def _from_data_files(tables, feature, on_error):
    row = 0
    for path in tables.files:
        for cell in _cells(path, feature):
            data = cell["bytes"] if isinstance(cell, dict) else cell
            image = None
            if isinstance(cell, dict) and cell["path"] and not data:
                raise InputError(f"{path} holds only the name of the image '{feature}' of "
                                 f"{tables.frame_name(row)} ({cell['path']}), not the image; "
                                 "write the dataset again with lerobot, which embeds images.")
            if data:
                image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                on_error(InputError(
                    f"{path}: the image '{feature}' of {tables.frame_name(row)} cannot be "
                    "decoded; write that episode again or delete it."))
            else:
                yield row, np.ascontiguousarray(image[:, :, ::-1])
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
        pattern = tables.info.get("video_path") or VIDEO_PATH
        try:
            path = pattern.format(video_key=feature, chunk_index=chunk, file_index=number)
        except (LookupError, ValueError, AttributeError):
            raise InputError(f"{tables.root}/meta/info.json: 'video_path' is {pattern!r}, which "
                             f"is not of v3.0; write {VIDEO_PATH!r}.") from None
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
    wanted, now, tolerance = 0, None, time_tolerance(times)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no video stream, it should hold {first}; {fix}.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.pts is None:
                    continue
                now, image = float(frame.pts * stream.time_base), None
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
    state = "no frame could be decoded" if now is None else f"the nearest is at {now:.4f} s"
    raise InputError(f"{path} has no frame at {times[wanted]:.4f} s for "
                     f"{tables.frame_name(rows[wanted])} ({state}); {fix}.")
