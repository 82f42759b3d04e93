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

"""How much latency does a policy tolerate, and with which blending of chunks?"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from sim_bridge.episodes import plan_episodes
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.experiments.episodes import check_evaluation, run_missing
from training.experiments.figures import COLORS, label_axes, new_figure, save, success_percent
from training.experiments.options import LatencyStudyOptions
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource
from training.jobs.results_log import EPISODES, ResultsLog


def compare_latencies(options: LatencyStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.
    """
    checkpoint = (options.checkpoint or default_checkpoint()).resolve()
    loaded, robot = load_checkpoint(checkpoint), SimulatedRobotConfig.load()
    check_evaluation(options.tasks, options.episodes, options.seed, loaded.config, robot)
    plan = {"checkpoint": loaded.digest, "tasks": options.tasks, "joins": options.joins,
            "latencies_ms": options.latencies, "episodes": options.episodes,
            "seed": options.seed, "horizon": loaded.config.action.horizon,
            "dt": loaded.config.action.dt}
    runs = [EpisodeRun(PolicySource(checkpoint), spec, robot,
                       {"join": join, "latency_ms": latency, "task": spec.task, "seed": spec.seed},
                       delay=(join, round(latency * 1e6)))
            for spec in plan_episodes(list(options.tasks), options.episodes, options.seed)
            for join in options.joins for latency in options.latencies]
    with ResultsLog(options.out, plan, (EPISODES,)) as log:
        return write_report(log) if run_missing(runs, log, options.workers, _record) else None


def _record(run: EpisodeRun, outcome: EpisodeOutcome) -> dict:
    if outcome.error is not None:
        raise outcome.error
    return {**run.labels, "success": outcome.result.success, "steps": outcome.result.steps,
            "held_steps": outcome.delayed.held_steps,
            "seams": [[round(s.position, 5), round(s.velocity, 4)] for s in outcome.delayed.seams]}


def write_report(log: ResultsLog) -> str:
    """Write ``latency.md`` and ``latency.png``; return the text."""
    plan, records = log.plan, log.records[EPISODES]
    cells = {(join, latency): [r for r in records
                               if (r["join"], r["latency_ms"]) == (join, latency)]
             for join, latency in product(plan["joins"], plan["latencies_ms"])}
    tasks = plan["tasks"]
    rows = []
    for (join, latency), found in cells.items():
        rates = [rate_text([r["success"] for r in found if r["task"] == task]) for task in tasks]
        held = sum(r["held_steps"] for r in found) / max(1, sum(r["steps"] for r in found))
        rows.append([join, f"{latency:g}", *rates, rate_text([r["success"] for r in found]),
                     f"{100 * held:.0f} %", _seam(found, 0), _seam(found, 1)])
    table = markdown_table(["join", "latency ms", *tasks, "all tasks", "held steps",
                            "seam, position p50 / p99", "seam, velocity p50 / p99"], rows)
    text = (f"Checkpoint {plan['checkpoint']} (chunks of {plan['horizon']} x "
            f"{1e3 * plan['dt']:g} ms), {plan['episodes']} episodes per task and cell, seeds "
            f"from {plan['seed']} on; 95 % Wilson intervals; seams in ranges of a channel.\n\n"
            f"{table}")
    (log.path / "latency.md").write_text(text + "\n", encoding="utf-8")
    _draw(cells, plan, log.path / "latency.png")
    return text


def _seam(records: list[dict], column: int) -> str:
    values = [seam[column] for r in records for seam in r["seams"]]
    if not values:
        return "-"
    return " / ".join(f"{v:.3g}" for v in np.percentile(values, [50, 99]))


def _draw(cells: dict, plan: dict, path: Path) -> None:
    figure = new_figure(11, 3.6)
    success, seams = figure.subplots(1, 2)
    latencies = plan["latencies_ms"]
    for offset, join in enumerate(plan["joins"]):
        color = COLORS[offset]
        found = [cells[join, latency] for latency in latencies]
        x = np.array(latencies, float) + (offset - 1) * 0.012 * max(latencies)
        rates, errors = success_percent([[r["success"] for r in f] for f in found])
        success.errorbar(x, rates, errors, color=color, marker="o", label=join, linewidth=1.5)
        jumps = [[s[0] for r in f for s in r["seams"]] or [np.nan] for f in found]
        seams.plot(x, [np.percentile(j, 50) for j in jumps], color=color, marker="o")
        seams.plot(x, [np.percentile(j, 99) for j in jumps], color=color, marker="^",
                   linestyle=":")
    label_axes(success, "Success, all tasks", "latency from image to chunk, ms", "%")
    success.set_ylim(-3, 103)
    success.legend(frameon=False)
    label_axes(seams, "Jump at a seam: median (solid), 99th percentile (dotted)",
               "latency from image to chunk, ms", "ranges of a channel")
    seams.set_ylim(bottom=0)
    save(figure, path)
