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

"""The layout of LeRobotDataset v3.0: paths, and the features in ``meta/info.json``.

https://github.com/huggingface/lerobot (``src/lerobot/datasets``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.core.errors import InputError

CODEBASE_VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNKS_SIZE = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
IMAGE_DTYPES = ("image", "video")
# Longest first: the camera of 'observation.images.front' is 'front'.
CAMERA_PREFIXES = ("observation.images.", "observation.")
# Gray, color, color with transparency.
PICTURE_CHANNELS = (1, 3, 4)
# What the arm did where ``action`` is what it should have done. Its name does not begin with
# "action", which other readers of the format take for something to predict.
EXECUTED_ACTION = "executed_action"
# What the expert would do from a frame on if nothing disturbed it, several control steps.
EXPERT_PLAN = "expert_plan"
INDEX_COLUMNS = ("index", "episode_index", "frame_index", "timestamp", "task_index")


def camera_features(info: dict) -> dict[str, str]:
    """Return camera name -> feature name, for features of dtype ``image`` or ``video``."""
    cameras = {}
    for feature, spec in info["features"].items():
        if spec["dtype"] in IMAGE_DTYPES:
            prefix = next((p for p in CAMERA_PREFIXES if feature.startswith(p)), "")
            name = feature.removeprefix(prefix)
            # 'observation.images.image' and 'observation.image' may both exist.
            if name not in cameras or prefix == CAMERA_PREFIXES[0]:
                cameras[name] = feature
    return cameras


def is_depth(feature: dict) -> bool:
    """Tell whether an image feature is declared a depth map.

    lerobot writes ``video.is_depth_map`` under ``info`` (``video_info`` in its version 2.0), its
    later versions ``is_depth_map``.

    Raises:
        InputError: the declaration is no truth value.
    """
    for part in (feature, feature.get("info"), feature.get("video_info")):
        if not isinstance(part, dict):
            continue
        for key in ("is_depth_map", "video.is_depth_map"):
            value = part.get(key)
            if value not in (None, False, True):
                raise InputError(f"{key!r} is {value!r}; write true or false in meta/info.json.")
            if value:
                return True
    return False


@dataclass(frozen=True)
class ImageLayout:
    """What the shape and the names of an image feature declare.

    Attributes:
        height: rows; width likewise.
        channels: 1 gray, 3 color, 4 color and transparency; others are no picture.
        blue_first: the names say BGR.
    """

    height: int
    width: int
    channels: int
    blue_first: bool = False


def image_layout(feature: dict) -> ImageLayout:
    """Read shape and names of an image feature, in whichever order they are.

    Names are those of the axes ('height', 'width', 'channels', or 'rgb' for the last); without
    any, the axis of 1, 3 or 4 values holds the channels, by preference the last.
    """
    shape = list(feature["shape"])
    if len(shape) == 2:
        return ImageLayout(*shape, 1)
    if len(shape) != 3:
        return ImageLayout(0, 0, 0)
    names = feature.get("names")
    names = [str(n).casefold() for n in names] if isinstance(names, list) else []
    place = {axis: next((i for i, n in enumerate(names) if n in (axis, axis[0])), None)
             for axis in ("height", "width")}
    rest = {0, 1, 2} - set(place.values())
    if len(names) == 3 and len(rest) == 1:
        channel = rest.pop()
        return ImageLayout(shape[place["height"]], shape[place["width"]], shape[channel],
                           names[channel].startswith("bgr"))
    if shape[2] not in PICTURE_CHANNELS and shape[0] in PICTURE_CHANNELS:
        return ImageLayout(shape[1], shape[2], shape[0])
    return ImageLayout(*shape)


def image_size(feature: dict) -> tuple[int, int]:
    """Return (height, width) of an image feature, whichever order its shape is declared in."""
    layout = image_layout(feature)
    return layout.height, layout.width


def number_type(feature: dict) -> np.dtype | None:
    """Return the dtype of a feature that holds numbers or truth values, None for others."""
    try:
        dtype = np.dtype(feature["dtype"])
    except (TypeError, ValueError):
        return None
    return dtype if dtype.kind in "fiub" else None


def feature_size(feature: dict) -> int:
    """Return the number of values of a numeric feature per frame; scalars count as one."""
    return math.prod(feature["shape"])


def channel_names(feature: dict) -> list[str] | None:
    """Return the name of every value of a feature, or None if they are not all named, each once.

    lerobot writes lists, ``{"motors": [...]}`` (robots) and ``{"delta_x": 0, ...}``
    (teleoperators).
    """
    names = value_names(feature)
    return names if names and len(set(names)) == len(names) else None


def value_names(feature: dict) -> list[str] | None:
    """Return the names of the values of a feature, or None if there are not as many as values."""
    names = feature.get("names")
    if isinstance(names, dict):
        if all(isinstance(v, list) for v in names.values()):
            names = [name for group in names.values() for name in group]
        elif sorted(map(repr, names.values())) == sorted(map(repr, range(len(names)))):
            names = sorted(names, key=names.get)
    if not isinstance(names, list) or len(names) != feature_size(feature):
        return None
    return [str(name) for name in names]
