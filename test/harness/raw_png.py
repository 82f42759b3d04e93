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

"""PNG files of every kind, which the encoders at hand do not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np

GRAY, COLOR, PALETTE, COLOR_ALPHA = 0, 2, 3, 6


def raw_png(pixels: np.ndarray, kind: int, palette: np.ndarray | None = None) -> bytes:
    """Encode pixels as they are.

    Args:
        pixels: (height, width) or (height, width, channels), uint8 or uint16.
        kind: the color type of the header.
        palette: (colors, 3) uint8 that pixels of kind ``PALETTE`` point to.
    """
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2" if pixels.dtype == np.uint16 else np.uint8).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    parts = [(b"IHDR", header)]
    if palette is not None:
        parts.append((b"PLTE", palette.tobytes()))
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
              (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts)
