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

"""Train LeRobot's DiffusionPolicy with LeRobot's own command, for as long as ours was trained.

LeRobot counts steps, and its learning rate falls over them. So a few steps are timed first, on
this machine and with the same settings; then as many are made as fit the minutes. LeRobot saves
OUT/checkpoints/NUMBER/pretrained_model a few times on the way, 3 GB each with its default network.
``lerobot-train --resume=true --config_path=FILE`` goes on from the last, FILE being
OUT/checkpoints/last/pretrained_model/train_config.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HELPER = Path(__file__).with_name("_lerobot_train.py")
SAVES = 3


def main() -> int:
    """Time some steps, then train; options after ``--`` go to lerobot-train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lerobot", required=True, help="Python that has LeRobot's dependencies")
    parser.add_argument("--lerobot-path", default="", help="PYTHONPATH for it")
    parser.add_argument("--data", type=Path, required=True, help="LeRobotDataset directory")
    parser.add_argument("--out", type=Path, required=True, help="new directory")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--timed-steps", type=int, default=10)
    parser.add_argument("--only-time", action="store_true", help="do not train")
    args, options = parser.parse_known_args()
    command = ["--policy.type=diffusion", "--policy.device=cpu", "--policy.push_to_hub=false",
               f"--dataset.root={args.data.resolve()}",
               f"--dataset.repo_id=local/{args.data.resolve().name}",
               *(o for o in options if o != "--")]
    environment = os.environ | {"PYTHONPATH": args.lerobot_path, "HF_HUB_OFFLINE": "1",
                                "ACCELERATE_USE_CPU": "true"}

    def train(folder: Path, seconds: Path, *more: str) -> np.ndarray:
        """Return (steps, 2): when each ended, on the wall and in CPU time."""
        subprocess.run([args.lerobot, HELPER, seconds, *command, *more,
                        f"--output_dir={folder}"], check=True, env=environment)
        return np.array(json.loads(seconds.read_text()))

    with tempfile.TemporaryDirectory() as place:
        ends = train(Path(place) / "out", Path(place) / "seconds.json", "--log_freq=1",
                     f"--steps={args.timed_steps}", "--save_checkpoint=false")
        wall, cpu = np.median(np.diff(ends, axis=0), axis=0)
        steps = max(1, round(60 * args.minutes / wall))
        print(f"{wall:.2f} s a step, {cpu:.2f} s of CPU: {steps} steps in {args.minutes:g} "
              "minutes", flush=True)
        if args.only_time:
            return 0
        train(args.out, Path(place) / "all.json", f"--steps={steps}",
              f"--save_freq={-(-steps // SAVES)}", f"--log_freq={max(1, steps // 100)}")
    print(args.out / "checkpoints" / "last" / "pretrained_model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
