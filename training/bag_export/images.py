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

"""The images of an episode, from a bag to PNG or video."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.image_transform import crop, shrink
from tinyvla_ros.core.ros.messages import image_to_array
from training.bag_export.sampling import Frames
from training.bag_export.streams import Recording
from training.data.lerobot.video import VideoEncoder, video_feature
from training.data.lerobot.writer import thinned, thinned_stats
from training.data.stored_images import StoredImages


@dataclass(frozen=True)
class ImageFormat:
    """How the images of a camera are stored.

    Attributes:
        height, width: in pixels.
        video: as video instead of PNG.
        crop: (left, top, right, bottom) as fractions of the recorded image, None for all of it.
    """

    height: int = 96
    width: int = 96
    video: bool = False
    crop: tuple[float, float, float, float] | None = None

    def feature(self, fps: int) -> dict:
        """Return the entry of ``info.json`` for a camera.

        Raises:
            InputError: videos of this size cannot be made.
        """
        if self.video:
            return video_feature(self.height, self.width, fps)
        return {"dtype": "image", "shape": [self.height, self.width, 3],
                "names": ["height", "width", "channels"]}


def store_images(bag: Bag, recording: Recording, frames: Frames, fps: int,
                 formats: Mapping[str, ImageFormat], place: Path
                 ) -> tuple[dict[str, np.ndarray], dict[str, StoredImages]]:
    """Decode the images of the frames, one at a time, and store them as the policy sees them.

    Args:
        fps: frames per second of a video.
        formats: camera -> how to store its images.
        place: directory for videos.

    Returns:
        Arrays to keep: ``png/FEATURE`` and ``ends/FEATURE`` (all files as one, and where each
        ends), and ``stats/FEATURE/...``. For every camera, how its images were made.

    Raises:
        InputError: an image cannot be decoded.
    """
    wanted, stores = defaultdict(list), {}
    for name, topic in recording.topics.items():
        numbers = recording.cameras[name].values[frames.picks[f"camera {name}"]]
        stores[name] = _Store(f"observation.images.{name}", formats[name], fps, place)
        # A message may serve several frames, and several cameras.
        wanted[topic].append((stores[name], Counter(numbers.tolist())))
    seen = Counter()
    for message in bag.messages(wanted):
        topic = message.topic.name
        number = seen[topic]
        seen[topic] += 1
        counts = [(store, count[number]) for store, count in wanted[topic] if count[number]]
        if not counts:
            continue
        try:
            image = image_to_array(bag.decode(message))
        except MessageError as err:
            raise InputError(f"{bag.path}: image {number} of {topic}: {err}") from None
        for store, count in counts:
            store.add(image, count)
    arrays = {key: array for store in stores.values() for key, array in store.close().items()}
    return arrays, {name: store.stored_images() for name, store in stores.items()}


class _Store:
    """The images of one camera, as PNG or as video."""

    def __init__(self, feature: str, form: ImageFormat, fps: int, place: Path):
        self._feature, self._format = feature, form
        self._video = VideoEncoder(place / f"{feature}.mp4", fps) if form.video else None
        self._png: list[np.ndarray] = []
        self._thin: list[np.ndarray] = []
        self._resized = False

    def add(self, image: np.ndarray, count: int) -> None:
        """Take an image of the robot, (h, w, 3) uint8 RGB, for as many frames in a row."""
        size = self._format.height, self._format.width
        image = crop(image, self._format.crop)
        self._resized |= image.shape[:2] != size
        image = shrink(image, *size)
        self._thin += [thinned(image).copy()] * count
        if self._video is not None:
            for _ in range(count):
                self._video.add(image)
        else:
            # Level 1: a tenth larger than the best and five times faster.
            _, png = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            self._png += [png.reshape(-1)] * count

    def stored_images(self) -> StoredImages:
        """Return how the images were made."""
        return StoredImages(crop=self._format.crop, resized=self._resized)

    def close(self) -> dict[str, np.ndarray]:
        """Finish; see ``store_images``."""
        name = self._feature
        stats = thinned_stats(np.stack(self._thin))
        arrays = {f"stats/{name}/{key}": value for key, value in stats.items()}
        if self._video is not None:
            self._video.close()
        else:
            arrays[f"png/{name}"] = np.concatenate(self._png)
            arrays[f"ends/{name}"] = np.cumsum([len(p) for p in self._png])
        return arrays
