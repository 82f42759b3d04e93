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

"""Training speed of a recipe: observations per second, as ``tinyvla train`` takes them.

Runs the real command on random images (the arithmetic does not depend on their content), in
rounds over all settings, and reads the times from each run's ``train.json``. The first half of a
run is left out; one save is part of the second half, validation is not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from _figures import print_heading

from tinyvla_ros.core.resources import share_directory
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.learning.recipe import Recipe

EPISODES, FRAMES = 20, 50
# Each line changes one thing of the line before it, from slow to fast.
SETTINGS = {
    "float32, 1 process with 2 threads": (["optimization.precision=float32"], 1, 2),
    "bfloat16, 1 process with 2 threads": (["optimization.precision=bfloat16"], 1, 2),
    "bfloat16, 2 processes with 1 thread": (["optimization.precision=bfloat16"], 2, 1),
}
COMPILED = {"... and torch.compile": (
    ["optimization.precision=bfloat16", "optimization.compile=true"], 2, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="recipe, YAML",
                        default=share_directory() / "config" / "train" / "default.yaml")
    parser.add_argument("--steps", type=int, default=20,
                        help="counted steps per run; as many go before, not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true",
                        help="also torch.compile, which takes minutes to compile")
    args = parser.parse_args()
    recipe = Recipe.load(args.config)
    settings = SETTINGS | (COMPILED if args.compile else {})
    speeds = {name: [] for name in settings}
    with tempfile.TemporaryDirectory() as place:
        data = write_random_dataset(Path(place) / "data", recipe)
        for _ in range(args.rounds):
            for name, setting in settings.items():
                speeds[name].append(speed(args, data, *setting))
    batch = recipe.optimization.batch_size
    print_heading("Training steps", ("torch", "numpy"), recipe=args.config.name,
                  batch_size=batch, cameras=len(recipe.cameras), data="random",
                  steps=args.steps, warm_up=args.steps, rounds=args.rounds)
    print("| | observations/s (median of rounds) | lowest-highest | times the first |")
    print("|---|--:|--:|--:|")
    first = statistics.median(next(iter(speeds.values())))
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.0f} | {min(values):.0f}-{max(values):.0f} | "
              f"{median / first:.2f} |")


def speed(args: argparse.Namespace, data: Path, changes: list[str], processes: int,
          threads: int) -> float:
    """Run ``tinyvla train`` and return observations per second."""
    # The run notes its time at every save: in the middle and at the end.
    changes = [*changes, f"optimization.steps={2 * args.steps}",
               f"optimization.save_every={args.steps}", "optimization.validation_fraction=0"]
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        command = [sys.executable, "-m", "tinyvla_ros.cli", "train", "--config", str(args.config),
                   "--data", str(data), "--out", str(run), "--processes", str(processes),
                   "--threads", str(threads)]
        for change in changes:
            command += ["--set", change]
        subprocess.run(command, check=True, capture_output=True)
        notes = json.loads((run / "train.json").read_text())["losses"]
    observations = args.steps * Recipe.load(args.config).optimization.batch_size
    return observations / (notes[1]["seconds"] - notes[0]["seconds"])


def write_random_dataset(root: Path, recipe: Recipe) -> Path:
    """Write noise in the shape of a dataset that fits the recipe; 4 actions per frame."""
    rng, action = np.random.default_rng(0), recipe.action
    names = {f"observation.images.{n}": c for n, c in recipe.cameras.items()}
    features = {n: {"dtype": "image", "shape": [c.height, c.width, 3],
                    "names": ["height", "width", "channels"]} for n, c in names.items()}
    features["observation.state"] = {"dtype": "float32", "shape": [len(recipe.state)],
                                     "names": list(recipe.state)}
    features["action"] = {"dtype": "float32", "shape": [4 * len(action.channels)],
                          "names": [f"{c}.{i}" for i in range(4) for c in action.channels]}
    writer = LeRobotDatasetWriter(root, round(1 / (4 * action.dt)), features, "random")
    for _ in range(EPISODES):
        images = {n: rng.integers(0, 256, (FRAMES, c.height, c.width, 3), np.uint8)
                  for n, c in names.items()}
        writer.add(DatasetEpisode(
            "random", {n: [cv2.imencode(".png", i)[1].tobytes() for i in stack]
                       for n, stack in images.items()},
            {n: image_stats(stack) for n, stack in images.items()},
            {"observation.state": rng.standard_normal((FRAMES, len(recipe.state)), np.float32),
             "action": rng.uniform(-1, 1, (FRAMES, features["action"]["shape"][0])
                                   ).astype(np.float32)}))
    writer.close()
    return root


if __name__ == "__main__":
    main()
