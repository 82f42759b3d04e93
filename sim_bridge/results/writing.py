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

"""Results of an evaluation: one line per episode, one table, one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from pydantic import Json

from sim_bridge.arms import METAWORLD
from sim_bridge.protocol import Protocol
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import MT50_GROUPS
from tinyvla_ros.core.files import (
    check_output_directory,
    prepare_output_directory,
    write_json,
)
from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.core.provenance import provenance
from tinyvla_ros.core.ros.episode_event import EpisodeEvent
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.config import PolicyConfig


@dataclass(frozen=True)
class EpisodeRecord:
    """One line of ``episodes.jsonl``; ``return`` in the file is ``episode_return`` here.

    Attributes:
        task: MetaWorld task.
        seed: seed of the episode.
        success: MetaWorld's own success signal within the horizon.
        steps: control steps executed.
        episode_return: sum of dense rewards.
        chunks: action chunks executed.
        latency_ms: observation to chunk, one value per chunk.
        pace: mean over the chunks, 1 as demonstrated.
    """

    task: str
    seed: int
    success: bool
    steps: int
    episode_return: float
    chunks: int
    latency_ms: tuple[float, ...]
    pace: float = 1.0


@dataclass(frozen=True)
class RealTimeFigures:
    """What only an episode in real time has.

    Attributes:
        factor: simulated time by the time on the wall.
        camera_rate: moments that each camera was to show, per second of simulated time.
        skipped_frames: images that were not taken before the next ones were due.
        frame_ms: from the moment of an image until it was published, one value per moment.
    """

    factor: float
    camera_rate: float
    skipped_frames: int
    frame_ms: tuple[float, ...]

    @classmethod
    def of(cls, event: EpisodeEvent) -> RealTimeFigures | None:
        """Read the end of an episode; None if it was not in real time.

        Raises:
            MessageError: the event lacks a value, or it is of another type.
        """
        if "real_time_factor" not in event.values:
            return None
        return cls(event.value("real_time_factor", float), event.value("camera_rate", float),
                   event.value("skipped_frames", int),
                   event.value("frame_ms", Json[tuple[float, ...]]))


class ResultsWriter:
    """Collect episode records in a directory.

    ``episodes.jsonl`` gets a line as each episode ends, so that an interrupted run keeps its
    results; ``results.json`` is written by ``finish``.

    Args:
        out: directory, made when the first episode is added; one that holds results already is
            refused.

    Raises:
        InputError: ``out`` cannot be created or written, or holds results.
    """

    def __init__(self, out: str | Path):
        self.out = check_output_directory(out)
        self._lines: TextIO | None = None
        self.records: list[EpisodeRecord] = []

    def add(self, record: EpisodeRecord) -> None:
        """Append one episode."""
        self.records.append(record)
        line = asdict(record)
        line["return"] = round(line.pop("episode_return"), 4)
        line["pace"] = round(record.pace, 4)
        line["latency_ms"] = [round(v, 3) for v in record.latency_ms]
        if self._lines is None:
            prepare_output_directory(self.out)  # another run may have had results meanwhile
            self._lines = (self.out / "episodes.jsonl").open("w", encoding="utf-8")
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()

    def finish(self, protocol: dict) -> dict:
        """Write ``results.json`` and return its content."""
        if self._lines is not None:
            self._lines.close()
        results = summarize(self.records, protocol)
        write_json(self.out / "results.json", results)
        return results


def protocol(config: PolicyConfig, digest: str, robot: SimulatedRobotConfig, *,
             tasks: Iterable[str], episodes: int, seed: int, horizon: int, mode: str,
             policy_seed: int, backend: str, sample_steps: int, under: Protocol | None = None,
             demonstrations: int | None = None, **more) -> dict:
    """Return everything needed to repeat an evaluation.

    Under a protocol, cameras, state and demonstrations are those that it allows, and ``policy``
    has what the policy uses of them. Without one they are the policy's own.

    Args:
        config: of the policy.
        digest: of the checkpoint.
        robot: the simulated robot.
        tasks: that were run.
        episodes: per task.
        seed: of the first episode of a task.
        horizon: control steps after which an episode ends.
        mode: how it was run.
        policy_seed: of the sampler.
        backend: what ran the network.
        sample_steps: of the sampler.
        under: the protocol, None without one.
        demonstrations: per task that the policy was trained with, None where unknown.
        more: further entries.
    """
    tasks = list(tasks)
    allowed = robot.with_cameras(under.cameras if under else list(config.cameras))
    return {
        **provenance(), "mode": mode,
        "protocol": under and under.name,
        "whole_protocol": under and under.is_whole(tasks, episodes),
        "tasks": tasks, "episodes": episodes, "seeds": [seed, seed + episodes - 1],
        "policy_seed": policy_seed, "horizon": horizon,
        "horizons": list(under.horizons) if under else [horizon],
        "success": robot.arm.success,
        "checkpoint_digest": digest,
        "cameras": {name: pose.model_dump(exclude={"recorded"})
                    for name, pose in allowed.cameras.items()},
        "state": list(under.state if under else config.state), "scenes": robot.scenes,
        "surroundings": robot.surroundings.model_dump(mode="json", exclude_none=True),
        "demonstrations": under.demonstrations if under else demonstrations,
        "policy": {"cameras": list(config.cameras), "state": list(config.state),
                   "demonstrations": demonstrations},
        "chunk_horizon": config.action.horizon, "n_action_steps": config.action.n_action_steps,
        "control_dt": robot.arm.control_dt, "action_dt": config.action.dt, "backend": backend,
        "sample_steps": sample_steps, **more}


def real_time_protocol(episodes: Sequence[RealTimeFigures]) -> dict:
    """Return how real the time of a run was, for ``protocol``."""
    frames = [v for e in episodes for v in e.frame_ms]
    return {"real_time_factor": round(float(np.mean([e.factor for e in episodes])), 4),
            "camera_rate": episodes[0].camera_rate, "frames": len(frames),
            "skipped_frames": sum(e.skipped_frames for e in episodes),
            "frame_ms": _percentiles(frames)}


def _percentiles(values: Sequence[float]) -> dict[str, float | None]:
    return {f"p{p}": round(float(np.percentile(values, p)), 3) if values else None
            for p in (50, 95, 99)}


def summarize(records: list[EpisodeRecord], protocol: dict) -> dict:
    """Return the content of ``results.json``."""
    control_dt = protocol.get("control_dt", METAWORLD.control_dt)
    tasks = {}
    for task in dict.fromkeys(r.task for r in records):
        mine = [r for r in records if r.task == task]
        successes = sum(r.success for r in mine)
        low, high = wilson_interval(successes, len(mine))
        times = [r.steps for r in mine if r.success]
        within = {str(h): sum(steps <= h for steps in times)
                  for h in protocol.get("horizons", ()) if h < protocol["horizon"]}
        tasks[task] = {
            "episodes": len(mine), "successes": successes,
            "success_rate": round(successes / len(mine), 4),
            "wilson_low": round(low, 4), "wilson_high": round(high, 4),
            **({"successes_within": within} if within else {}),
            "mean_return": round(float(np.mean([r.episode_return for r in mine])), 3),
            "mean_steps": round(float(np.mean([r.steps for r in mine])), 2),
            "mean_pace": round(float(np.mean([r.pace for r in mine])), 3),
            "mean_success_s": round(control_dt * float(np.mean(times)), 3) if times else None}
    latency = [v for r in records for v in r.latency_ms]
    return {"protocol": protocol, "tasks": tasks, "latency_ms": _percentiles(latency)}


def table(results: dict) -> str:
    """Return the summary as a Markdown table, which also reads well in a terminal."""
    tasks = results["tasks"]
    parts = [markdown_table(
        ["task", "episodes", "success", "95 % interval", "mean steps", "s to success", "pace",
         "mean return"],
        [[task, row["episodes"], f"{100 * row['success_rate']:.0f} %",
          f"{100 * row['wilson_low']:.0f}-{100 * row['wilson_high']:.0f} %",
          f"{row['mean_steps']:.1f}",
          "-" if row["mean_success_s"] is None else f"{row['mean_success_s']:.2f}",
          f"{row['mean_pace']:.2f}", f"{row['mean_return']:.1f}"]
         for task, row in tasks.items()])]
    if len(tasks) > 1:
        parts += _means({task: 100 * row["success_rate"] for task, row in tasks.items()})
    for horizon in next(iter(tasks.values())).get("successes_within", ()) if tasks else ():
        parts += _means({task: 100 * row["successes_within"][horizon] / row["episodes"]
                         for task, row in tasks.items()}, f"within {horizon} steps: ")
    parts += _standing(results["protocol"], len(tasks))
    latency = results["latency_ms"]
    if latency["p50"] is not None:
        parts.append(f"observation to chunk: p50 {latency['p50']:.1f} ms, "
                     f"p95 {latency['p95']:.1f} ms, p99 {latency['p99']:.1f} ms")
    return "\n\n".join(parts)


def _means(rates: Mapping[str, float], begin: str = "") -> list[str]:
    """Return sentences on the means of rates by task, percent: over all and by group of MT50."""
    tasks = f"{len(rates)} tasks" if len(rates) > 1 else "1 task"
    parts = [f"{begin}mean success over {tasks}: {np.mean(list(rates.values())):.1f} %"]
    groups = {name: float(np.mean([rates[task] for task in group]))
              for name, group in MT50_GROUPS.items() if set(group) <= set(rates)}
    if len(groups) == len(MT50_GROUPS):
        parts.append(f"{begin}mean success of the groups of MT50: " + ", ".join(
            f"{name} {mean:.1f} %" for name, mean in groups.items())
            + f"; mean of the groups {np.mean(list(groups.values())):.1f} %")
    return parts


def _standing(protocol: Mapping, tasks: int) -> list[str]:
    """Return a sentence on the protocol that results are of, none without one."""
    if not protocol.get("protocol"):
        return []
    text = f"protocol {protocol['protocol']}"
    if not protocol["whole_protocol"]:
        text += (f", a part of it: {tasks} of its tasks, {protocol['episodes']} episodes a task")
    if protocol["policy"]["demonstrations"] is None:
        text += ("; the checkpoint does not tell how many demonstrations it was trained with, and "
                 f"{protocol['demonstrations']} a task are allowed")
    return [text]
