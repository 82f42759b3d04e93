# SPDX-License-Identifier: Apache-2.0
"""Film strips and a small video of the cameras in a bag."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import av
import cv2
import numpy as np

from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.messages import image_to_array
from tinyvla_ros.report.data import Camera

# Heights of pictures, pixels; a video is not wider than this either.
STRIP_HEIGHT, VIDEO_HEIGHT, VIDEO_WIDTH = 144, 240, 960
THUMBNAIL_HEIGHT = 64
STRIP_QUALITY = 78
SLOWEST_FPS, FASTEST_FPS = 5, 30
# H.264: constant quality, a key frame often enough to jump anywhere at once.
QUALITY, KEY_FRAMES_S = 27, 0.5
# A video that may have fewer bits a second than this is not worth showing.
LEAST_BITS_PER_S = 40_000
# Shown where a camera has sent nothing yet.
GRAY = 40


@dataclass
class Film:
    """Pictures of an episode.

    Attributes:
        strips: camera -> (second, JPEG) in order.
        thumbnail: JPEG of the last moment of the first camera that has one.
        video: MP4, H.264; its time is the report's time axis. Empty if there is none.
        fps: of the video.
        cameras: in the video, from left to right.
        thinned: some of the strips' pictures are left out for lack of room.
        problems: sentences about pictures that cannot be shown.
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

    def thin(self, limit: int) -> None:
        """Leave out every second picture of the strips until they fit."""
        while self.strip_bytes > limit and any(len(s) > 1 for s in self.strips.values()):
            # From the end: how it ended says most.
            self.strips = {name: s[::-2][::-1] for name, s in self.strips.items()}
            self.thinned = True


def film(bag: Bag, cameras: Sequence[Camera], duration_s: float, pictures: int,
         most_bytes: int) -> Film:
    """Make the film of a bag, in one pass over its pictures.

    Args:
        bag: where the pictures are.
        cameras: which.
        duration_s: of the time axis.
        pictures: in every strip, evenly over the time.
        most_bytes: of everything together; the video gets what the strips leave.

    Raises:
        InputError: the bag is damaged.
    """
    result = Film({c.name: [] for c in cameras})
    if not cameras:
        return result
    # Bits are spread over the whole video, so the strips are reckoned with before they are made.
    strips = min(most_bytes // 2, 6000 * pictures * len(cameras))
    encoder = _Encoder(cameras, duration_s, most_bytes - strips)
    wanted = {c.topic: _evenly(c.times, duration_s, pictures) for c in cameras}
    by_topic = {c.topic: c for c in cameras}
    number: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for message in bag.messages(by_topic):
        topic = message.topic.name
        index, camera = number[topic], by_topic[topic]
        number[topic] += 1
        if index not in wanted[topic] and not encoder.wants(camera.name, index):
            continue
        try:
            image = image_to_array(bag.decode(message))
        except InputError as err:
            problems[f"{topic}: {err}"] += 1
            image = None
        if image is not None and index in wanted[topic]:
            result.strips[camera.name].append(
                (float(camera.times[index]), _jpeg(image, STRIP_HEIGHT)))
            if camera is cameras[0]:
                result.thumbnail = _jpeg(image, THUMBNAIL_HEIGHT)
        encoder.add(camera.name, index, image)
    result.video, result.fps, result.cameras = encoder.finish(), encoder.fps, encoder.cameras
    result.strips = {name: strip for name, strip in result.strips.items() if strip}
    result.thin(most_bytes - len(result.video))
    result.problems = [f"{count} pictures cannot be shown. {why}"
                       for why, count in problems.items()]
    return result


def _evenly(times: np.ndarray, duration_s: float, count: int) -> set[int]:
    """Choose the pictures that were the newest at evenly spaced times."""
    at = np.linspace(0.0, duration_s, count)
    return set(np.maximum(np.searchsorted(times, at, "right") - 1, 0).tolist())


def _jpeg(image: np.ndarray, height: int) -> bytes:
    image = _scaled(image, height) if image.shape[0] > height else image
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, STRIP_QUALITY])[1].tobytes()


def _scaled(image: np.ndarray, height: int) -> np.ndarray:
    width = max(2, round(image.shape[1] * height / image.shape[0]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


class _Encoder:
    """Cameras side by side, at a steady rate, each showing its newest picture.

    Pictures are kept, small, from when they come until the last camera has caught up.
    """

    def __init__(self, cameras: Sequence[Camera], duration_s: float, most_bytes: int):
        period = min((float(np.median(np.diff(c.times))) for c in cameras if len(c.times) > 1),
                     default=1.0)
        self.fps = int(np.clip(round(1.0 / max(period, 1e-3)), SLOWEST_FPS, FASTEST_FPS))
        grid = np.arange(int(duration_s * self.fps) + 1) / self.fps
        # Half a microsecond: a stamp is at its frame, whatever rounding says.
        self._shown = {c.name: np.searchsorted(c.times, grid + 5e-7, "right") - 1
                       for c in cameras}
        self._wanted = {name: set(shown[shown >= 0].tolist())
                        for name, shown in self._shown.items()}
        self._tiles: dict[str, dict[int, np.ndarray]] = {c.name: {} for c in cameras}
        self._newest = {c.name: -1 for c in cameras}
        self._blank: dict[str, np.ndarray] = {}
        self._frames, self._next = len(grid), 0
        self._most_bytes = most_bytes
        self._bits_per_s = most_bytes * 8 / max(duration_s, 1.0)
        self._off = self._bits_per_s < LEAST_BITS_PER_S or "libx264" not in av.codecs_available
        self._file = io.BytesIO()
        self._container = self._stream = None

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras in the video, from left to right."""
        return list(self._shown)

    def wants(self, name: str, index: int) -> bool:
        """Whether a picture is in the video."""
        return not self._off and index in self._wanted[name]

    def add(self, name: str, index: int, image: np.ndarray | None) -> None:
        """Take a picture, None for one that cannot be shown."""
        self._newest[name] = index
        if self.wants(name, index):
            tiles = self._tiles[name]
            if image is not None:
                tiles[index] = _scaled(image, min(VIDEO_HEIGHT, image.shape[0]))
            elif tiles:
                tiles[index] = tiles[max(tiles)]
            self._encode(flush=False)

    def finish(self) -> bytes:
        """Return the video, nothing if there is none or it has become too large."""
        self._encode(flush=True)
        if self._container is None:
            return b""
        for packet in self._stream.encode():
            self._container.mux(packet)
        self._container.close()
        video = self._file.getvalue()
        return video if len(video) <= self._most_bytes else b""

    def _encode(self, flush: bool) -> None:
        """Write the frames of which every camera's picture is there; all of them to flush."""
        if self._off or (self._container is None and not self._open(flush)):
            return
        while self._next < self._frames:
            at = {name: int(shown[self._next]) for name, shown in self._shown.items()}
            if not flush and any(index > self._newest[name] for name, index in at.items()):
                return
            row = np.hstack([self._tile(name, index) for name, index in at.items()])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(row), format="rgb24")
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
            self._next += 1

    def _tile(self, name: str, index: int) -> np.ndarray:
        kept, blank = self._tiles[name], self._blank[name]
        if index not in kept:
            return blank
        for old in [i for i in kept if i < index]:
            del kept[old]
        size = blank.shape[1::-1]
        tile = kept[index]
        return tile if tile.shape == blank.shape else cv2.resize(tile, size)

    def _open(self, flush: bool) -> bool:
        """Start the video once the size of every camera's pictures is known."""
        if not flush and any(self._newest[name] < min(wanted)
                             for name, wanted in self._wanted.items() if wanted):
            return False
        first = {name: next(iter(tiles.values())) for name, tiles in self._tiles.items() if tiles}
        if not first:
            return False
        # Cameras without a picture that can be shown are left out, and named as problems.
        self._shown = {name: self._shown[name] for name in first}
        height = max(t.shape[0] for t in first.values())
        widths = {name: t.shape[1] * height / t.shape[0] for name, t in first.items()}
        shrink = min(1.0, VIDEO_WIDTH / sum(widths.values()))
        even = {name: max(2, round(w * shrink / 2) * 2) for name, w in widths.items()}
        height = max(2, round(height * shrink / 2) * 2)
        self._blank = {name: np.full((height, w, 3), GRAY, np.uint8) for name, w in even.items()}
        self._container = av.open(self._file, "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=self.fps)
        stream.width, stream.height, stream.pix_fmt = sum(even.values()), height, "yuv420p"
        limit = str(int(0.85 * self._bits_per_s))
        stream.options = {"crf": str(QUALITY), "preset": "veryfast", "maxrate": limit,
                          "bufsize": limit, "g": str(max(1, int(KEY_FRAMES_S * self.fps)))}
        self._stream = stream
        return True
