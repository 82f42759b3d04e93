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

"""``tinyvla data check``: check a LeRobotDataset for training; a report and contact sheets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import prepare_output_directory, write_json
from tinyvla_ros.core.image_transform import shrink
from tinyvla_ros.core.tables import markdown_table
from training.data.checks.acceptance import check_tables
from training.data.checks.declarations import Wanted, camera_columns, middle_crop, used_features
from training.data.checks.images import CameraWatch
from training.data.checks.statistics import FeatureStatistics, numeric_features
from training.data.consistency import Finding, episode_starts
from training.data.fingerprint import fingerprint
from training.data.frames import camera_frames
from training.data.lerobot.format import (
    IMAGE_DTYPES,
    INDEX_COLUMNS,
    camera_features,
    image_size,
)
from training.data.lerobot.reader import Tables, read_tables
from training.data_check.contact_sheet import MAX_SHEETS, plan_sheets, write_sheet
from training.jobs.progress import progress_bar

THUMBNAIL_HEIGHT = 120


def check_dataset(root: Path, out: Path | None = None, wanted: Wanted | None = None
                  ) -> tuple[dict, Path]:
    """Check a dataset; write the report and the contact sheets.

    Args:
        root: LeRobotDataset directory.
        out: directory for the report; None for ``results/data_check/<name of the dataset>``.
        wanted: see ``check``.

    Returns:
        What ``report.json`` holds, and the directory.

    Raises:
        InputError: the directory cannot be read at all, or ``out`` cannot be written.
    """
    tables = read_tables(root)
    name = root.resolve().name
    out = out or Path("results") / "data_check" / name
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"Output directory {out} is inside the dataset, where lerobot would "
                         "find it; give another one.")
    prepare_output_directory(out)
    report = check(tables, wanted)
    sheets = _write_sheets(tables, report, out)
    data = report_data(tables, report, sheets)
    write_json(out / "report.json", data)
    return data, out


@dataclass(frozen=True)
class CameraCheck:
    """What one camera recorded.

    Attributes:
        feature: feature name.
        decoded: number of images that could be decoded.
        color: (3,) mean RGB in [0, 1].
        brightness: darkest, mean and brightest image, of 255.
        thumbnails: row -> (THUMBNAIL_HEIGHT, width, 3) uint8 of the rows asked for.
    """

    feature: str
    decoded: int
    color: np.ndarray
    brightness: tuple[float, float, float]
    thumbnails: dict[int, np.ndarray]


@dataclass(frozen=True)
class CheckReport:
    """Everything that was found.

    Attributes:
        features: statistics of the numeric features, index columns left out.
        cameras: one per camera with pictures, in the order of ``info.json``.
        findings: errors first.
    """

    features: list[FeatureStatistics]
    cameras: list[CameraCheck]
    findings: list[Finding]


def check(tables: Tables, wanted: Wanted | None = None) -> CheckReport:
    """Check everything in a dataset; one feature and a few images are in memory at a time.

    Args:
        tables: the dataset.
        wanted: what a policy takes, whose training would ask the same; None for everything.
    """
    acceptance = check_tables(tables, wanted)
    cameras, found = _check_cameras(tables, used_features(tables, wanted), acceptance.videos)
    features = [f for f in acceptance.features if f.name not in INDEX_COLUMNS]
    return CheckReport(features, cameras, sorted([*acceptance.findings, *found],
                                                 key=lambda f: not f.error))


def _check_cameras(tables: Tables, used: set[str], videos: bool
                   ) -> tuple[list[CameraCheck], list[Finding]]:
    features, findings = [], []
    for feature in camera_columns(tables):
        if tables.info["features"][feature]["dtype"] == "video" and not videos:
            findings.append(Finding("images", f"The videos of '{feature}' were not checked,"
                                    " since the episode table does not fit the data; repair it.",
                                    error=False))
        else:
            features.append(feature)
    keep = {row for sheet in plan_sheets(tables) for rows in sheet.rows for row in rows}
    checks = []
    with progress_bar(total=len(features) * tables.frames, unit="image", desc="check images",
              file=sys.stderr) as progress:
        for feature in features:
            try:
                camera, found = check_camera(tables, feature, keep, progress.update)
                checks.append(camera)
            except InputError as err:
                found = [Finding("images", str(err))]
            findings += [replace(f, error=f.error and feature in used) for f in found]
    return checks, findings


def check_camera(tables: Tables, feature: str, keep: set[int], advance: Callable[[], object]
                 ) -> tuple[CameraCheck, list[Finding]]:
    """Decode and check every image of a camera.

    Args:
        tables: the dataset; for videos its episode table must fit its rows.
        feature: an ``image`` or ``video`` feature.
        keep: rows whose image is kept as a thumbnail.
        advance: called after every image.
    """
    watch, thumbnails, faults = CameraWatch(tables, feature), {}, []
    for row, image in camera_frames(tables, feature, faults.append):
        watch.see(row, image)
        if row in keep:
            height, width = image.shape[:2]
            thumbnails[row] = shrink(image, THUMBNAIL_HEIGHT,
                                     max(1, round(width * THUMBNAIL_HEIGHT / height)))
        advance()
    findings = [Finding("images", str(fault)) for fault in faults[:1]]
    if len(faults) > 1:
        findings.append(Finding("images", f"{len(faults) - 1} more images or videos of "
                                f"'{feature}' cannot be used; mend them likewise."))
    brightness = watch.colors.mean(1)
    seen = brightness[np.isfinite(brightness)]
    levels = (float(seen.min()), float(seen.mean(dtype=np.float64)), float(seen.max())) \
        if len(seen) else (np.nan,) * 3
    return (CameraCheck(feature, len(seen), watch.color, levels, thumbnails),
            [*findings, *watch.findings()])


def _write_sheets(tables: Tables, report: CheckReport, out: Path) -> list[str]:
    names = {feature: camera for camera, feature in camera_features(tables.info).items()}
    cameras = {names[c.feature]: c.thumbnails for c in report.cameras if c.thumbnails}
    if not cameras:
        return []
    written = []
    for sheet in plan_sheets(tables):
        written.append(sheet.file_name(tables))
        write_sheet(out / written[-1], sheet, tables, cameras)
    return written


def report_data(tables: Tables, report: CheckReport, sheets: list[str]) -> dict:
    """Return the content of ``report.json``."""
    info, rows = tables.info, tables.rows
    starts = episode_starts(tables)
    tasks = [{"task": text, "episodes": int((rows["task_index"][starts] == index).sum()),
              "frames": int((rows["task_index"] == index).sum())}
             for index, text in enumerate(tables.tasks)]
    cameras = []
    for camera in report.cameras:
        spec = info["features"][camera.feature]
        height, width = image_size(spec)
        cameras.append({"feature": camera.feature, "dtype": spec["dtype"], "height": height,
                        "width": width, "decoded": camera.decoded,
                        "square_crop": middle_crop(width, height, 1.0),
                        "mean_color": _plain(camera.color),
                        "brightness": _plain(np.array(camera.brightness))})
    features = [{"name": f.name, "channels": f.channels,
                 **{key: _plain(getattr(f, key)) for key in
                    ("min", "mean", "std", "max", "at_min", "at_max")}} for f in report.features]
    return {
        "dataset": tables.root.resolve().name, "fingerprint": fingerprint(tables.root),
        "robot_type": info.get("robot_type"), "fps": info["fps"], "episodes": len(starts),
        "frames": tables.frames, "seconds": round(tables.frames / info["fps"], 3),
        "other_features": [n for n, f in info["features"].items() if f["dtype"] not in IMAGE_DTYPES
                           and n not in numeric_features(info)],
        "tasks": tasks, "cameras": cameras, "features": features,
        "errors": sum(f.error for f in report.findings),
        "warnings": sum(not f.error for f in report.findings),
        "findings": [asdict(f) for f in report.findings], "contact_sheets": sheets}


def _plain(values: np.ndarray) -> list[float | None]:
    """Return numbers for JSON, which knows no NaN."""
    return [float(f"{v:.9g}") if np.isfinite(v) else None for v in values]


def report_text(data: dict) -> str:
    """Return the report for people, from the content of ``report.json``."""
    parts = [f"{data['dataset']}: {data['episodes']} episodes, {data['frames']} frames, "
             f"{data['fps']} fps, {_duration(data['seconds'])}, fingerprint {data['fingerprint']}"]
    tasks = [(t["task"], t["episodes"], t["frames"]) for t in data["tasks"][:MAX_SHEETS]]
    more = len(data["tasks"]) - len(tasks)
    parts.append(markdown_table(("task", "episodes", "frames"), tasks)
                 + (f"\nand {more} more tasks" if more else ""))
    if data["cameras"]:
        parts.append(markdown_table(
            ("camera", "stored as", "size", "images", "darkest of 255", "mean", "brightest",
             "crop for a square"),
            [(c["feature"], c["dtype"], f"{c['width']}x{c['height']}", c["decoded"],
              *(_number(v, 0) for v in c["brightness"]),
              c["square_crop"] if c["width"] != c["height"] else "-") for c in data["cameras"]]))
    for feature in data["features"]:
        keys, shares = ["min", "mean", "std", "max"], []
        if feature["name"].split(".")[0] == "action":
            shares = ["at_min", "at_max"]
        rows = [(channel, *(_number(feature[k][i], 4) for k in keys),
                 *(_number(v and 100 * v, 1) + " %" for v in (feature[k][i] for k in shares)))
                for i, channel in enumerate(feature["channels"])]
        heads = [*keys, *(k.replace("_", " ") for k in shares)]
        parts.append(markdown_table((feature["name"], *heads), rows))
    findings = [f"{data['errors']} error(s), {data['warnings']} warning(s)"]
    findings += [f"  {'error' if f['error'] else 'warning'}: {f['text']}"
                 for f in data["findings"]]
    return "\n\n".join([*parts, "\n".join(findings)])


def _number(value: float | None, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours} h {minutes} min" if hours else \
        f"{minutes} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
