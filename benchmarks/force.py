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

"""What a wrench adds on a task that is decided by touch: two policies that differ in that alone.

``so101-touch``: slide forward until an invisible wall is felt, then lift; more than 8 N is a
failure. Cameras and joints cannot tell a hand that touches the wall from one that is on its way.
The same demonstrations, network and steps, with and without the six states of the wrench, for
several seeds of training; episodes of seeds that no demonstration has.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import numpy as np
import yaml

from sim_bridge.arms import SO101
from sim_bridge.environment import WRENCH_STATES
from sim_bridge.episodes import plan_episodes
from sim_bridge.make_environment import make_environment
from sim_bridge.rollout import Episode, rollout
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.image_transform import encode_png, shrink
from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.policy import Policy
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.jobs.progress import progress_bar

TASK, FIRST_SEED, EDGE, EVERY = "so101-touch", 1_000_000_000, 64, 2


def demonstrate(env, operator, seed: int) -> DatasetEpisode | None:
    """Return what the scripted operator shows in one scene, if it succeeds."""
    env.reset_unseen(seed)
    objects, state = env.objects(), env.state()
    joints = np.array([state[n] for n in SO101.joints])
    images = {name: [] for name in env.config.cameras}
    states, actions, done = [], [], False
    for tick, action in enumerate(operator.demonstrate(
            TASK, objects["cube"], objects["mark"], joints, np.random.default_rng(seed),
            lambda: float(np.linalg.norm((env.tool_axes() @ env.wrench()[:3])[:2])))):
        if tick % EVERY == 0:
            seen = env.observe(0, "")
            states.append([seen.state[n] for n in (*SO101.joints, *WRENCH_STATES)])
            for name, image in seen.images.items():
                images[name].append(shrink(image, EDGE, EDGE))
        done |= env.control(action)[1]
        if tick % EVERY == EVERY - 1:
            actions.append(action)
    if not done:
        return None
    actions += [action] * (len(states) - len(actions))
    named = {f"observation.images.{n}": stack for n, stack in images.items()}
    return DatasetEpisode(
        task=env.config.instruction(TASK),
        images={n: [encode_png(i) for i in stack] for n, stack in named.items()},
        image_stats={n: image_stats(np.stack(stack)) for n, stack in named.items()},
        arrays={"observation.state": np.array(states, np.float32),
                "action": np.array(actions, np.float32)})


def write_demonstrations(out: Path, count: int) -> None:
    """Write a dataset of the scripted operator, with joints and wrench in the state."""
    from sim_bridge.so101.operator import ScriptedOperator

    config = SimulatedRobotConfig.of([TASK])
    features = {f"observation.images.{name}": {
        "dtype": "image", "shape": [EDGE, EDGE, 3], "names": ["height", "width", "channels"]}
        for name in config.cameras}
    names = [*SO101.joints, *WRENCH_STATES]
    features["observation.state"] = {"dtype": "float32", "shape": [len(names)], "names": names}
    features["action"] = {"dtype": "float32", "shape": [6], "names": list(SO101.channels)}
    writer = LeRobotDatasetWriter(out, round(1 / (EVERY * SO101.control_dt)), features, "so101")
    operator, kept, seed = ScriptedOperator(SO101.control_dt), 0, FIRST_SEED
    with closing(make_environment(TASK)) as env, \
            progress_bar(total=count, unit="episode", desc="demonstrate") as progress:
        while kept < count:
            episode = demonstrate(env, operator, seed)
            seed += 1
            if episode is not None:
                writer.add(episode)
                kept += 1
                progress.update()
    writer.close()


def recipe(with_wrench: bool, steps: int, seed: int) -> dict:
    """Return the recipe of one policy."""
    return {
        "cameras": {n: {"height": EDGE, "width": EDGE} for n in ("front", "wrist")},
        "state": [*SO101.joints, *(WRENCH_STATES if with_wrench else ())],
        "action": {"channels": list(SO101.channels), "units": ["rad"] * 6,
                   "low": list(SO101.low), "high": list(SO101.high),
                   "dt": EVERY * SO101.control_dt, "horizon": 16, "n_action_steps": 2},
        "model": {"image_channels": 16, "keypoints": 16, "instruction_dim": 16,
                  "condition_dim": 128, "denoiser_channels": [32, 64, 128], "kernel_size": 3},
        "diffusion": {"prediction": "sample", "sample_steps": 2, "spacing": "trailing"},
        "optimization": {"steps": steps, "batch_size": 64, "noise_samples": 2,
                         "learning_rate": 3.0e-3, "warmup_steps": 100, "future_weight": 0.0,
                         "validation_fraction": 0.05, "save_every": 1000, "snapshot_every": 0},
        "seed": seed}


def evaluate(checkpoint: Path, episodes: int, first: int) -> list[dict]:
    """Run episodes in lock-step; return success and the largest force of each."""
    policy, found = Policy(checkpoint, threads=1), []
    with closing(make_environment(TASK)) as env:
        for spec in plan_episodes([TASK], episodes, first):
            episode = Episode(env, spec)
            for _ in rollout(policy, episode):
                pass
            found.append({"seed": spec.seed, "success": episode.result().success,
                          "steps": episode.result().steps, "force_N": env.hardest_touch})
    return found


def measure(out: Path, with_wrench: bool, seed: int, steps: int, episodes: int) -> list[dict]:
    """Train a policy and run its episodes on one core, or read what is there."""
    run = out / f"{'with' if with_wrench else 'without'}-{seed}"
    result = run / "episodes.json"
    if not result.exists():
        file = out / f"{run.name}.yaml"
        file.write_text(yaml.safe_dump(recipe(with_wrench, steps, seed)))
        more = ["--resume", str(run)] if run.exists() else [
            "--config", str(file), "--data", str(out / "demonstrations"), "--out", str(run),
            "--threads", "1"]
        with (out / f"{run.name}.log").open("a") as log:
            subprocess.run([sys.executable, "-m", "tinyvla_ros.cli", "train", *more], check=True,
                           stdout=log, stderr=subprocess.STDOUT)
        result.write_text(json.dumps(evaluate(run / "last", episodes, 0)))
    return json.loads(result.read_text())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/force"))
    parser.add_argument("--demonstrations", type=int, default=60)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                        help="policies at a time, a core each")
    args = parser.parse_args()
    data = args.out / "demonstrations"
    if not data.exists():
        write_demonstrations(data, args.demonstrations)
    kinds = {"without": False, "with": True}
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        jobs = {kind: [pool.submit(measure, args.out, with_wrench, seed, args.steps,
                                   args.episodes) for seed in range(args.seeds)]
                for kind, with_wrench in kinds.items()}
        for job in progress_bar(as_completed([j for part in jobs.values() for j in part]),
                                total=len(kinds) * args.seeds, unit="policy"):
            job.result()
    rows = []
    for kind, part in jobs.items():
        found = [job.result() for job in part]
        every = [e for one in found for e in one]
        low, high = wilson_interval(sum(e["success"] for e in every), len(every))
        force = [e["force_N"] for e in every]
        rows.append([kind,
                     ", ".join(f"{sum(e['success'] for e in one)}/{len(one)}" for one in found),
                     f"{100 * np.mean([e['success'] for e in every]):.0f} % "
                     f"({100 * low:.0f}-{100 * high:.0f})",
                     f"{np.median(force):.1f}", f"{np.percentile(force, 95):.1f}"])
    print(markdown_table(["wrench", "successes by seed of training", "success (95 %)",
                          "force N, median", "95 %"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
