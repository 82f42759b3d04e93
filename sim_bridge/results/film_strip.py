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

"""Film strips: what the cameras saw at the start, middle and end of an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from tinyvla_ros.core.image_transform import encode_png

LABEL_HEIGHT = 22


def write_film_strip(path: Path, frames: Sequence[Mapping[str, np.ndarray]], title: str) -> None:
    """Write a film strip; nothing is written if there are no frames.

    Args:
        path: of the PNG; its directory is made if needed.
        frames: see ``film_strip``.
        title: see ``film_strip``.

    Raises:
        OSError: the file cannot be written.
    """
    if frames:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(film_strip(frames, title))  # cv2.imwrite takes only UTF-8 for a name


def film_strip(frames: Sequence[Mapping[str, np.ndarray]], title: str) -> bytes:
    """Return start, middle and end side by side as a PNG, one row per camera.

    Args:
        frames: moments of an episode, at least one, camera name -> (H, W, 3) uint8 RGB.
        title: drawn above.
    """
    last = len(frames) - 1
    moments = [frames[i] for i in (0, last // 2, last)]
    rows = [np.hstack([moment[name] for moment in moments]) for name in moments[0]]
    width = max(row.shape[1] for row in rows)
    rows = [cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT)
            for row in rows]
    label = np.full((LABEL_HEIGHT, width, 3), 255, np.uint8)
    cv2.putText(label, title, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1,
                cv2.LINE_AA)
    return encode_png(np.vstack([label, *rows]))
