# SPDX-License-Identifier: Apache-2.0
"""Check every image of a dataset: decoding, size, blank and dark images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.image_transform import shrink
from training.data.consistency import Finding
from training.data.frames import camera_frames, video_files
from training.data.lerobot_format import image_size
from training.data.lerobot_reader import Tables
from training.data_check.data_statistics import listed

THUMBNAIL_HEIGHT = 120
# Of 255. Below, an 8-bit camera shows noise; a blank frame has not even that.
DARK, BLANK = 10.0, 2


@dataclass(frozen=True)
class CameraCheck:
    """What one camera recorded.

    Attributes:
        feature: feature name.
        decoded: number of images that could be decoded.
        color: (3,) mean RGB in [0, 1].
        brightness: darkest, mean and brightest image, of 255.
        thumbnails: row -> (THUMBNAIL_HEIGHT, width, 3) uint8 of the rows asked for.
        findings: what is wrong.
    """

    feature: str
    decoded: int
    color: np.ndarray
    brightness: tuple[float, float, float]
    thumbnails: dict[int, np.ndarray]
    findings: list[Finding]


def check_camera(tables: Tables, feature: str, keep: set[int],
                 advance: Callable[[], object]) -> CameraCheck:
    """Decode and check every image of a camera.

    Args:
        tables: the dataset; for videos its episode table must fit its rows.
        feature: an ``image`` or ``video`` feature.
        keep: rows whose image is kept as a thumbnail.
        advance: called after every image.
    """
    declared = image_size(tables.info["features"][feature])
    colors = np.full((tables.frames, 3), np.nan, np.float32)
    spreads = np.full(tables.frames, 255, np.int64)
    thumbnails, faults, sizes = {}, [], {}
    for row, image in camera_frames(tables, feature, faults.append):
        if image.shape[:2] != declared:
            sizes.setdefault(image.shape[:2], []).append(row)
        # Every fourth pixel each way tells brightness as well as all of them.
        pixels = image[::4, ::4]
        colors[row] = pixels.mean((0, 1))
        spreads[row] = int(pixels.max()) - int(pixels.min())
        if row in keep:
            height, width = image.shape[:2]
            thumbnails[row] = shrink(image, THUMBNAIL_HEIGHT,
                                     max(1, round(width * THUMBNAIL_HEIGHT / height)))
        advance()
    findings = [*_fault_findings(feature, faults)]
    for size, rows in sizes.items():
        findings.append(Finding("image size", f"'{feature}' is {size[0]}x{size[1]} in "
                                f"{_places(tables, rows)}, meta/info.json declares "
                                f"{declared[0]}x{declared[1]}; make 'shape' agree."))
    if tables.info["features"][feature]["dtype"] == "video":
        findings += _video_findings(tables, feature)
    brightness = colors.mean(1)
    seen = brightness[np.isfinite(brightness)]
    if not len(seen):
        return CameraCheck(feature, 0, np.full(3, np.nan), (np.nan,) * 3, {}, findings)
    blank = np.flatnonzero(spreads <= BLANK)
    if len(blank):
        findings.append(Finding("blank images", f"'{feature}' shows one single color in "
                                f"{_places(tables, blank)}; look at the camera and remove those "
                                "episodes.", error=False))
    limit = max(DARK, 0.3 * float(np.median(seen)))
    dark = np.flatnonzero((brightness < limit) & (spreads > BLANK))
    if len(dark):
        findings.append(Finding("dark images", f"'{feature}' is darker than {limit:.0f} of 255 in "
                                f"{_places(tables, dark)}; look at light and exposure.",
                                error=False))
    return CameraCheck(
        feature, len(seen), np.nanmean(colors, 0, dtype=np.float64) / 255.0,
        (float(seen.min()), float(seen.mean(dtype=np.float64)), float(seen.max())), thumbnails,
        findings)


def _places(tables: Tables, rows) -> str:
    more = f" and {len(rows) - 1} more frames" if len(rows) > 1 else ""
    return tables.frame_name(int(rows[0])) + more


def _fault_findings(feature: str, faults: list[InputError]) -> Iterator[Finding]:
    if faults:
        more = f" ({len(faults) - 1} more of '{feature}')" if len(faults) > 1 else ""
        yield Finding("decoding", f"{faults[0]}{more}")


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
