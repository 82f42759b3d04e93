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

"""Film strips and a small video of the cameras in a bag."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from tempfile import TemporaryFile, gettempdir

import av
import cv2
import numpy as np

from tinyvla_ros.core.errors import InputError

# Heights of images and width of the video, pixels.
STRIP_HEIGHT, VIDEO_HEIGHT, VIDEO_WIDTH = 144, 240, 960
THUMBNAIL_HEIGHT = 64
# JPEG quality of kept images, and of those on the page.
KEPT_QUALITY, STRIP_QUALITY = 95, 78
MIN_FPS, MAX_FPS = 5, 30
# H.264: constant quality, and key frames often enough to jump anywhere at once.
VIDEO_QUALITY, KEY_FRAMES_S = 27, 0.5
# A video that may have fewer bits a second than this is left out.
MIN_BITS_PER_S = 40_000
# Shown before a camera's first image.
GRAY = 40


@dataclass
class FilmCamera:
    """The images of a camera that a film is made of.

    Attributes:
        name: of the camera.
        topic: of its images.
        times: (n,) second of every message, ascending.
        kept: (m,) indices of the messages whose images were kept.
    """

    name: str
    topic: str
    times: np.ndarray
    kept: np.ndarray

    def newest(self, at: np.ndarray) -> np.ndarray:
        """Return for every second in ``at`` the position in ``kept`` of the newest image.

        It is -1 before the first one.
        """
        # Half a microsecond, so that rounding does not move an image to the next frame.
        return np.searchsorted(self.times[self.kept], at + 5e-7, "right") - 1


class ImageStore(AbstractContextManager):
    """Keeps small copies of images in a temporary file, so that a bag is read only once.

    A film needs the time axis, which is known after the last message; memory stays bounded.

    Attributes:
        kept: topic -> indices of the messages whose images were kept.
        problems: sentence -> how many images could not be read because of it.
    """

    def __init__(self):
        self.kept: dict[str, list[int]] = {}
        self.problems: Counter[str] = Counter()
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._last_ns: dict[str, int] = {}

    def __exit__(self, *error) -> None:
        self._file.close()

    def wants(self, topic: str, time_ns: int) -> bool:
        """Whether an image is needed for the highest frame rate of a video."""
        since = time_ns - self._last_ns.get(topic, -1 << 62)
        return not 0 <= since < 0.9e9 / MAX_FPS

    def add(self, topic: str, index: int, time_ns: int, image: np.ndarray) -> None:
        """Keep an image, (height, width, 3) uint8 RGB, of message ``index`` of a topic.

        Raises:
            InputError: the disk is full.
        """
        jpeg = _jpeg(image, VIDEO_HEIGHT, KEPT_QUALITY)
        offset = self._file.seek(0, io.SEEK_END)
        try:
            written = self._file.write(jpeg)
        except OSError:
            written = 0
        if written < len(jpeg):
            raise InputError(f"The disk of {gettempdir()} is full, where images are kept while a "
                             "bag is read; free some space, or set TMPDIR to another directory.")
        self._last_ns[topic] = time_ns
        self._places.setdefault(topic, []).append((offset, len(jpeg)))
        self.kept.setdefault(topic, []).append(index)

    def image(self, topic: str, position: int) -> np.ndarray:
        """Return an image of ``kept``, at most ``VIDEO_HEIGHT`` high."""
        offset, size = self._places[topic][position]
        self._file.seek(offset)
        data = np.frombuffer(self._file.read(size), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]


@dataclass
class Film:
    """Images of an episode.

    Attributes:
        strips: camera -> (second, JPEG) in order.
        thumbnail: JPEG of the last image of the first camera that has one.
        video: MP4, H.264; its time is the report's time axis. Empty if there is none.
        fps: of the video.
        cameras: in the video, from left to right.
        thinned: some images of the strips were left out for lack of room.
        problems: sentences about images that cannot be shown.
    """

    strips: dict[str, list[tuple[float, bytes]]] = field(default_factory=dict)
    thumbnail: bytes = b""
    video: bytes = b""
    fps: int = 0
    cameras: list[str] = field(default_factory=list)
    thinned: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def strip_bytes(self) -> int:
        """Size of all strips."""
        return sum(len(jpeg) for strip in self.strips.values() for _, jpeg in strip)

    def thin(self, max_bytes: int) -> None:
        """Leave out every second image of the strips until they fit."""
        while self.strip_bytes > max_bytes and any(len(s) > 1 for s in self.strips.values()):
            # From the end, because the last image shows the outcome.
            self.strips = {name: s[::-2][::-1] for name, s in self.strips.items()}
            self.thinned = True


def make_film(store: ImageStore, cameras: Sequence[FilmCamera], duration_s: float,
              images: int, max_bytes: int) -> Film:
    """Make the film of an episode.

    Args:
        store: has the images.
        cameras: which.
        duration_s: of the time axis.
        images: in every strip, evenly over the time.
        max_bytes: of everything together; a video gets at least half of it.
    """
    film = Film(problems=[f"{count} images cannot be shown. {why}"
                          for why, count in store.problems.items()])
    cameras = [c for c in cameras if len(c.kept)]
    if not cameras:
        return film
    at = np.linspace(0.0, duration_s, images)
    for camera in cameras:
        strip = sorted({max(0, i) for i in camera.newest(at).tolist()})
        film.strips[camera.name] = [
            (float(camera.times[camera.kept[i]]),
             _jpeg(store.image(camera.topic, i), STRIP_HEIGHT, STRIP_QUALITY)) for i in strip]
    first = cameras[0]
    film.thumbnail = _jpeg(store.image(first.topic, len(first.kept) - 1), THUMBNAIL_HEIGHT,
                           STRIP_QUALITY)
    film.cameras = [c.name for c in cameras]
    film.fps = _fps(cameras)
    film.video = _video(store, cameras, duration_s, film.fps,
                        max_bytes - min(film.strip_bytes, max_bytes // 2))
    film.thin(max_bytes - len(film.video))
    return film


def _jpeg(image: np.ndarray, max_height: int, quality: int) -> bytes:
    if image.shape[0] > max_height:
        width = max(2, round(image.shape[1] * max_height / image.shape[0]))
        image = cv2.resize(image, (width, max_height), interpolation=cv2.INTER_AREA)
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _fps(cameras: Sequence[FilmCamera]) -> int:
    period = min((float(np.median(np.diff(c.times))) for c in cameras if len(c.times) > 1),
                 default=1.0)
    return int(np.clip(round(1.0 / max(period, 1e-3)), MIN_FPS, MAX_FPS))


def _video(store: ImageStore, cameras: Sequence[FilmCamera], duration_s: float, fps: int,
           max_bytes: int) -> bytes:
    """Return an MP4 of the cameras side by side, each showing its newest image.

    It is empty if it would be larger than ``max_bytes``, or not worth watching below that.
    """
    bits_per_s = max_bytes * 8 / max(duration_s, 1.0)
    if bits_per_s < MIN_BITS_PER_S or "libx264" not in av.codecs_available:
        return b""
    firsts = [store.image(c.topic, 0) for c in cameras]
    height = max(image.shape[0] for image in firsts)
    widths = [image.shape[1] * height / image.shape[0] for image in firsts]
    shrink = min(1.0, VIDEO_WIDTH / sum(widths))
    widths = [max(2, round(w * shrink / 2) * 2) for w in widths]  # H.264 wants even sizes
    height = max(2, round(height * shrink / 2) * 2)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = sum(widths), height, "yuv420p"
        limit = str(int(0.85 * bits_per_s))
        stream.options = {"crf": str(VIDEO_QUALITY), "preset": "veryfast", "maxrate": limit,
                          "bufsize": limit, "g": str(max(1, int(KEY_FRAMES_S * fps)))}
        at = np.arange(int(duration_s * fps) + 1) / fps
        tiles = [np.full((height, width, 3), GRAY, np.uint8) for width in widths]
        shown = [-1] * len(cameras)
        for newest in zip(*(c.newest(at).tolist() for c in cameras), strict=True):
            for i, position in enumerate(newest):
                if position != shown[i]:
                    shown[i] = position
                    tiles[i] = cv2.resize(store.image(cameras[i].topic, position),
                                          (widths[i], height), interpolation=cv2.INTER_AREA)
            frame = av.VideoFrame.from_ndarray(np.hstack(tiles), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    video = file.getvalue()
    return video if len(video) <= max_bytes else b""
