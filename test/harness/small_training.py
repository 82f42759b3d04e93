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

"""A dataset and a recipe small enough to train in a second; no simulator."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.learning.batches import Batch, BatchSampler
from training.learning.learner import Learner
from training.learning.mixture import Mixture, load_mixture
from training.learning.recipe import Recipe
from training.learning.train import RunOptions, fit_normalizer

SIZE = 48
CAMERAS = ("side", "front")
STATE = ("x", "y")
FEATURES = {
    **{f"observation.images.{name}": {"dtype": "image", "shape": [SIZE, SIZE, 3],
                                      "names": ["height", "width", "channels"]}
       for name in CAMERAS},
    "observation.state": {"dtype": "float32", "shape": [2], "names": list(STATE)},
    "action": {"dtype": "float32", "shape": [8],
               "names": [f"{c}.{i}" for i in range(4) for c in ("dx", "gripper")]}}


def write_dataset(root: Path, episodes: int = 6, tasks: tuple[str, ...] = ("go", "stay"),
                  seed: int = 0) -> Path:
    """Write episodes of random images whose actions follow from the state; 20 fps, 4 actions."""
    rng = np.random.default_rng(seed)
    writer = LeRobotDatasetWriter(root, 20, FEATURES, "test")
    for index in range(episodes):
        length = int(rng.integers(5, 12))
        state = rng.normal(size=(length, 2)).astype(np.float32)
        actions = np.zeros((length, 4, 2), np.float32)
        actions[:, :, 0] = np.tanh(state[:, :1])
        actions[:, :, 1] = np.where(np.arange(length)[:, None] > length // 2, 1.0, -1.0)
        images = {f"observation.images.{c}": rng.integers(0, 255, (length, SIZE, SIZE, 3),
                                                          dtype=np.uint8) for c in CAMERAS}
        writer.add(DatasetEpisode(
            tasks[index % len(tasks)],
            {n: [cv2.imencode(".png", i)[1].tobytes() for i in stack]
             for n, stack in images.items()},
            {n: image_stats(stack) for n, stack in images.items()},
            {"observation.state": state, "action": actions.reshape(length, 8)}))
    writer.close()
    return root


def small_recipe(**optimization) -> Recipe:
    """Return the default recipe for that dataset, with a tiny network."""
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data |= {
        "cameras": {name: {"height": SIZE, "width": SIZE} for name in CAMERAS},
        "state": list(STATE),
        "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
                  "denoiser_channels": [16, 16, 16]}}
    data["action"] |= {"channels": ["dx", "gripper"], "units": ["", ""], "low": [-1, -1],
                       "high": [1, 1]}
    data["optimization"] |= {"steps": 6, "batch_size": 8, "warmup_steps": 2, "save_every": 2,
                             "snapshot_every": 0, "precision": "float32",
                             "validation_fraction": 0.34, **optimization}
    return Recipe.model_validate(data)


def run_options(*datasets: Path, **more) -> RunOptions:
    """Return a setting with these datasets at equal weights, on one thread."""
    return RunOptions([(d, 1.0) for d in datasets], **{"threads": 1, **more})


def load(root: Path, recipe: Recipe) -> Mixture:
    """Return the demonstrations in a directory."""
    return load_mixture([(root, 1.0)], recipe)


def built(recipe: Recipe, data: Mixture) -> Learner:
    """Return an untrained network, always the same."""
    torch.manual_seed(0)
    return Learner(recipe, recipe.policy_config(data.tasks), fit_normalizer(data))


def batch_of(recipe: Recipe, data: Mixture) -> Batch:
    """Return a batch of all demonstrations, always the same."""
    return BatchSampler(data, np.arange(len(data.starts)), recipe)[1]


def weights(run: Path) -> dict:
    """Return the weights of a run's last save, by name."""
    return load_checkpoint(run / "last").network.state_dict()
