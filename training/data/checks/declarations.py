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

"""What ``meta/info.json`` says about cameras, states and actions: honored, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow.parquet as pq

from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from training.data.checks.names import (
    action_columns,
    left_out,
    numeric_feature,
    state_columns,
    without_names,
)
from training.data.consistency import Finding
from training.data.lerobot.format import (
    CAMERA_PREFIXES,
    EXECUTED_ACTION,
    EXPERT_PLAN,
    INDEX_COLUMNS,
    PICTURE_CHANNELS,
    camera_features,
    channel_names,
    image_layout,
    image_size,
    is_depth,
    value_names,
)
from training.data.lerobot.reader import Tables
from training.data.stored_images import remaining_transform

# Widths and heights may be rounded to whole pixels; beyond that, shapes change visibly.
SQUEEZE = 0.02
UNITS = {"rad": ("rad", "radian", "radians"), "deg": ("deg", "degree", "degrees", "°"),
         "m": ("m", "meter", "meters", "metre", "metres"), "mm": ("mm", "millimeter"),
         "cm": ("cm", "centimeter")}


@dataclass(frozen=True)
class Wanted:
    """What a policy takes from a dataset.

    Attributes:
        cameras: camera name -> what the policy sees of it.
        state: state names.
        action: channels and timing.
    """

    cameras: Mapping[str, CameraSpec]
    state: tuple[str, ...]
    action: ActionSpec


def declaration_findings(tables: Tables, wanted: Wanted | None) -> Iterator[Finding]:
    """Check everything that ``meta/info.json`` declares, and that the data files have it.

    Args:
        tables: the dataset.
        wanted: what a policy takes; None for everything that one could take.
    """
    yield from _camera_findings(tables, wanted)
    yield from _number_findings(tables, wanted)
    yield from _column_findings(tables, used_features(tables, wanted))
    splits = tables.info.get("splits")
    held = [f"{name} ({episodes})" for name, episodes in splits.items() if name != "train"] \
        if isinstance(splits, dict) else []
    if held:
        yield Finding("splits", f"meta/info.json sets episodes apart as {', '.join(held)}, and "
                      "training draws from all of them; split the dataset with lerobot if they "
                      "are to be held out.", error=False)


def used_features(tables: Tables, wanted: Wanted | None) -> set[str]:
    """Return the features that training reads; without ``wanted`` those that it could read."""
    cameras = camera_features(tables.info)
    names = color_cameras(tables) if wanted is None else wanted.cameras
    return {"action", "observation.state", *INDEX_COLUMNS,
            *{EXECUTED_ACTION, EXPERT_PLAN}.intersection(tables.info["features"]),
            *(cameras[name] for name in names if name in cameras)}


def color_cameras(tables: Tables) -> list[str]:
    """Return the names of the cameras that are declared to hold pictures."""
    return [name for name, feature in camera_features(tables.info).items()
            if not camera_problem(tables.info["features"][feature])]


def _camera_findings(tables: Tables, wanted: Wanted | None) -> Iterator[Finding]:
    cameras = camera_features(tables.info)
    names = cameras if wanted is None else wanted.cameras
    if wanted is None and not color_cameras(tables):
        others = [f"'{name}' has dtype {feature['dtype']!r}"
                  for name, feature in tables.info["features"].items()
                  if name.startswith(CAMERA_PREFIXES[0]) and name not in cameras.values()]
        yield Finding("images", "There is no color camera, and a policy needs one, a feature "
                      "'observation.images.NAME' of dtype 'image' or 'video'"
                      + (f" ({', '.join(others)})" if others else "") + "; record one.")
    for name in cameras:
        problem = camera_problem(tables.info["features"][cameras[name]])
        if problem:
            used = wanted is not None and name in names
            yield Finding("images", f"Camera {name!r} {problem}" + (
                "." if used else "; it was not checked, and training cannot use it."), error=used)
    if wanted is None:
        return
    sizes = {name: f"{spec.width}x{spec.height}" for name, spec in wanted.cameras.items()}
    if len(set(sizes.values())) > 1:
        yield Finding("images", f"Cameras have different sizes {sizes} in the configuration; give "
                      "all the same.")
    for name, spec in wanted.cameras.items():
        if name not in cameras:
            yield Finding("images", unknown("camera", name, cameras))
        elif not camera_problem(tables.info["features"][cameras[name]]):
            yield from _view_findings(tables, name, cameras[name], spec)


def camera_problem(feature: dict) -> str:
    """Return what is declared of a camera that makes it no picture, or an empty text."""
    try:
        depth = is_depth(feature)
    except InputError as err:
        return f"cannot be used: {err}".rstrip(".")
    layout = image_layout(feature)
    declared = f"is declared with shape {feature['shape']} and names {feature.get('names')!r}"
    if depth:
        return "is a depth map; name a color camera"
    if layout.channels not in PICTURE_CHANNELS:
        return (f"{declared}, that is {layout.channels} channels, and 1, 3 or 4 are valid; correct"
                " them in meta/info.json")
    if layout.blue_first:
        return (f"{declared}, and only RGB is valid; correct the names if the images are "
                "encoded files, whose colors are always RGB")
    return ""


def _view_findings(tables: Tables, name: str, feature: str, spec: CameraSpec) -> Iterator[Finding]:
    """Check what a policy sees of a camera: the pixels of the robot, in their proportions."""
    size = image_size(tables.info["features"][feature])
    try:
        view = remaining_transform(tables.root, name, size, spec)
    except InputError as err:
        yield Finding("images", str(err).removeprefix(f"{tables.root}: "))
        return
    left, top, right, bottom = view.crop or (0.0, 0.0, 1.0, 1.0)
    width, height = size[1] * (right - left), size[0] * (bottom - top)
    ratio = width / height / (spec.width / spec.height)
    part = f"{width:.0f}x{height:.0f} of its {size[1]}x{size[0]}" if view.crop else \
        f"its {size[1]}x{size[0]}"
    # Along the axis that is enlarged less.
    scale = min(spec.width / width, spec.height / height)
    if scale > 1 + SQUEEZE:
        fits = f"{int(spec.width / scale)}x{int(spec.height / scale)}"
        yield Finding("resolution", f"Camera {name!r}: {part} pixels are enlarged to "
                      f"{spec.width}x{spec.height}; a robot whose images are larger shows the "
                      "policy more detail than it was trained with, and otherwise the size only "
                      f"costs time: record larger images, or give at most {fits}.", error=False)
    if abs(ratio - 1) > SQUEEZE:
        crop = middle_crop(width, height, spec.width / spec.height)
        hint = "correct the crop" if view.crop else \
            f"to keep the proportions, crop instead: cameras.{name}.crop: {crop}"
        yield Finding("proportions", f"Camera {name!r}: {part} pixels are squeezed into "
                      f"{spec.width}x{spec.height}, on the robot as well; {hint}.", error=False)


def middle_crop(width: float, height: float, ratio: float) -> list[float]:
    """Return the (left, top, right, bottom) fractions in the middle that have a side ratio."""
    x, y = min(1.0, ratio * height / width), min(1.0, width / ratio / height)
    return [round(v, 4) for v in ((1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2)]


def _number_findings(tables: Tables, wanted: Wanted | None) -> Iterator[Finding]:
    features = tables.info["features"]
    for name in ("observation.state", "action"):
        try:
            if wanted is None:
                numeric_feature(features, name)
            elif name == "action":
                action_columns(features, wanted.action, tables.info["fps"])
            else:
                state_columns(features, wanted.state)
        except InputError as err:
            yield Finding("names", str(err))
            continue
        names = value_names(features[name])
        if name == "observation.state":
            unnamed = channel_names(features[name]) is None
        else:
            unnamed = without_names(features[name], wanted and wanted.action.channels)
        if unnamed:
            yield Finding("names", f"'{name}' has shape {features[name]['shape']} and the names "
                          f"{features[name].get('names')!r}, so its values are known by position "
                          "only; name every one, each by another name, in meta/info.json.",
                          error=False)
        elif names and name == "action" and wanted is not None:
            others = left_out(features, wanted.action)
            if others:
                yield Finding("names", f"The actions {', '.join(others)} are none of the "
                              "configuration's channels and are left out.", error=False)
            yield from _unit_findings(features[name], names, wanted.action)


def _unit_findings(feature: dict, names: list[str], action: ActionSpec) -> Iterator[Finding]:
    """Compare units, where the dataset states them and both are known."""
    units = feature.get("units", feature.get("unit"))
    if isinstance(units, str):
        units = [units] * len(names)
    if not isinstance(units, list) or len(units) != len(names):
        return
    stated = dict(zip(names, units, strict=True))
    for channel, wanted in zip(action.channels, action.units, strict=True):
        unit = stated.get(channel, stated.get(f"{channel}.0"))
        a, b = _unit(unit), _unit(wanted)
        if a and b and a != b:
            yield Finding("units", f"Action {channel!r} is in {unit}, the configuration has it in "
                          f"{wanted}; convert the dataset, or correct action.units, low and high.")


def _unit(text: object) -> str | None:
    return next((u for u, forms in UNITS.items() if str(text).casefold() in forms), None)


def _column_findings(tables: Tables, used: set[str]) -> list[Finding]:
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
                    " refuses the file.", error=bool(names & used) and kind == "lacks"))
    return findings[:3]  # what is wrong with one file mostly is with all


def camera_columns(tables: Tables) -> list[str]:
    """Return the features that hold pictures, in the order of ``info.json``."""
    cameras = camera_features(tables.info)
    return [cameras[name] for name in color_cameras(tables)]
