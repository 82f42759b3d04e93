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

"""Observation-to-chunk latency of a policy on this machine's processor.

The observations are real: the policy drives a task in MetaWorld once, and every setting then
infers from these observations, in alternating blocks. Hooks on the encoder, a public torch module
of the loaded checkpoint, separate the parts; ``Policy`` runs as it is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from contextlib import closing
from itertools import chain, count, islice
from pathlib import Path

import torch
from _figures import print_heading, print_table

from sim_bridge.episodes import EpisodeSpec
from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.rollout import Episode, rollout
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.policy import Policy

THREADS = (1, 2)
SAMPLE_STEPS = (10, 4)
BLOCK = 20  # observations a setting gets in one go
WARMUP = 2  # inferences at the start of a block that do not count: the thread pool is new


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--task", default="reach-v3")
    parser.add_argument("--observations", type=int, default=100)
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint)
    observations = collect(checkpoint, args.task, args.observations)
    sizes = sorted({image.shape[:2] for o in observations for image in o.images.values()})
    print_heading(
        "Observation to action chunk", ("torch", "numpy"),
        checkpoint=checkpoint.digest, task=args.task, observations=len(observations),
        cameras=len(checkpoint.config.cameras),
        camera_images=" ".join(f"{width}x{height}" for height, width in sizes),
        horizon=checkpoint.config.action.horizon,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        order=f"settings alternate every {BLOCK} observations")
    totals, parts = measure(checkpoint, observations)
    print_table(totals, [_label(THREADS[0], SAMPLE_STEPS[0])])
    print("\nof which:")
    print_table(parts)


def collect(checkpoint: Checkpoint, task: str, number: int) -> list[Observation]:
    """Return what the policy sees while it drives a task, over as many episodes as needed."""
    policy = Policy(checkpoint)
    with closing(MetaWorldEnv(task)) as env:
        steps = chain.from_iterable(
            rollout(policy, Episode(env, EpisodeSpec(seed, task, seed))) for seed in count())
        return [observation for observation, _ in islice(steps, number)]


def measure(checkpoint: Checkpoint, observations: list[Observation]):
    """Return two tables of samples in seconds: whole inferences, and their parts."""
    marks: list[float] = []
    encoder = checkpoint.network.encoder
    encoder.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter()))
    encoder.register_forward_hook(lambda *_: marks.append(time.perf_counter()))
    totals, parts = defaultdict(list), defaultdict(list)
    for first in range(0, len(observations), BLOCK):
        block = observations[first:first + BLOCK]
        for threads in THREADS:
            for steps in SAMPLE_STEPS:
                # Cheap on a loaded checkpoint, and sets threads and steps as a user would.
                policy = Policy(checkpoint, threads=threads, sample_steps=steps)
                for observation in block[:WARMUP]:
                    policy.infer(observation)
                for observation in block:
                    marks.clear()
                    start = time.perf_counter()
                    policy.infer(observation)
                    end = time.perf_counter()
                    encode_start, encode_end = marks
                    totals[_label(threads, steps)].append(end - start)
                    of = f"{threads} thread{'s' * (threads > 1)}:"
                    parts[f"{of} image transform"].append(encode_start - start)
                    parts[f"{of} encode"].append(encode_end - encode_start)
                    parts[f"{of} sample, {steps} DDIM steps"].append(end - encode_end)
    return totals, parts


def _label(threads: int, steps: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, {steps} DDIM steps"


if __name__ == "__main__":
    try:
        main()
    except InputError as err:
        sys.exit(f"error: {err}")
