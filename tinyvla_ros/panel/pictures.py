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

"""The newest picture of every camera, as JPEG."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np

LARGEST_WIDTH = 640
QUALITY = 75


class Pictures:
    """Written by the thread that gets the images, read by the server's.

    Args:
        cameras: names, in the order of their numbers.
    """

    def __init__(self, cameras: tuple[str, ...]):
        self._cameras = cameras
        self._lock = threading.Lock()
        self._newest: dict[int, tuple[int, bytes]] = {}
        self._numbers = [0] * len(cameras)
        self._came_s: dict[str, float] = {}

    def put(self, camera: str, jpeg: bytes) -> None:
        """Keep a picture."""
        index = self._cameras.index(camera)
        with self._lock:
            self._numbers[index] += 1
            self._newest[index] = self._numbers[index], jpeg
            self._came_s[camera] = time.monotonic()

    def clear(self) -> None:
        """Forget all: whoever looks later must not see what was before."""
        with self._lock:
            self._newest.clear()
            self._came_s.clear()

    def ages(self) -> dict[str, float]:
        """Return seconds since the newest picture, of cameras that have one."""
        now_s = time.monotonic()
        with self._lock:
            return {camera: round(now_s - at_s, 2) for camera, at_s in self._came_s.items()}

    def newer(self, seen: dict[int, int]) -> list[tuple[int, int, bytes]]:
        """Return camera's number, picture's number and JPEG of those that were not seen."""
        with self._lock:
            return [(index, number, jpeg) for index, (number, jpeg) in self._newest.items()
                    if seen.get(index) != number]


def as_jpeg(image: np.ndarray) -> bytes:
    """Return (height, width, 3) uint8 RGB as a JPEG of at most ``LARGEST_WIDTH`` pixels."""
    height, width = image.shape[:2]
    if width > LARGEST_WIDTH:
        size = LARGEST_WIDTH, max(1, round(height * LARGEST_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes()
