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

"""Kill a training run with SIGKILL at random moments, resume it each time, compare the end.

A small network and random images; saves every few steps, so that many kills hit a save. After
every kill each checkpoint of the run must load, and no step before the last save may be lost. The
run that was killed must end with the same bits as one that was not.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from _figures import print_heading
from train_throughput import write_random_dataset

from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.learning.recipe import Recipe

SMALL = ["cameras={side: {height: 48, width: 48}}",
         "model={image_channels: 8, keypoints: 4, condition_dim: 32, denoiser_channels: [8, 16, "
         "16]}", "optimization.batch_size=8", "optimization.warmup_steps=10",
         "optimization.save_every=5", "optimization.snapshot_every=50",
         "optimization.precision=float32"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    recipe = Recipe.load(share_directory() / "config/train/default.yaml",
                         [*SMALL, f"optimization.steps={args.steps}"])
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        config = root / "recipe.yaml"
        config.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        data = write_random_dataset(root / "data", recipe)
        start = ["--config", str(config), "--data", str(data), "--threads", "1"]
        wait(command([*start, "--out", str(root / "whole")]))
        run = root / "run"
        kills, in_save, step = 0, 0, 0
        while kills < args.kills:
            process = command(["--resume", str(run)] if (run / "train.json").exists() else
                              [*start, "--out", str(run)])
            if rng.random() < 0.8:  # else it may be killed while it reads
                first = signs_of_life(run)
                while signs_of_life(run) == first and process.poll() is None:
                    time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 2.0))
            if process.poll() is not None:
                raise SystemExit(f"The run ended by itself ({process.returncode}) after {kills} "
                                 "kills; give more --steps.")
            process.kill()
            process.wait()
            kills += 1
            in_save += any((run / "steps").glob("*.part"))
            step = check(run, step)
            print(f"kill {kills}: went on from step {step}", flush=True)
        wait(command(["--resume", str(run)]))
        same = equal(root / "whole", run)
    print_heading("Killed runs", ("torch",), kills=kills, steps=args.steps, seed=args.seed)
    print("| kills | during a save | corrupt checkpoints | steps lost before a save | same bits |")
    print("|--:|--:|--:|--:|---|")
    print(f"| {kills} | {in_save} | 0 | 0 | {'yes' if same else 'NO'} |")
    if not same:
        raise SystemExit(1)


def command(arguments: list[str]) -> subprocess.Popen:
    """Start ``tinyvla train``."""
    return subprocess.Popen([sys.executable, "-m", "tinyvla_ros.cli", "train", *arguments],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait(process: subprocess.Popen) -> None:
    """Wait for a run to end well."""
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(err.decode())


def signs_of_life(run: Path) -> set[str]:
    """Return what changes when training has begun."""
    return {p.name for p in run.glob("tensorboard/*")}


def check(run: Path, before: int) -> int:
    """Load every checkpoint of a killed run; return the step it can go on from."""
    if not (run / "last").exists():
        if before:
            raise SystemExit(f"The save of step {before} is gone.")
        return 0
    for place in (run / "steps").iterdir():
        if place.suffix != ".part":
            load_checkpoint(place)
    step = json.loads((run / "last" / "training.json").read_text())["step"]
    if step < before:
        raise SystemExit(f"The run went back from step {before} to {step}.")
    return step


def equal(a: Path, b: Path) -> bool:
    """Whether two runs ended with the same weights."""
    x, y = (load_checkpoint(p / "last").network.state_dict() for p in (a, b))
    return all(torch.equal(x[k], y[k]) for k in x)


if __name__ == "__main__":
    main()
