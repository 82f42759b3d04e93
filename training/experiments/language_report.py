# SPDX-License-Identifier: Apache-2.0
"""Table and picture of ``tinyvla language-vs-success``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyvla_ros.core.intervals import rate_text, wilson_interval
from tinyvla_ros.core.tables import markdown_table
from training.experiments.options import PROMPT_CONDITIONS
from training.experiments.plots import COLORS, new_figure, save, tidy
from training.jobs.results_log import ResultsLog


def write_report(log: ResultsLog) -> str:
    """Write ``language.md`` and ``language.png``; return the text."""
    plan, records = log.plan, log.records["episodes"]
    rows = {told: [r for r in records if r["told"] == told] for told in plan["told"]}
    table = [[task, *(rate_text(_outcomes(found, task)) for found in rows.values())]
             for task in plan["tasks"]]
    table.append(["all", *(rate_text(_outcomes(found)) for found in rows.values())])
    table.append(["refused, arm not moved",
                  *(f"{sum(r['refused'] for r in f)} of {len(f)}" for f in rows.values())])
    text = (f"Checkpoint {plan['checkpoint']}, {plan['episodes']} episodes per task and column, "
            f"seeds from {plan['seed']} on, {plan['scenes']} scenes; success at the task of the "
            "scene, 95 % Wilson intervals.\n\n"
            + markdown_table(["task", *(f"told {PROMPT_CONDITIONS[t]}" for t in rows)], table))
    (log.path / "language.md").write_text(text + "\n")
    _draw(rows, plan["tasks"], log.path / "language.png")
    return text


def _outcomes(records: Sequence[dict], task: str | None = None) -> list[bool]:
    return [r["success"] for r in records if task in (None, r["task"])]


def _draw(rows: dict, tasks: Sequence[str], path) -> None:
    figure = new_figure(11, 4.2)
    axes = figure.subplots()
    places = np.arange(len(tasks) + 1)
    width = 0.8 / len(rows)
    for i, (told, found) in enumerate(rows.items()):
        outcomes = [_outcomes(found, task) for task in (*tasks, None)]
        rates = np.array([np.mean(o) if o else np.nan for o in outcomes])
        bounds = np.array([wilson_interval(sum(o), len(o)) for o in outcomes]).T
        errors = np.clip([rates - bounds[0], bounds[1] - rates], 0.0, None)
        axes.bar(places + (i - (len(rows) - 1) / 2) * width, 100 * rates, width,
                 yerr=100 * errors, color=COLORS[i], label=f"told {PROMPT_CONDITIONS[told]}",
                 error_kw={"linewidth": 0.8})
    tidy(axes, "Success by what the policy is told", "", "%")
    axes.set_xticks(places, [t.removesuffix("-v3") for t in tasks] + ["all"], rotation=30,
                    ha="right")
    axes.set_ylim(0, 135)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(frameon=False, ncols=2, fontsize=8, loc="upper left")
    save(figure, path)
