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

"""Observation to chunk on every backend that is installed, with 10, 4 and 2 sampling steps.

Settings alternate in blocks, so that all of them meet the same moments of the machine, and each
finds its weights in the caches, as on a robot. Images are random and have the network's size.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from _figures import print_heading, print_table

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.backends.choose import is_installed
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.export.exporter import export_checkpoint
from tinyvla_ros.policy.policy import Policy

STEPS = (10, 4, 2)
BACKENDS = ("torch", "onnxruntime", "openvino")
BLOCK, WARMUP = 20, 3  # observations a setting gets in one go, and before those that count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--blocks", type=int, default=25)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    args = parser.parse_args()
    backends = [name for name in BACKENDS if is_installed(name)]
    print_heading("Backends, one thread", ("torch", "onnxruntime", "openvino", "numpy"),
                  checkpoint=args.checkpoint.name, observations=args.blocks * BLOCK,
                  order=f"settings alternate every {BLOCK} observations")
    seen = observation(PolicyConfig.load(args.checkpoint))
    settings = {}
    with tempfile.TemporaryDirectory() as place:
        for steps in args.steps:
            copy = shutil.copytree(args.checkpoint, Path(place) / str(steps))
            export_checkpoint(copy, steps)
            for backend in backends:
                policy = Policy(copy, sample_steps=steps, backend=backend)
                settings[f"{backend}, {steps} steps"] = policy
        samples = {label: [] for label in settings}
        for _ in range(args.blocks):
            for label, policy in settings.items():
                latencies = [policy.infer(seen).latency_s for _ in range(WARMUP + BLOCK)]
                samples[label] += latencies[WARMUP:]
    print_table(samples, [f"torch, {args.steps[0]} steps"])


def observation(config: PolicyConfig) -> Observation:
    """Return one with images of noise."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
              for name, camera in config.cameras.items()}
    return Observation(1, images, dict.fromkeys(config.state, 0.1), config.instructions[0])


if __name__ == "__main__":
    try:
        main()
    except InputError as err:
        sys.exit(f"error: {err}")
