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

"""How much delay does a policy tolerate, of which kind, and with which execution of chunks?"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from sim_bridge.arms import METAWORLD
from sim_bridge.delayed_rollout import RealTime
from sim_bridge.episodes import plan_episodes
from sim_bridge.simulated_robot import SimulatedRobotConfig, check_camera_rate
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import default_checkpoint, default_robot
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.experiments.episodes import check_evaluation, open_study_workers, run_missing
from training.experiments.figures import COLORS, label_axes, new_figure, save, success_percent
from training.experiments.options import LatencyStudyOptions
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource
from training.jobs.results_log import EPISODES, ResultsLog

# What varies: name in the records -> label of the figure.
AXES = {"latency ms": "latency from image to chunk, ms",
        "dropped %": "images lost, %",
        "jitter ms": "largest latency added at random, ms",
        "camera Hz": "images per second"}


def compare_latencies(options: LatencyStudyOptions) -> str | None:
    """Run the episodes that are missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to be continued with the same options.

    Raises:
        InputError: see ``check_evaluation``; also, a camera rate that does not divide the rate of
            control.
    """
    checkpoint = (options.checkpoint or default_checkpoint()).resolve()
    loaded, robot = load_checkpoint(checkpoint), SimulatedRobotConfig.load()
    check_evaluation(options.tasks, options.episodes, options.seed, loaded.config, robot)
    executions = list(product(options.joins, options.paces, options.settings))
    for join, pace, settings in executions:
        RobotContract.load(default_robot()).with_execution(join, pace, _settings(settings))
    plan = {"checkpoint": loaded.digest, "tasks": options.tasks, "joins": options.joins,
            "paces": options.paces, "settings": options.settings, "axes": dict(zip(AXES, (
                options.latencies, options.dropped, options.jitters, options.camera_rates),
                strict=True)),
            "at_ms": options.at, "episodes": options.episodes,
            "seed": options.seed, "horizon": loaded.config.action.horizon,
            "dt": loaded.config.action.dt}
    runs = [EpisodeRun(PolicySource(checkpoint), spec, robot,
                       {"join": join, "pace": pace, "settings": settings, "axis": axis,
                        "value": value, "task": spec.task, "seed": spec.seed},
                       real_time=replace(
                           conditions(axis, value, options.at), join=join, pace=pace,
                           settings=_settings(settings)))
            for spec in plan_episodes(list(options.tasks), options.episodes, options.seed)
            for join, pace, settings in executions
            for axis, values in plan["axes"].items() for value in values]
    with (open_study_workers(options) as workers,
          ResultsLog(options.out, plan, (EPISODES,)) as log):
        return write_report(log) if run_missing(runs, log, workers, _record) else None


def conditions(axis: str, value: float, at_ms: float) -> RealTime:
    """Return what stands between image and chunk in a cell; see ``LatencyStudyOptions``."""
    more = {}
    if axis == "dropped %":
        more = {"dropped": value / 100}
    elif axis == "jitter ms":
        more = {"jitter_ns": round(value * 1e6)}
    elif axis == "camera Hz":
        check_camera_rate(value, "realtime")
        more = {"camera_every": round(1 / (value * METAWORLD.control_dt))}
    latency_ms = value if axis == "latency ms" else at_ms
    return RealTime(latency_ns=round(latency_ms * 1e6), **more)


def _settings(text: str) -> tuple[str, ...]:
    """Split ``catch_up=0,takeover=1``."""
    return tuple(filter(None, text.split(",")))


def _record(run: EpisodeRun, outcome: EpisodeOutcome) -> dict:
    if outcome.error is not None:
        raise outcome.error
    delayed = outcome.delayed
    return {**run.labels, "success": outcome.result.success, "steps": outcome.result.steps,
            "held_steps": delayed.held_steps, "mean_pace": round(delayed.mean_pace, 3),
            "seams": [[round(s.position, 5), round(s.velocity, 4)] for s in delayed.seams]}


def write_report(log: ResultsLog) -> str:
    """Write ``latency.md`` and ``latency.png``; return the text."""
    plan, records = log.plan, log.records[EPISODES]
    executions = list(product(plan["joins"], plan["paces"], plan["settings"]))
    keys = [(*execution, axis, value) for axis, values in plan["axes"].items()
            for execution in executions for value in values]
    cells = {key: [r for r in records if (r["join"], r["pace"], r["settings"], r["axis"],
                                          r["value"]) == key] for key in keys}
    tasks = plan["tasks"]
    parts = []
    for axis, values in plan["axes"].items():
        if not values:
            continue
        rows = []
        for (*execution, _, value), found in (c for c in cells.items() if c[0][3] == axis):
            rates = [rate_text([r["success"] for r in found if r["task"] == t]) for t in tasks]
            held = sum(r["held_steps"] for r in found) / max(1, sum(r["steps"] for r in found))
            times = [METAWORLD.control_dt * r["steps"] for r in found if r["success"]]
            rows.append([_name(*execution), f"{value:g}", *rates,
                         rate_text([r["success"] for r in found]),
                         f"{np.mean([r['mean_pace'] for r in found]):.2f}",
                         f"{np.mean(times):.2f}" if times else "-",
                         f"{100 * held:.0f} %", _seam(found, 0), _seam(found, 1)])
        parts.append(markdown_table(
            ["execution", axis, *tasks, "all tasks", "mean pace", "s to success",
             "held steps", "seam, position p50 / p99", "seam, velocity p50 / p99"], rows))
    text = (f"Checkpoint {plan['checkpoint']} (chunks of {plan['horizon']} x "
            f"{1e3 * plan['dt']:g} ms), {plan['episodes']} episodes per task and cell, seeds "
            f"from {plan['seed']} on, latency {plan['at_ms']:g} ms where something else varies; "
            "95 % Wilson intervals; seams in ranges of a channel.\n\n" + "\n\n".join(parts))
    (log.path / "latency.md").write_text(text + "\n", encoding="utf-8")
    _draw(cells, plan["axes"], executions, log.path / "latency.png")
    return text


def _name(join: str, pace: float, settings: str) -> str:
    return ", ".join([join, f"pace {pace:g}" if pace else "robot's pace",
                      *(part.replace("=", " ") for part in _settings(settings))])


def _seam(records: list[dict], column: int) -> str:
    values = [seam[column] for r in records for seam in r["seams"]]
    if not values:
        return "-"
    return " / ".join(f"{v:.3g}" for v in np.percentile(values, [50, 99]))


def _draw(cells: dict, axes: dict, executions: list[tuple], path: Path) -> None:
    axes = {axis: values for axis, values in axes.items() if values}
    figure = new_figure(4 + 3.6 * len(axes), 3.6)
    *panels, seams = np.atleast_1d(figure.subplots(1, len(axes) + 1))
    for panel, (axis, values) in zip(panels, axes.items(), strict=True):
        for number, execution in enumerate(executions):
            found = [cells[(*execution, axis, value)] for value in values]
            span = max(values) - min(values)
            x = np.array(values, float) + (number - len(executions) / 2) * 0.01 * span
            rates, errors = success_percent([[r["success"] for r in f] for f in found])
            panel.errorbar(x, rates, errors, color=COLORS[number % len(COLORS)], marker="o",
                           label=_name(*execution), linewidth=1.5)
            if panel is panels[0]:
                jumps = [[s[0] for r in f for s in r["seams"]] or [np.nan] for f in found]
                for share, style in ((50, "o-"), (99, "^:")):
                    seams.plot(x, [np.percentile(j, share) for j in jumps], style,
                               color=COLORS[number % len(COLORS)])
        label_axes(panel, "Success, all tasks", AXES[axis], "%")
        panel.set_ylim(-3, 103)
    panels[0].legend(frameon=False, fontsize=9)
    label_axes(seams, "Jump at a seam (dotted: p99)",
               AXES[next(iter(axes))], "ranges of a channel")
    seams.set_ylim(bottom=0)
    save(figure, path)
