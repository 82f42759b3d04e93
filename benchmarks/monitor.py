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

"""How well failures are foreseen: the monitor, published signals, and the clock, on one set.

A policy acts in lock-step, undisturbed and disturbed in nine ways; without success within 200
control steps an episode has failed. Every signal is calibrated with clean successes of seeds of
their own, as ``tinyvla monitor calibrate`` does it; then failures and successes of other seeds,
disturbed ones among them, are told apart. Episodes that were run once are not run again.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from _disturbances import KINDS, disturbed_episode
from _figures import print_heading
from _signals import (
    Run,
    Signal,
    flow_noise,
    mahalanobis,
    overlap,
    path_acceleration,
    random_network,
    spread,
    stac,
    summed,
)
from tqdm import tqdm

from sim_bridge.make_environment import make_environment
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import expand_tasks
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.monitor.score import novelty_ratios
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy
from training.monitor.heads import check_heads, train_heads
from training.monitor.novelty import (
    NeighborDistance,
    calibrate_novelty,
    novelty_levels,
    novelty_of,
)
from training.monitor.watched_episodes import WatchedEpisode, Watcher, shuffled

HORIZON, SAMPLES, FALSE_ALARMS = 200, 8, 0.05
CALIBRATION_SCENES, EVALUATION_SCENES = 84_000, 83_000
DRAWS = 1000  # of the bootstrap


class Runner:
    """Runs episodes of a checkpoint, once each.

    Args:
        checkpoint: directory.
        out: where episodes are kept.
        tasks: that are run.
    """

    def __init__(self, checkpoint: Path, out: Path, tasks: list[str]):
        loaded = load_checkpoint(checkpoint)
        self._policies = [Policy(checkpoint, seed=seed) for seed in range(SAMPLES)]
        self._watcher, self._out, self._digest = Watcher(loaded), out, loaded.digest
        action = loaded.config.action
        self._half = (np.array(action.high) - np.array(action.low)) / 2
        self._rows = action.n_action_steps
        robot = SimulatedRobotConfig.for_tasks(tasks, "").with_cameras(loaded.config.cameras)
        self._environments = {task: make_environment(task, robot) for task in tasks}
        out.mkdir(parents=True, exist_ok=True)

    def run(self, task: str, kind: str, seed: int) -> Run | None:
        """Run an episode, or read it; None if its scene has no room for it."""
        file = self._out / f"{kind}_{task}_{seed}_{self._digest}.npz"
        if not file.exists():
            found = self._run(task, kind, seed)
            if found is None:
                return None
            np.savez_compressed(file, **found)
        with np.load(file) as saved:
            return Run(task, kind, WatchedEpisode(file.stem, saved["features"], saved["stamps"],
                                                  bool(saved["success"]), task),
                       saved["samples"].astype(np.float32), saved["steps"])

    def _run(self, task: str, kind: str, seed: int) -> dict[str, object] | None:
        begun = disturbed_episode(self._environments[task], kind, seed, HORIZON)
        if begun is None:
            return None
        disturbance, episode = begun
        features, samples, steps, stamps = [], [], [], []
        with disturbance.of_model():
            while not episode.done:
                seen = disturbance.seen(episode.observe(), episode.steps)
                chunks = [policy.infer(seen).actions for policy in self._policies]
                features.append(self._watcher.features(seen))
                samples.append((np.array(chunks) / self._half).astype(np.float16))
                steps.append(episode.steps)
                stamps.append(seen.stamp_ns)
                for row in chunks[0][:self._rows]:
                    if not episode.done:
                        episode.control(disturbance.executed(row, episode.steps))
        return {"features": np.array(features, np.float32), "samples": np.array(samples),
                "steps": np.array(steps), "stamps": np.array(stamps, np.int64),
                "success": episode.success}


# ---- judgment -----------------------------------------------------------------------------------

def judge(name: str, signal: Signal, judged: list[Run], runs: list[Run],
          threshold: float | None = None) -> dict[str, str]:
    """Return a row: how well a signal tells failures from successes.

    Args:
        name: of the signal.
        signal: it.
        judged: clean successes that give the threshold of a share of false alarms.
        runs: to tell apart.
        threshold: if it is known.
    """
    series = [signal(run) for run in runs]
    worst = np.array([s.max() for s in series])
    failed = np.array([not run.watched.success for run in runs])
    at_5 = np.quantile(worst[~failed], 1.0 - FALSE_ALARMS)
    first = np.array([run.steps[np.argmax(s > at_5)] / HORIZON if (s > at_5).any() else np.inf
                      for run, s in zip(runs, series, strict=True)])[failed]
    low, high = _interval(worst, failed)
    if threshold is None:
        scores = np.sort([signal(run).max() for run in judged])
        rank = int(np.ceil((len(scores) + 1) * (1.0 - FALSE_ALARMS))) - 1
        threshold = scores[min(rank, len(scores) - 1)]
    clean = [w for w, run in zip(worst, runs, strict=True)
             if run.kind == "clean" and run.watched.success]
    return {"signal": name, "AUROC": f"{_auroc(worst, failed):.3f} ({low:.3f}-{high:.3f})",
            "found at 5 % of successes": rate_text((worst[failed] > at_5).tolist()),
            "before 60 %": f"{np.mean(first < 0.6):.0%}",
            "at, p50": f"{np.median(first):.0%}" if np.isfinite(np.median(first)) else "-",
            "own threshold: found": f"{np.mean(worst[failed] >= threshold):.0%}",
            "false, all": f"{np.mean(worst[~failed] >= threshold):.0%}",
            "false, clean": rate_text([w >= threshold for w in clean])}


def _auroc(worst: np.ndarray, failed: np.ndarray) -> float:
    a, b = worst[failed][:, None], worst[~failed][None]
    return float(((a > b) + 0.5 * (a == b)).mean())


def _interval(worst: np.ndarray, failed: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    a, b = worst[failed], worst[~failed]
    draws = []
    for _ in range(DRAWS):
        both = np.concatenate([rng.choice(a, len(a)), rng.choice(b, len(b))])
        draws.append(_auroc(both, np.arange(len(both)) < len(a)))
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def main() -> None:
    """Run episodes and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of MetaWorld tasks")
    parser.add_argument("--tasks", nargs="+", required=True, help="of the checkpoint, or a suite")
    parser.add_argument("--calibration", type=int, default=40, help="clean episodes of each task")
    parser.add_argument("--episodes", type=int, default=14, help="of each task and disturbance")
    parser.add_argument("--out", type=Path, default=Path("results/monitor"))
    options = parser.parse_args()
    tasks = list(expand_tasks(options.tasks))
    print_heading("Failures foreseen", ["mujoco", "metaworld", "onnxruntime"],
                  checkpoint=options.checkpoint.name, tasks=len(tasks), horizon=HORIZON,
                  calibration=options.calibration, episodes=options.episodes, samples=SAMPLES)
    runner = Runner(options.checkpoint, options.out, tasks)
    wanted = [(task, "clean", CALIBRATION_SCENES + n) for n in range(options.calibration)
              for task in tasks]
    wanted += [(task, kind, EVALUATION_SCENES + n) for n in range(options.episodes)
               for kind in KINDS for task in tasks]
    found = [runner.run(*one) for one in tqdm(wanted, mininterval=30.0)]
    calibration = [r for r in found[:options.calibration * len(tasks)] if r is not None]
    runs = [r for r in found[options.calibration * len(tasks):] if r is not None]
    run_of = {id(r.watched): r for r in calibration if r.watched.success}
    successes = [r.watched for r in run_of.values()]
    # Signals that learn do from one half, and the other gives their thresholds.
    drawn = [run_of[id(e)] for e in shuffled(successes)]
    compared, judged = drawn[::2], drawn[1::2]
    distance, limits = calibrate_novelty(successes, FALSE_ALARMS, "")

    def ratios(run: Run) -> np.ndarray:
        levels = novelty_levels(novelty_of(distance, run.watched), run.watched.stamps_ns,
                                limits.pause)
        return np.array([novelty_ratios(level, limits) for level in levels])

    near = NeighborDistance(np.concatenate([r.watched.features for r in compared]))
    bend = path_acceleration(options.checkpoint)
    random, flow = random_network(compared), flow_noise(compared)
    signals: dict[str, Signal] = {
        "monitor": lambda r: ratios(r).max(1),
        "its mean novelty": lambda r: ratios(r)[:, 0],
        "its summed novelty": lambda r: ratios(r)[:, 1],
        "nearest neighbors": lambda r: novelty_of(near, r.watched),
        "Mahalanobis": mahalanobis(compared), "Mahalanobis, summed": summed(mahalanobis(compared)),
        "RND": random, "RND, summed": summed(random),
        "logpZO": flow, "logpZO, summed": summed(flow),
        "acceleration": bend, "acceleration, summed": summed(bend),
        "STAC": stac, "STAC, summed": summed(stac), "overlap": overlap,
        "overlap, summed": summed(overlap), "spread": spread, "spread, summed": summed(spread),
        "the clock alone": lambda r: r.steps.astype(float)}
    _print([judge(name, s, judged, runs,
                  limits.threshold if name.startswith(("monitor", "its")) else None)
            for name, s in signals.items()])
    by_kind = defaultdict(list)
    for run in runs:
        by_kind[run.kind].append((run.watched.success,
                                  bool(ratios(run).max() >= limits.threshold)))
    _print([{
        "disturbance": kind, "success": rate_text([s for s, _ in of_kind]),
        "alarms in failures": _share([a for s, a in of_kind if not s]),
        "alarms in successes": _share([a for s, a in of_kind if s])}
        for kind, of_kind in by_kind.items()])
    failures = [r.watched for r in calibration if not r.watched.success]
    heads = train_heads([*(r.watched for r in compared), *failures])
    for name, some in (("clean", [r for r in runs if r.kind == "clean"]), ("all", runs)):
        checks = check_heads(heads, [r.watched for r in some])
        print(f"\nheads, {name} episodes: " + ", ".join(
            f"{key.replace('_', ' ')} {value:.3f}" for key, value in checks.items()))


def _print(rows: list[dict[str, str]]) -> None:
    print("\n" + markdown_table(list(rows[0]), [list(row.values()) for row in rows]), flush=True)


def _share(alarms: list[bool]) -> str:
    return f"{sum(alarms)} of {len(alarms)}" if alarms else "-"


if __name__ == "__main__":
    main()
