# SPDX-License-Identifier: Apache-2.0
"""The images of an episode, from a bag to PNG or video."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.images import shrink
from tinyvla_ros.core.messages import image_to_array
from training.bag_export.sampling import Frames
from training.bag_export.streams import Recording
from training.data.lerobot_video import VideoEncoder, video_feature
from training.data.lerobot_writer import thinned, thinned_stats


@dataclass(frozen=True)
class PictureFormat:
    """How images are stored.

    Attributes:
        height, width: in pixels.
        video: as video instead of PNG.
    """

    height: int = 96
    width: int = 96
    video: bool = False

    def feature(self, fps: int) -> dict:
        """Return the entry of ``info.json`` for a camera.

        Raises:
            InputError: videos of this size cannot be made.
        """
        if self.video:
            return video_feature(self.height, self.width, fps)
        return {"dtype": "image", "shape": [self.height, self.width, 3],
                "names": ["height", "width", "channels"]}


def store_pictures(bag: Bag, recording: Recording, frames: Frames, fps: int,
                   pictures: PictureFormat, place: Path) -> dict[str, np.ndarray]:
    """Decode the images of the frames, one at a time, and store them small.

    Args:
        bag: where they are.
        recording: what else is in it.
        frames: which are wanted.
        fps: frames per second of a video.
        pictures: how to store them.
        place: directory for videos.

    Returns:
        Arrays to keep: ``png/FEATURE`` and ``ends/FEATURE`` (all files as one, and where each
        ends), and ``stats/FEATURE/...``.

    Raises:
        InputError: an image cannot be decoded.
    """
    wanted, stores = {}, defaultdict(list)
    for name, topic in recording.topics.items():
        numbers = recording.cameras[name].values[frames.picks[f"camera {name}"]]
        wanted[topic] = Counter(numbers.tolist())  # a message may serve several frames
        stores[topic].append(_Store(f"observation.images.{name}", pictures, fps, place))
    seen = Counter()
    for message in bag.messages(wanted):
        topic = message.topic.name
        count = wanted[topic][seen[topic]]
        seen[topic] += 1
        if not count:
            continue
        try:
            image = image_to_array(bag.decode(message))
        except MessageError as err:
            raise InputError(f"{bag.path}: image {seen[topic] - 1} of {topic}: {err}") from None
        image = shrink(image, pictures.height, pictures.width)
        for store in stores[topic]:
            store.add(image, count)
    return {key: array for same in stores.values() for store in same
            for key, array in store.close().items()}


class _Store:
    """The pictures of one camera, as PNG or as video."""

    def __init__(self, feature: str, pictures: PictureFormat, fps: int, place: Path):
        self._feature = feature
        self._video = VideoEncoder(place / f"{feature}.mp4", fps) if pictures.video else None
        self._png: list[np.ndarray] = []
        self._thin: list[np.ndarray] = []

    def add(self, image: np.ndarray, count: int) -> None:
        """Take (height, width, 3) uint8 RGB for as many frames in a row."""
        self._thin += [thinned(image).copy()] * count
        if self._video is not None:
            for _ in range(count):
                self._video.add(image)
        else:
            # Level 1: a tenth larger than the best and five times faster.
            _, png = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            self._png += [png.reshape(-1)] * count

    def close(self) -> dict[str, np.ndarray]:
        """Finish; see ``store_pictures``."""
        name = self._feature
        stats = thinned_stats(np.stack(self._thin))
        arrays = {f"stats/{name}/{key}": value for key, value in stats.items()}
        if self._video is not None:
            self._video.close()
        else:
            arrays[f"png/{name}"] = np.concatenate(self._png)
            arrays[f"ends/{name}"] = np.cumsum([len(p) for p in self._png])
        return arrays
