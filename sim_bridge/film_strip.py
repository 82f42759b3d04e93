# SPDX-License-Identifier: Apache-2.0
"""Film strips: what the cameras saw at the start, middle and end of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

LABEL_HEIGHT = 22


class FilmStrip:
    """Keep the images of one episode and write three moments of it as a PNG."""

    def __init__(self):
        self._frames: list[Mapping[str, np.ndarray]] = []

    def add(self, images: Mapping[str, np.ndarray]) -> None:
        """Append one moment: camera name -> (H, W, 3) uint8 RGB."""
        self._frames.append(images)

    def __len__(self) -> int:
        return len(self._frames)

    def write(self, path: Path, title: str) -> None:
        """Write start, middle and end side by side, one row per camera."""
        if not self._frames:
            return
        last = len(self._frames) - 1
        moments = [self._frames[i] for i in (0, last // 2, last)]
        rows = [np.hstack([moment[name] for moment in moments]) for name in moments[0]]
        width = max(row.shape[1] for row in rows)
        rows = [cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT)
                for row in rows]
        label = np.full((LABEL_HEIGHT, width, 3), 255, np.uint8)
        cv2.putText(label, title, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1,
                    cv2.LINE_AA)
        image = np.vstack([label, *rows])
        if not cv2.imwrite(str(path), image[:, :, ::-1]):
            raise OSError(f"cannot write {path}")
