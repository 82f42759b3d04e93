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

"""The results of an ablation: JSON, a Markdown table, curves and a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim_bridge.arms import METAWORLD
from tinyvla_ros.core.files import replace_file, write_json
from tinyvla_ros.core.intervals import success_rate
from tinyvla_ros.core.provenance import provenance
from training.experiments.ablation.cells import RUNS, run_path
from training.experiments.ablation.curves import Curve, read_curves
from training.experiments.ablation.plot import plot_ablation
from training.experiments.ablation.shares import fix_shares
from training.experiments.ablation.tables import markdown
from training.experiments.episodes import PROTOCOL
from training.jobs.results_log import EPISODES, ResultsLog

ALL_TASKS = "all"
CURVES = ("loss", "gradient_norm")


@dataclass(frozen=True)
class RunResult:
    """A run and its curves.

    Attributes:
        record: what ``train_and_measure`` returned.
        loss: of single batches, that of step 1 included.
        gradient_norm: before clipping.
        batch_size: observations per step.
    """

    record: dict
    loss: Curve
    gradient_norm: Curve
    batch_size: int

    def metrics(self) -> dict[str, float | None]:
        """Return the metrics of the table; None where the run ended too early."""
        record, after = self.record, self.record["after"]
        return {
            "output_std_before": record["before"]["output_std"],
            "output_std_after": after and after["output_std"],
            "first_loss": record["first_loss"], "max_loss": self.loss.maximum(),
            "final_loss": self.loss.final(record["steps"]),
            "held_out_loss": after and after["held_out"]["own"],
            "held_out_noise_loss": after and after["held_out"]["noise"],
            "gradient_norm": self.gradient_norm.median(), "skipped": record["skipped"]}


def write_report(log: ResultsLog) -> str:
    """Write ``ablation.json``, ``.md``, ``.png`` and ``curves.csv``; return the Markdown."""
    plan = log.plan
    runs: dict[str, list[RunResult]] = {cell: [] for cell in plan["cells"]}
    for record in sorted(log.records[RUNS], key=lambda r: plan["seeds"].index(r["seed"])):
        curves = read_curves(run_path(log.path, record["cell"], record["seed"]), CURVES)
        runs[record["cell"]].append(RunResult(
            record, curves["loss"].with_first(record["first_loss"]), curves["gradient_norm"],
            plan["cells"][record["cell"]]["optimization"]["batch_size"]))
    cells = {cell: summarize_cell(mine, [r for r in log.records[EPISODES] if r["cell"] == cell],
                                  plan["tasks"])
             for cell, mine in runs.items()}
    result = {
        "started": log.started, **provenance(), "protocol": _protocol(plan), "plan": plan,
        "cells": cells, "shares": fix_shares(cells),
        "runs": [r.record for mine in runs.values() for r in mine],
        "episodes": log.records[EPISODES]}
    text = markdown(result)
    write_json(log.path / "ablation.json", result)
    replace_file(log.path / "ablation.md", lambda part: part.write_text(text, encoding="utf-8"))
    replace_file(log.path / "curves.csv", lambda part: part.write_text(
        _csv(runs), encoding="utf-8"))
    plot_ablation(log.path / "ablation.png", runs, cells, plan["tasks"])
    return text


def summarize_cell(runs: Sequence[RunResult], episodes: Sequence[dict], tasks: Sequence[str]
                   ) -> dict:
    """Return the metrics and success of a cell over its runs.

    Args:
        runs: one per seed.
        episodes: results of their episodes.
        tasks: in the order of the tables.

    Returns:
        ``figures``: per metric its value per seed, median, smallest and largest; ``success``: per
        task, and over ``all`` of them, the counts pooled over seeds with their 95 % interval, and
        the rate of each seed; ``diverged``: number of runs that did.
    """
    figures = {}
    for name in runs[0].metrics() if runs else ():
        values = {str(r.record["seed"]): r.metrics()[name] for r in runs}
        known = [v for v in values.values() if v is not None]
        figures[name] = {"seeds": values,
                         "median": float(np.median(known)) if known else None,
                         "low": min(known, default=None), "high": max(known, default=None)}
    groups = {task: [r for r in episodes if r["task"] == task] for task in tasks}
    groups |= {ALL_TASKS: list(episodes)} if len(tasks) > 1 else {}
    success = {task: _success(mine) for task, mine in groups.items() if mine}
    return {"figures": figures, "success": success,
            "diverged": sum(r.record["outcome"] == "diverged" for r in runs),
            "errors": sum(r["error"] is not None for r in episodes)}


def _success(episodes: Sequence[dict]) -> dict:
    by_seed = {}
    for record in episodes:
        by_seed.setdefault(str(record["seed"]), []).append(record["success"])
    return success_rate([r["success"] for r in episodes]) | {
        "seeds": {seed: success_rate(outcomes)["rate"] for seed, outcomes in by_seed.items()}}


def _protocol(plan: dict) -> dict:
    return {
        "budget": f"{plan['samples']} observations per run; steps = observations / batch size",
        "training": "CPU, 1 process, 1 thread",
        "checkpoint": "last",
        "loss": "of single batches: step 1 and every step in the TensorBoard log",
        "final_loss": "mean over the last tenth of the steps",
        "held_out": "fixed draws from held-out episodes, the same for every recipe of a seed",
        "output_std": "of the denoiser's raw output on a held-out batch's noisy actions",
        **PROTOCOL, "success": f"{METAWORLD.success}; episodes of a run without a usable "
                               "checkpoint count as failures"}


def _csv(runs: dict[str, list[RunResult]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["cell", "seed", "figure", "step", "observations", "value"])
    for cell, mine in runs.items():
        for run in mine:
            for name in CURVES:
                curve = getattr(run, name)
                writer.writerows([cell, run.record["seed"], name, step, step * run.batch_size,
                                  f"{value:.6g}"]
                                 for step, value in zip(curve.steps, curve.values, strict=True))
    return file.getvalue()
