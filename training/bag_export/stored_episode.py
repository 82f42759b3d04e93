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

"""The episodes of a bag on the disk, until the dataset is put together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from tinyvla_ros.core.configuration import read_json
from training.bag_export.commanders import FEATURE, INTERVENTION
from training.data.lerobot.writer import DatasetEpisode

ABOUT, ARRAYS = "episode.json", "arrays.npz"
# How many episodes became of the bag; they are in folders 0, 1, ...
PARTS = "parts.json"


def episode_parts(place: Path) -> list[Path]:
    """Return where the episodes are that ``export_episode`` made of a bag."""
    return [place / str(number) for number in range(read_json(place / PARTS)["parts"])]


def read_about(part: Path) -> dict:
    """Return the description of an episode."""
    return read_json(part / ABOUT)


def load_episode(place: Path, labelled: bool = False) -> tuple[dict, DatasetEpisode]:
    """Return the description of an episode, and the episode itself.

    Args:
        place: one of ``episode_parts``.
        labelled: whether it has the feature ``intervention``.
    """
    about = read_about(place)
    if labelled:
        about["features"][INTERVENTION] = FEATURE
    images, videos, stats, arrays = {}, {}, defaultdict(dict), {}
    with np.load(place / ARRAYS, allow_pickle=False) as stored:
        for name in stored.files:
            if name.startswith("stats/"):
                _, feature, key = name.split("/")
                stats[feature][key] = stored[name]
            elif name in about["features"]:
                arrays[name] = stored[name]
        for feature, spec in about["features"].items():
            if spec["dtype"] == "image":
                data, ends = stored[f"png/{feature}"].tobytes(), stored[f"ends/{feature}"].tolist()
                images[feature] = [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
            elif spec["dtype"] == "video":
                videos[feature] = place / f"{feature}.mp4"
    order = {n: arrays[n] for n in about["features"] if n in arrays}
    return about, DatasetEpisode(about["task"], images, stats, order, videos)
