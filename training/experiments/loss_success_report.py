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

"""Loss against success: rank correlation, JSON, a Markdown table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle
from scipy.stats import permutation_test, rankdata, spearmanr

from tinyvla_ros.core.files import replace_file, write_json
from tinyvla_ros.core.intervals import count_text, success_rate
from tinyvla_ros.core.provenance import provenance
from tinyvla_ros.core.tables import markdown_table, number
from training.experiments.episodes import PROTOCOL
from training.experiments.figures import COLORS, GRAY, label_axes, log_axis, new_figure, save
from training.jobs.results_log import EPISODES, ResultsLog

LOSSES, BASELINES = "losses", "baselines"  # names of results in the log
NAME = "loss-vs-success"
PERMUTATIONS = 9999
POOLED = "all tasks"
# An earlier claim about this policy: a loss in this range means this success
# (docs/reading-the-loss.md).
CLAIMED_LOSS, CLAIMED_SUCCESS = (0.16, 0.43), (0.8, 0.9)
MARKERS = "os^vDP"


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> dict:
    """Return Spearman's rank correlation of paired values.

    Returns:
        ``rho``; ``p``, two-sided, by permuting the pairs: exact up to seven pairs, else from
        9,999 random permutations with a fixed seed; ``n``. ``rho`` and ``p`` are None for less
        than three pairs, or where all values of a side are equal.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    result = {"rho": None, "p": None, "n": len(x)}
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return result
    ranks = rankdata(y) - rankdata(y).mean()

    def covariance(permuted, axis):  # of ranks: orders permutations as the correlation does
        return (rankdata(permuted, axis=axis) * ranks).sum(axis)

    test = permutation_test((x,), covariance, permutation_type="pairings", vectorized=True,
                            n_resamples=PERMUTATIONS, rng=np.random.default_rng(0))
    return result | {"rho": float(spearmanr(x, y).statistic), "p": float(test.pvalue)}


def write_report(log: ResultsLog) -> str:
    """Write ``loss-vs-success.json``, ``.md`` and ``.png``; return the Markdown."""
    points = collect_points(log.records[LOSSES], log.records[EPISODES], log.plan["tasks"])
    result = {"started": log.started, **provenance(), "protocol": {
        "loss": "held-out episodes of the task, fixed draws, weights of the checkpoint",
        "noise_loss": "squared error of the noise that the prediction amounts to",
        **PROTOCOL},
        "plan": log.plan, "correlations": correlations(points), "points": points,
        "baselines": log.records[BASELINES][0], "episodes": log.records[EPISODES]}
    text = markdown(result)
    write_json(log.path / f"{NAME}.json", result)
    replace_file(log.path / f"{NAME}.md", lambda part: part.write_text(text, encoding="utf-8"))
    _draw(log.path / f"{NAME}.png", points)
    return text


def collect_points(losses: Sequence[dict], episodes: Sequence[dict], tasks: Sequence[str]
                   ) -> list[dict]:
    """Join losses and success per task and snapshot, by step."""
    points = []
    for task in tasks:
        for record in sorted(losses, key=lambda r: r["step"]):
            outcomes = [e["success"] for e in episodes
                        if (e["task"], e["digest"]) == (task, record["digest"])]
            if outcomes:
                points.append({"task": task, "step": record["step"], "digest": record["digest"],
                               "loss": record["tasks"][task], "success": success_rate(outcomes)})
    return points


def correlations(points: Sequence[dict]) -> dict:
    """Return ``rank_correlation`` of success with the two losses and with the step.

    Per task, and over all tasks together: there, easy tasks against hard ones count as well.
    """
    groups = {t: [p for p in points if p["task"] == t]
              for t in dict.fromkeys(p["task"] for p in points)}
    if len(groups) > 1:
        groups[POOLED] = list(points)
    result = {}
    for name, mine in groups.items():
        success = [p["success"]["rate"] for p in mine]
        result[name] = {
            "noise_loss": rank_correlation([p["loss"]["noise"] for p in mine], success),
            "own_loss": rank_correlation([p["loss"]["own"] for p in mine], success),
            "step": rank_correlation([p["step"] for p in mine], success)}
    return result


def markdown(result: dict) -> str:
    """Return the tables of the JSON file's content."""
    plan = result["plan"]
    rows = [[p["task"], str(p["step"]), number(p["loss"]["own"]), number(p["loss"]["noise"]),
             " / ".join(number(v) for v in p["loss"]["noise_by_level"]), count_text(p["success"])]
            for p in result["points"]]
    for task, baselines in result["baselines"].items():
        for name, loss in baselines.items():
            rows.append([task, name.replace("_", " "), number(loss["own"]), number(loss["noise"]),
                         " / ".join(number(v) for v in loss["noise_by_level"]), "-"])
    tests = [[name, str(c["step"]["n"]), *(_correlation(c[k]) for k in
                                           ("noise_loss", "own_loss", "step"))]
             for name, c in result["correlations"].items()]
    inside = [p["success"] for p in result["points"]
              if CLAIMED_LOSS[0] <= p["loss"]["noise"] <= CLAIMED_LOSS[1]]
    held = sum(CLAIMED_SUCCESS[0] <= s["wilson_high"] and s["wilson_low"] <= CLAIMED_SUCCESS[1]
               for s in inside)
    prediction = plan["recipe"]["diffusion"]["prediction"]
    return "\n\n".join([
        f"Run {plan['run']} ({prediction} prediction), {plan['episodes']} episodes per task and "
        f"snapshot (seeds from {plan['seed']} on), 95 % Wilson intervals. {result['machine']}, "
        f"{result['date'][:10]}. The last rows are predictors that ignore their input.",
        markdown_table(["task", "step", "own loss", "noise loss", "from least to most noise",
                        "success"], rows),
        "Spearman's rank correlation with success (two-sided p by permutation).",
        markdown_table(["task", "n", "noise loss", "own loss", "step"], tests),
        f"{len(inside)} of {len(result['points'])} points have a noise loss of {CLAIMED_LOSS[0]} "
        f"to {CLAIMED_LOSS[1]}; the interval of {held} of these meets a success of "
        f"{100 * CLAIMED_SUCCESS[0]:.0f} to {100 * CLAIMED_SUCCESS[1]:.0f} %."]) + "\n"


def _correlation(test: dict) -> str:
    if test["rho"] is None:
        return "undefined"
    return f"{test['rho']:+.2f} (p = {test['p']:.2g})"


def _draw(path: Path, points: Sequence[dict]) -> None:
    """Draw success against noise loss, and both against the step."""
    figure = new_figure(13, 4.8)
    both, success, loss = figure.subplots(1, 3)
    both.add_patch(Rectangle(
        (CLAIMED_LOSS[0], 100 * CLAIMED_SUCCESS[0]), CLAIMED_LOSS[1] - CLAIMED_LOSS[0],
        100 * (CLAIMED_SUCCESS[1] - CLAIMED_SUCCESS[0]), facecolor="#f0d9a8", edgecolor=GRAY,
        label="earlier claim", zorder=0))
    for i, task in enumerate(dict.fromkeys(p["task"] for p in points)):
        mine = [p for p in points if p["task"] == task]
        steps = [p["step"] for p in mine]
        losses = [p["loss"]["noise"] for p in mine]
        rates = [100 * p["success"]["rate"] for p in mine]
        reach = [[100 * (p["success"]["rate"] - p["success"]["wilson_low"]) for p in mine],
                 [100 * (p["success"]["wilson_high"] - p["success"]["rate"]) for p in mine]]
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)],
                 "markersize": 5}
        # Slightly shifted, so that intervals of equal rates do not overlap.
        both.errorbar(losses, rates, reach, label=task, linestyle="none", elinewidth=1, **style)
        shifted = [s * (1 + 0.008 * i) for s in steps]
        success.errorbar(shifted, rates, reach, linewidth=1.2, elinewidth=1, **style)
        loss.plot(steps, losses, linewidth=1.2, **style)
    for axes in (both, success):
        axes.set_ylim(-3, 103)
    log_axis(both.xaxis)
    log_axis(loss.yaxis)
    label_axes(both, "Success against loss", "noise-prediction loss, held out", "success, %")
    label_axes(success, "Success during training", "step", "success, %")
    label_axes(loss, "Loss during training", "step", "noise-prediction loss, held out")
    loss.axhline(1.0, color=GRAY, linestyle=":", linewidth=1)
    figure.legend(*both.get_legend_handles_labels(), loc="outside upper center", ncols=6,
                  frameon=False)
    save(figure, path)
