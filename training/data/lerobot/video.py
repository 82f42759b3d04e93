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

"""Videos of LeRobotDataset v3.0: one piece per episode, concatenated without re-encoding.

Encoded as lerobot does it by default (AV1, every second frame a key frame, crf 30), with H.264
where FFmpeg has no AV1 encoder.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tinyvla_ros.core.errors import InputError
from training.data.lerobot.format import CHUNKS_SIZE, VIDEO_FILE_MB, VIDEO_PATH

# One thread, so that the same images give the same bytes on every machine.
ENCODERS = {
    "libsvtav1": ("av1", {"g": "2", "crf": "30", "preset": "8", "svtav1-params": "lp=1"}),
    "libx264": ("h264", {"g": "2", "crf": "23", "bf": "0", "threads": "1"})}
# The AV1 encoder takes no smaller images, and yuv420p no odd sizes.
SMALLEST = 64


def video_feature(height: int, width: int, fps: int) -> dict:
    """Return the entry of ``info.json`` for a camera stored as video.

    Raises:
        InputError: the size cannot be encoded, or there is no encoder.
    """
    if min(height, width) < SMALLEST or height % 2 or width % 2:
        raise InputError(f"Videos of {width}x{height} cannot be encoded; give an even --size of "
                         f"at least {SMALLEST}, or --images image.")
    return {"dtype": "video", "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {"video.height": height, "video.width": width,
                     "video.codec": ENCODERS[_encoder()][0], "video.pix_fmt": "yuv420p",
                     "video.is_depth_map": False, "video.fps": fps, "video.channels": 3,
                     "has_audio": False}}


def _encoder() -> str:
    for name in ENCODERS:
        if name in av.codecs_available:
            return name
    raise InputError(f"FFmpeg has none of the encoders {', '.join(ENCODERS)}; install another "
                     "'av', or give --images image.")


class VideoEncoder:
    """Encode the images of one episode.

    Args:
        path: mp4 file to write.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: int):
        os.environ.setdefault("SVT_LOG", "1")  # errors only, instead of 20 lines for each video
        self._container = av.open(str(path), "w")
        name = _encoder()
        self._stream = self._container.add_stream(name, rate=fps, options=ENCODERS[name][1])
        self._stream.pix_fmt = "yuv420p"
        self._stream.thread_count = 1
        self._fps, self._count = fps, 0

    def add(self, image: np.ndarray) -> None:
        """Append (height, width, 3) uint8 RGB."""
        if not self._count:
            self._stream.height, self._stream.width = image.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file."""
        if self._count:
            self._container.mux(self._stream.encode())
        self._container.close()


class VideoJoiner:
    """Append episodes to the video files of one camera.

    Args:
        root: dataset directory.
        feature: of the camera.
        fps: frames per second.
    """

    def __init__(self, root: Path, feature: str, fps: int):
        self._root, self._feature, self._fps = root, feature, fps
        self._container = None
        self._number, self._bytes, self._frames = -1, 0, 0

    def append(self, piece: Path, frames: int) -> dict:
        """Copy the packets of an episode; returns its columns of the episode table.

        Args:
            piece: what ``VideoEncoder`` wrote.
            frames: number of its frames.
        """
        with av.open(str(piece)) as source:
            stream = source.streams.video[0]
            if self._container is None or self._bytes >= VIDEO_FILE_MB * 1e6:
                self._open(stream)
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue  # marks the end of the stream
                # Times are exact: every time base here is a multiple of the frame rate.
                shift = round(self._frames / self._fps / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                self._bytes += packet.size
                packet.stream = self._stream
                self._container.mux(packet)
        chunk, file = divmod(self._number, CHUNKS_SIZE)
        begin, self._frames = self._frames, self._frames + frames
        prefix = f"videos/{self._feature}"
        return {f"{prefix}/chunk_index": chunk, f"{prefix}/file_index": file,
                f"{prefix}/from_timestamp": begin / self._fps,
                f"{prefix}/to_timestamp": self._frames / self._fps}

    def close(self) -> None:
        """Finish the file."""
        if self._container is not None:
            self._container.close()

    def _open(self, template) -> None:
        self.close()
        self._number, self._bytes, self._frames = self._number + 1, 0, 0
        chunk, file = divmod(self._number, CHUNKS_SIZE)
        path = self._root / VIDEO_PATH.format(video_key=self._feature, chunk_index=chunk,
                                        file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w")
        # Opaque: the decoder of AV1 is not its encoder.
        self._stream = self._container.add_stream_from_template(template, opaque=True)
