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

"""One encoder in a process of its own, for ``encoders.py``: prints its figures as JSON."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.policy import Policy

WARMUP = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, help="base model; none for the shipped checkpoint")
    parser.add_argument("--encoder", type=json.loads, help="settings of the encoder, JSON")
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--observations", type=int, required=True)
    args = parser.parse_args()
    shipped = PolicyConfig.load(default_checkpoint())
    with tempfile.TemporaryDirectory() as place:
        checkpoint = default_checkpoint()
        if args.base:
            # Elsewhere: this process's peak memory is to be that of the policy alone.
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                checkpoint = other.submit(_write, Path(place), shipped, args.base,
                                          args.encoder).result()
        loaded = load_checkpoint(checkpoint)
        policy = Policy(loaded, args.device, threads=args.threads)
    rng = np.random.default_rng(0)
    latencies = []
    for number in range(WARMUP + args.observations):
        images = {name: rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
                  for name in policy.config.cameras}
        observation = Observation(number, images, dict.fromkeys(policy.config.state, 0.0),
                                  policy.config.instructions[0])
        start = time.perf_counter()
        policy.infer(observation)
        latencies.append(1e3 * (time.perf_counter() - start))
    parameters = sum(p.numel() for p in loaded.network.parameters())
    gpu = torch.cuda.max_memory_allocated() / 1e6 if args.device != "cpu" else None
    print(json.dumps({
        "p50": float(np.percentile(latencies[WARMUP:], 50)),
        "p99": float(np.percentile(latencies[WARMUP:], 99)), "parameters": parameters,
        "resident_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "gpu_mb": gpu}))


def _write(place: Path, shipped: PolicyConfig, base: Path, encoder: dict) -> Path:
    """Write a checkpoint of the shipped policy's sizes with another encoder."""
    data = shipped.model_dump(mode="json")
    data["model"]["encoder"] = encoder | {"model": str(base)}
    if encoder["kind"] == "vlm":
        data["language"] = {"kind": "tokens"}
    config = PolicyConfig.model_validate(data)
    network = PolicyNetwork(config)
    if encoder["kind"] == "vlm":
        network.encoder.instruction.ids[:, :12] = 5
    states, channels = len(config.state), len(config.action.channels)
    normalizer = Normalizer(torch.zeros(states), torch.ones(states), -torch.ones(channels),
                            torch.ones(channels))
    save_checkpoint(place / "checkpoint", config, network.state_dict(), normalizer, {})
    return place / "checkpoint"


if __name__ == "__main__":
    main()
