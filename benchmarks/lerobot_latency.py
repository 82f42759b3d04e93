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

"""LeRobot's DiffusionPolicy and ours on the same observations: observation to chunk.

LeRobot runs with a Python of its own (``--lerobot``, PYTHONPATH from ``--lerobot-path``): its
default configuration, the same with DDIM, and that behind its policy server (asynchronous
inference), all with random weights, for latency does not depend on them. Ours runs the checkpoint
on torch and compiled, with as many steps as DDIM and with its own. One thread each; settings
alternate in blocks; who is not asked waits. Last come a few seconds of ``policy_node``, from the
images' stamp to the command on its topic.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import print_heading
from latency import collect

from harness.arm_contract import CAMERA_HZ, TIGHT, robot
from harness.arm_rig import Rig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.export.exporter import export_checkpoint
from tinyvla_ros.policy.policy import Policy

HELPER = Path(__file__).with_name("_lerobot_process.py")
OBSERVATIONS = 40
DDIM_STEPS = 10  # as in the helper
# Control steps per frame of our datasets: the action that LeRobot learns from them.
ROWS_PER_FRAME = 4
# Chunks in one go; those before that do not count.
OURS, OURS_WARMUP = 20, 3
THEIRS = {"default": (1, 0), "DDIM": (3, 1), "asynchronous": (3, 1)}
Seconds = list[tuple[float, float]]


class LeRobot:
    """The process that runs LeRobot.

    Attributes:
        facts: what it said about itself.

    Args:
        python: that has LeRobot's dependencies.
        path: PYTHONPATH for it.
        observations: what its policies see.
        action_size: entries of an action.
        folder: for its files.
    """

    def __init__(self, python: str, path: str, observations: Sequence[Observation],
                 action_size: int, folder: Path):
        cameras = observations[0].images
        np.savez(folder / "inputs.npz",
                 state=np.array([list(o.state.values()) for o in observations], np.float32),
                 **{f"image {n}": np.stack([o.images[n] for o in observations]) for n in cameras})
        environment = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1",
                                    "OMP_NUM_THREADS": "1"}
        self._log = folder / "lerobot.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, HELPER, folder / "inputs.npz", str(action_size), folder], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment,
                cwd=folder)
        self.facts = self._answer()

    def chunks(self, setting: str, count: int) -> Seconds:
        """Return (wall, CPU) seconds of as many chunks."""
        self._process.stdin.write(f"{setting} {count}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"LeRobot's process ended: ...{self._log.read_text()[-1500:]}")
        return json.loads(line)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lerobot", required=True, help="Python that has LeRobot's dependencies")
    parser.add_argument("--lerobot-path", default="", help="PYTHONPATH for it")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--node-seconds", type=float, default=20.0)
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint)
    config = checkpoint.config
    observations = [shrunk(o, config) for o in collect(checkpoint, "reach-v3", OBSERVATIONS)]
    with tempfile.TemporaryDirectory() as place:
        own = ours(args.checkpoint, config, Path(place))
        lerobot = LeRobot(args.lerobot, args.lerobot_path, observations,
                          ROWS_PER_FRAME * len(config.action.channels), Path(place))
        facts = lerobot.facts
        print_heading(
            "LeRobot's DiffusionPolicy and ours, one thread", ("torch", "onnxruntime", "numpy"),
            checkpoint=checkpoint.digest, cameras=f"{len(config.cameras)} of 96x96",
            state=len(config.state), observations=len(observations), rounds=args.rounds,
            lerobot=facts["versions"], order="settings alternate, "
            + ", ".join(f"{n} {c} chunks" for n, (c, _) in THEIRS.items())
            + f", each of ours {OURS}; {OURS_WARMUP} (LeRobot's: 1; default: 0) before do not "
            "count")
        rounds = measure(own, observations, lerobot, args.rounds)
        lerobot.close()
    if facts["as_released"]:
        print("\nLeRobot's policy server as released gives no chunk of a DiffusionPolicy: "
              f"\"{facts['as_released']}\". What is measured fills the policy's queues first.")
    weights = sum(p.numel() for p in checkpoint.network.parameters())
    report(rounds, facts, weights)
    over_topics(args.node_seconds)


def shrunk(observation: Observation, config: PolicyConfig) -> Observation:
    """Return what cameras of the network's size would have given, and the policy's state."""
    images = {n: crop_and_shrink(observation.images[n], None, c.height, c.width)
              for n, c in config.cameras.items()}
    return Observation(observation.stamp_ns, images,
                       {n: observation.state[n] for n in config.state}, observation.instruction)


def ours(checkpoint: Path, config: PolicyConfig, place: Path) -> dict[str, Policy]:
    """Return setting -> policy."""
    settings = {}
    for steps in dict.fromkeys((DDIM_STEPS, config.diffusion.sample_steps)):
        copy = shutil.copytree(checkpoint, place / f"{steps} steps")
        export_checkpoint(copy, steps)
        settings |= {f"ours, {backend}, {steps} steps":
                     Policy(copy, sample_steps=steps, backend=backend)
                     for backend in ("torch", "onnxruntime")}
    return settings


def measure(own: dict[str, Policy], observations: Sequence[Observation], lerobot: LeRobot,
            number: int) -> dict[str, list[Seconds]]:
    """Return setting -> (wall, CPU) seconds of every chunk of every round."""

    def chunks(policy: Policy, count: int) -> Seconds:
        seconds = []
        for i in range(count):
            start, cpu = time.perf_counter(), time.process_time()
            policy.infer(observations[i % len(observations)])
            seconds.append((time.perf_counter() - start, time.process_time() - cpu))
        return seconds

    settings: dict[str, tuple[Callable[[int], Seconds], int, int]] = {
        name: (lambda n, s=name: lerobot.chunks(s, n), *THEIRS[name]) for name in THEIRS}
    settings |= {name: (lambda n, p=policy: chunks(p, n), OURS, OURS_WARMUP)
                 for name, policy in own.items()}
    rounds = defaultdict(list)
    for _ in range(number):
        for name, (run, count, warmup) in settings.items():
            rounds[name].append(run(count + warmup)[warmup:])
    return rounds


def report(rounds: dict[str, list[Seconds]], facts: dict, weights: int) -> None:
    """Print a table; the last setting is the one that the others are compared with."""
    labels = {"default": f"LeRobot, default ({facts['steps']['default']} steps of DDPM)",
              "DDIM": f"LeRobot, DDIM, {facts['steps']['DDIM']} steps",
              "asynchronous": "the same behind its policy server"}
    medians = {name: np.array([np.median(r, axis=0) for r in seconds])
               for name, seconds in rounds.items()}
    base = list(medians.values())[-1]
    rows = []
    for name, seconds in rounds.items():
        wall, cpu = np.concatenate(seconds).T
        ratios = np.median(medians[name] / base, axis=0)
        rows.append([labels.get(name, name),
                     f"{(facts['parameters'] if name in labels else weights) / 1e6:.1f} M",
                     len(wall), *(f"{1e3 * v:.1f}" for v in np.percentile(wall, (50, 99))),
                     f"{1e3 * np.median(cpu):.1f}", *(f"{r:.1f}" for r in ratios)])
    print("\n" + markdown_table(
        ["", "parameters", "n", "median (p50) ms", "p99 ms", "CPU ms",
         f"times {list(rounds)[-1]}", "of its CPU"], rows), flush=True)


def over_topics(seconds: float) -> None:
    """Print what ``policy_node`` says about its latency, with a network of the shipped size."""
    contract = robot(TIGHT)
    for stream in (*contract["cameras"].values(), contract["joint_states"]):
        stream["timeout"] = 0.5  # both ends share the cores here
    with (tempfile.TemporaryDirectory() as place,
          Rig(Path(place), (96, 96), contract, full_size=True, compiled=True,
              backend="onnxruntime") as rig):
        rig.start()
        rig.wait_running()
        time.sleep(seconds)
        values = rig.policy_values
    print("\nours over topics (policy_node, onnxruntime, 2 cameras of 96x96 at "
          f"{CAMERA_HZ:g} Hz): stamp to command p50 {values.get('total_ms_p50', '-')} ms, p99 "
          f"{values.get('total_ms_p99', '-')} ms; of which inference "
          f"{values.get('inference_ms_p50', '-')} and {values.get('inference_ms_p99', '-')} ms")


if __name__ == "__main__":
    try:
        main()
    except InputError as err:
        sys.exit(f"error: {err}")
