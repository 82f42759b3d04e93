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

"""What the images of a camera show: blank and dark ones, colors, frames that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

from training.data.checks.statistics import color_finding, listed, stored_statistics
from training.data.consistency import Finding
from training.data.frames import video_files
from training.data.lerobot.reader import Tables

# Of 255. Below, an 8-bit camera shows noise; a blank frame has not even that.
DARK, BLANK = 10.0, 2


class CameraWatch:
    """Looks at every image of a camera while it is decoded.

    Args:
        tables: the dataset.
        feature: an ``image`` or ``video`` feature.

    Attributes:
        colors: (frames, 3) float32 mean RGB of 255, NaN for images not seen.
    """

    def __init__(self, tables: Tables, feature: str):
        self._tables, self._feature = tables, feature
        self.colors = np.full((tables.frames, 3), np.nan, np.float32)
        self._spreads = np.full(tables.frames, 255, np.int64)

    def see(self, row: int, image: np.ndarray) -> None:
        """Look at (height, width, 3) uint8 RGB of a row."""
        # Every fourth pixel each way tells brightness as well as all of them.
        pixels = image[::4, ::4]
        self.colors[row] = pixels.mean((0, 1))
        self._spreads[row] = int(pixels.max()) - int(pixels.min())

    def findings(self) -> Iterator[Finding]:
        """Yield warnings about what was seen."""
        tables, feature = self._tables, self._feature
        if tables.info["features"][feature]["dtype"] == "video":
            yield from _video_findings(tables, feature)
        brightness = self.colors.mean(1)
        seen = brightness[np.isfinite(brightness)]
        if not len(seen):
            return
        blank = np.flatnonzero(self._spreads <= BLANK)
        if len(blank):
            yield Finding("blank images", f"'{feature}' shows one single color in "
                          f"{_places(tables, blank)}; look at the camera and remove those "
                          "episodes.", error=False)
        limit = max(DARK, 0.3 * float(np.median(seen)))
        dark = np.flatnonzero((brightness < limit) & (self._spreads > BLANK))
        if len(dark):
            yield Finding("dark images", f"'{feature}' is darker than {limit:.0f} of 255 in "
                          f"{_places(tables, dark)}; look at light and exposure.", error=False)
        yield from color_finding(stored_statistics(tables)[0], feature, self.color)

    @property
    def color(self) -> np.ndarray:
        """(3,) mean RGB in [0, 1]; NaN if nothing was seen."""
        seen = self.colors[np.isfinite(self.colors).all(1)]
        return seen.mean(0, dtype=np.float64) / 255.0 if len(seen) else np.full(3, np.nan)


def _places(tables: Tables, rows) -> str:
    more = f" and {len(rows) - 1} more frames" if len(rows) > 1 else ""
    return tables.frame_name(int(rows[0])) + more


def _video_findings(tables: Tables, feature: str) -> Iterator[Finding]:
    """Compare frame rate and length of video files with the episode table."""
    fps = tables.info["fps"]
    rates, surplus = [], []
    for path, episodes in video_files(tables, feature):
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                rate, frames = stream.average_rate, stream.frames
        except (av.FFmpegError, OSError, IndexError):
            continue  # decoding has reported it already
        used = int(tables.episodes.length[episodes].sum())
        name = path.relative_to(tables.root).as_posix()
        if rate and abs(float(rate) - fps) > 0.01 * fps:
            rates.append(f"{name} ({float(rate):.3g} fps)")
        if frames > used:
            surplus.append(f"{name} ({frames} frames, {used} used)")
    if rates:
        yield Finding("video rate", f"'{feature}' has another frame rate than {fps} fps: "
                      f"{listed(rates)}; encode it again at {fps} fps.", error=False)
    if surplus:
        yield Finding("video frames", f"'{feature}' has frames that no episode uses: "
                      f"{listed(surplus)}; harmless, unless episodes are missing.", error=False)
