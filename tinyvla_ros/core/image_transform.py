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

"""The image transform that training and inference share, and PNG."""

from __future__ import annotations

import cv2
import numpy as np


def crop_and_shrink(image: np.ndarray, box: tuple[float, float, float, float] | None,
                    height: int, width: int) -> np.ndarray:
    """Return the part of (h, w, 3) uint8 that a policy sees as (height, width, 3) uint8."""
    return shrink(crop(image, box), height, width)


def crop(image: np.ndarray, box: tuple[float, float, float, float] | None) -> np.ndarray:
    """Return the part of (h, w, 3) within (left, top, right, bottom), or all of it for None.

    The box is in fractions of width and height.
    """
    if box is None:
        return image
    h, w = image.shape[:2]
    left, top, right, bottom = box
    return image[round(top * h):round(bottom * h), round(left * w):round(right * w)]


def shrink(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (h, w, 3) uint8; areas are averaged when it becomes smaller."""
    if image.shape[:2] == (height, width):
        return image
    smaller = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height),
                      interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def encode_png(image: np.ndarray, compression: int = 1) -> bytes:
    """Return (h, w, 3) uint8 RGB as PNG; ``compression`` from 0, fast, to 9, small."""
    _, data = cv2.imencode(".png", image[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, compression])
    return data.tobytes()
