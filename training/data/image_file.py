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

"""Decode the encoded images of a dataset, or say why they are no color images of 8 bits.

A depth camera's PNG has 16 bits, of which a decoder that is asked for color keeps the upper 8:
the picture of a table becomes three shades of gray. So the header is read first.
"""

from __future__ import annotations

import cv2
import numpy as np

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
# Types of a PNG with an alpha channel, and markers of a JPEG's frame header.
GRAY_ALPHA, COLOR_ALPHA = 4, 6
FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
EIGHT_BITS = "an 8-bit image is valid; leave that camera out, or store color with 8 bits"


def decode_color(cell: object) -> np.ndarray:
    """Decode a cell of an image column.

    Args:
        cell: the bytes of a PNG, a JPEG or another file that OpenCV reads, or a dict with them
            under ``bytes``. Gray of 8 bits becomes color, an opaque alpha channel is left out.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: a part of a sentence: what is wrong, what is valid, what to do.
    """
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not data and isinstance(cell, dict) and cell.get("path"):
        raise ValueError(f"is not in the data file but at {cell['path']!r}, and only embedded "
                         "images are read; write the dataset again with lerobot, which embeds "
                         "them")
    if not data:
        raise ValueError("is empty; write that episode again or delete it")
    if not isinstance(data, bytes):
        raise ValueError("is an array of numbers, and encoded images are valid; write PNG")
    depth, transparent = _header(data)
    if depth not in (None, 8):
        raise ValueError(f"has {depth} bits per value like a depth map, and {EIGHT_BITS}")
    buffer = np.frombuffer(data, np.uint8)
    if depth is None or transparent:
        _check_pixels(_decoded(buffer, cv2.IMREAD_UNCHANGED))
    return np.ascontiguousarray(_decoded(buffer, cv2.IMREAD_COLOR)[:, :, ::-1])


def _decoded(buffer: np.ndarray, flag: int) -> np.ndarray:
    try:
        image = cv2.imdecode(buffer, flag)
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("cannot be decoded; write that episode again or delete it")
    return image


def _check_pixels(image: np.ndarray) -> None:
    """Refuse what would not survive the conversion to color of 8 bits."""
    if image.dtype != np.uint8:
        raise ValueError(f"holds {image.dtype} like a depth map, and {EIGHT_BITS}")
    if image.ndim == 3 and image.shape[2] == 4 and (image[:, :, 3] < 255).any():
        raise ValueError("has transparent pixels, whose color is arbitrary, and opaque ones are "
                         "valid; draw it on a background first")


def _header(data: bytes) -> tuple[int | None, bool]:
    """Return the bits per value, None if unknown, and whether there may be transparency."""
    if data.startswith(PNG) and len(data) > 26:
        # Fewer than 8 bits, of gray or of a palette, are spread to 8.
        return max(8, data[24]), data[25] in (GRAY_ALPHA, COLOR_ALPHA) or b"tRNS" in data[:4096]
    place = 2
    while data.startswith(JPEG) and place + 5 <= len(data) and data[place] == 0xFF:
        if data[place + 1] in FRAME_HEADERS:
            return data[place + 4], False
        place += 2 + int.from_bytes(data[place + 2:place + 4], "big")
    return None, False
