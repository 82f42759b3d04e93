# SPDX-License-Identifier: Apache-2.0
"""``tinyvla data check``: check a LeRobotDataset for training; a report and contact sheets."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import prepare_output_directory, write_json
from tinyvla_ros.core.tables import markdown_table
from training.data.consistency import Finding, episode_starts, frame_findings, table_findings
from training.data.fingerprint import fingerprint
from training.data.lerobot_format import (
    IMAGE_DTYPES,
    INDEX_COLUMNS,
    camera_features,
    image_size,
    is_depth,
)
from training.data.lerobot_reader import Tables, read_tables
from training.data_check.contact_sheet import MAX_SHEETS, plan_sheets, write_sheet
from training.data_check.data_statistics import (
    FeatureStatistics,
    check_feature,
    length_findings,
    numeric_features,
    stats_findings,
    task_findings,
)
from training.data_check.image_check import CameraCheck, check_camera
from training.jobs.progress import progress_bar


def check_dataset(root: Path, out: Path | None = None) -> tuple[dict, Path]:
    """Check a dataset; write the report and the contact sheets.

    Args:
        root: LeRobotDataset directory.
        out: directory for the report; None for ``results/data_check/<name of the dataset>``.

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
    report = check(tables)
    sheets = _write_sheets(tables, report, out)
    data = report_data(tables, report, sheets)
    write_json(out / "report.json", data)
    return data, out


@dataclass(frozen=True)
class CheckReport:
    """Everything that was found.

    Attributes:
        features: statistics of the numeric features, index columns left out.
        cameras: one per image feature, in the order of ``info.json``.
        findings: errors first.
    """

    features: list[FeatureStatistics]
    cameras: list[CameraCheck]
    findings: list[Finding]


def check(tables: Tables) -> CheckReport:
    """Check everything in a dataset; one feature and a few images are in memory at a time."""
    broken = list(table_findings(tables))
    findings = [*broken, *_column_findings(tables), *frame_findings(tables),
                *length_findings(tables), *task_findings(tables)]
    features = []
    for name in numeric_features(tables.info):
        try:
            statistics, found = check_feature(tables, name)
        except InputError as err:
            findings.append(Finding("features", str(err)))
            continue
        features.append(statistics)
        findings += found
    cameras, found = _check_cameras(tables, bool(broken))
    findings += found
    findings += [f for camera in cameras for f in camera.findings]
    findings += _stored_statistics(tables, features, cameras)
    features = [f for f in features if f.name not in INDEX_COLUMNS]
    return CheckReport(features, cameras, sorted(findings, key=lambda f: not f.error))


def _stored_statistics(tables: Tables, features, cameras) -> list[Finding]:
    path = tables.root / "meta" / "stats.json"
    if not path.is_file():
        return [Finding("stats.json", "meta/stats.json is missing; compute it with lerobot if you "
                        "want to train there.", error=False)]
    try:
        stored = read_json(path)
    except InputError as err:
        return [Finding("stats.json", str(err))]
    return list(stats_findings(stored, features,
                               {c.feature: c.color for c in cameras if c.decoded}))


def _check_cameras(tables: Tables, broken: bool) -> tuple[list[CameraCheck], list[Finding]]:
    features, findings = [], []
    for feature in camera_features(tables.info).values():
        spec = tables.info["features"][feature]
        if is_depth(spec):
            findings.append(Finding("images", f"'{feature}' is a depth map and was not checked; "
                                    "check it by other means.", error=False))
        elif spec["dtype"] == "video" and broken:
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
                checks.append(check_camera(tables, feature, keep, progress.update))
            except InputError as err:
                findings.append(Finding("images", str(err)))
    return checks, findings


def _column_findings(tables: Tables) -> list[Finding]:
    """Compare the columns of the data files with the features that are declared."""
    declared = {n for n, f in tables.info["features"].items() if f["dtype"] != "video"}
    findings = []
    for path in tables.files:
        present = set(pq.read_schema(path).names)
        for kind, names in (("lacks", declared - present), ("has undeclared", present - declared)):
            if names:
                findings.append(Finding(
                    "features", f"{path.relative_to(tables.root).as_posix()} {kind} "
                    f"{', '.join(sorted(names))}; make 'features' in meta/info.json agree, lerobot"
                    " refuses the file."))
    return findings[:3]  # what is wrong with one file mostly is with all


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
            ("camera", "stored as", "size", "images", "darkest of 255", "mean", "brightest"),
            [(c["feature"], c["dtype"], f"{c['width']}x{c['height']}", c["decoded"],
              *(_number(v, 0) for v in c["brightness"])) for c in data["cameras"]]))
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
