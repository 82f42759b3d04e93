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

"""The cameras that datasets have in common, and why others cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyvla_ros.core.configuration import parse, read_json
from tinyvla_ros.core.errors import InputError
from training.data.checks.declarations import camera_problem
from training.data.frames import camera_frames
from training.data.lerobot.format import camera_features, image_size
from training.data.lerobot.reader import Tables
from training.data.stored_images import FILE, StoredImages


@dataclass(frozen=True)
class Camera:
    """A camera of the datasets.

    Attributes:
        height: of its images in the first dataset; width likewise.
        made: what happened to them before they were stored.
    """

    height: int
    width: int
    made: StoredImages


def common_cameras(tables: Sequence[Tables], notes: list[str]) -> dict[str, Camera]:
    """Return the cameras of color that every dataset has; the first image of each is decoded."""
    left: list[str] = []
    common = []
    for name in dict.fromkeys(n for t in tables for n in camera_features(t.info)):
        reasons = [(t, _why_not(t, name)) for t in tables]
        left += [f"{t.root}: camera {name} {reason.rstrip('.')}"
                 for t, reason in reasons if reason]
        if not any(reason for _, reason in reasons):
            common.append(name)
    if not common:
        raise InputError("There is no color camera for a policy"
                         + f"{' that all have' if len(tables) > 1 else ''}: "
                         + ("; ".join(left) or " and ".join(f"{t.root} has none" for t in tables))
                         + ". One is needed, a feature 'observation.images.NAME' of dtype "
                         "'image' or 'video'.")
    notes += [f"{text}; it is left out." for text in left]
    return {name: _camera(tables[0], name) for name in common}


def _why_not(tables: Tables, name: str) -> str:
    """Return why a dataset's camera cannot be used, an empty text if it can."""
    feature = camera_features(tables.info).get(name)
    if feature is None:
        return "is missing"
    if problem := camera_problem(tables.info["features"][feature]):
        return problem
    try:
        next(camera_frames(tables, feature), None)
    except InputError as err:
        return f"cannot be used: {err}"
    return ""


def _camera(tables: Tables, name: str) -> Camera:
    feature = tables.info["features"][camera_features(tables.info)[name]]
    path = tables.root / FILE
    noted = read_json(path).get(name) if path.is_file() else None
    made = parse(StoredImages, noted, f"{path}: {name}") if noted else StoredImages()
    return Camera(*image_size(feature), made)
