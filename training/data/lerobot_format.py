# SPDX-License-Identifier: Apache-2.0
"""The layout of LeRobotDataset v3.0: paths, and the features in ``meta/info.json``.

https://github.com/huggingface/lerobot (``src/lerobot/datasets``).
"""

from __future__ import annotations

import math

CODEBASE_VERSION = "v3.0"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
CHUNKS_SIZE = 1000
DATA_FILE_MB, VIDEO_FILE_MB = 100, 200
IMAGE_DTYPES = ("image", "video")
# Longest first: the camera of 'observation.images.front' is 'front'.
CAMERA_PREFIXES = ("observation.images.", "observation.")
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
    """Tell whether an image feature is a depth map (lerobot stores those with 12 bits)."""
    return bool((feature.get("info") or {}).get("is_depth_map", feature.get("is_depth_map")))


def image_size(feature: dict) -> tuple[int, int]:
    """Return (height, width) of an image feature, whichever order its shape is declared in."""
    shape = list(feature["shape"])
    names = feature.get("names")
    if isinstance(names, list) and names and str(names[0]).startswith("channel"):
        return shape[1], shape[2]
    return shape[0], shape[1]


def feature_size(feature: dict) -> int:
    """Return the number of values of a numeric feature per frame; scalars count as one."""
    return math.prod(feature["shape"])


def channel_names(feature: dict) -> list[str] | None:
    """Return the name of every value of a feature, or None if they are not all named, each once.

    lerobot writes lists, ``{"motors": [...]}`` (robots) and ``{"delta_x": 0, ...}``
    (teleoperators).
    """
    names = feature.get("names")
    if isinstance(names, dict):
        if all(isinstance(v, list) for v in names.values()):
            names = [name for group in names.values() for name in group]
        elif sorted(map(repr, names.values())) == sorted(map(repr, range(len(names)))):
            names = sorted(names, key=names.get)
    if not isinstance(names, list) or len(names) != feature_size(feature):
        return None
    names = [str(name) for name in names]
    return names if len(set(names)) == len(names) else None
