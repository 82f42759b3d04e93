# SPDX-License-Identifier: Apache-2.0
"""Table and figure of ``tinyvla language-vs-success``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.tables import markdown_table
from training.experiments.figures import COLORS, label_axes, new_figure, save, success_percent
from training.experiments.options import PROMPT_CONDITIONS
from training.jobs.results_log import EPISODES, ResultsLog


def write_report(log: ResultsLog) -> str:
    """Write ``language.md`` and ``language.png``; return the text."""
    plan, records = log.plan, log.records[EPISODES]
    found = {condition: [r for r in records if r["told"] == condition]
             for condition in plan["told"]}
    rows = [[task, *(rate_text(_outcomes(rs, task)) for rs in found.values())]
            for task in plan["tasks"]]
    rows.append(["all", *(rate_text(_outcomes(rs)) for rs in found.values())])
    rows.append(["refused, arm not moved",
                 *(f"{sum(r['refused'] for r in rs)} of {len(rs)}" for rs in found.values())])
    table = markdown_table(["task", *map(_label, found)], rows)
    text = (f"Checkpoint {plan['checkpoint']}, {plan['episodes']} episodes per task and column, "
            f"seeds from {plan['seed']} on, {plan['scenes']} scenes; success at the task of the "
            f"scene, 95 % Wilson intervals.\n\n{table}")
    (log.path / "language.md").write_text(text + "\n")
    _draw(found, plan["tasks"], log.path / "language.png")
    return text


def _label(condition: str) -> str:
    return f"told {PROMPT_CONDITIONS[condition]}"


def _outcomes(records: Sequence[dict], task: str | None = None) -> list[bool]:
    return [r["success"] for r in records if task in (None, r["task"])]


def _draw(found: dict, tasks: Sequence[str], path: Path) -> None:
    figure = new_figure(11, 4.2)
    axes = figure.subplots()
    places = np.arange(len(tasks) + 1)
    width = 0.8 / len(found)
    for i, (condition, records) in enumerate(found.items()):
        rates, errors = success_percent([_outcomes(records, task) for task in (*tasks, None)])
        axes.bar(places + (i - (len(found) - 1) / 2) * width, rates, width, yerr=errors,
                 color=COLORS[i], label=_label(condition), error_kw={"linewidth": 0.8})
    label_axes(axes, "Success by instruction", "", "%")
    axes.set_xticks(places, [t.removesuffix("-v3") for t in tasks] + ["all"], rotation=30,
                    ha="right")
    axes.set_ylim(0, 135)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(frameon=False, ncols=2, fontsize=8, loc="upper left")
    save(figure, path)
