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

"""A recipe and tasks of MetaWorld as small as it gets."""

from __future__ import annotations

import yaml

from tinyvla_ros.core.resources import share_directory
from training.learning.recipe import Recipe

TASKS = ["reach-v3", "button-press-v3"]
SMALL = {"cameras": {n: {"height": 48, "width": 48} for n in ("side", "front", "wrist")},
         "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
                   "denoiser_channels": [8, 16, 16]}}


def recipe(**optimization) -> Recipe:
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data |= SMALL
    data["optimization"] |= {"steps": 6, "batch_size": 8, "warmup_steps": 2, "save_every": 3,
                             "precision": "float32", "validation_fraction": 0.25,
                             **optimization}
    return Recipe.model_validate(data)
