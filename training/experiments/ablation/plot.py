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

"""The figure of an ablation: losses, gradient norms, output scale, success."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D

from training.experiments.ablation.cells import BAD, FIXES, GOOD
from training.experiments.ablation.curves import Curve
from training.experiments.figures import COLORS, DARK, GRAY, label_axes, new_figure, save

POINTS = 24
# Not the colors of the fixes.
TASKS = ((DARK, "o"), (GRAY, "s"), ("#56B4E9", "^"), ("#B8860B", "v"))


def plot_ablation(path: Path, runs: dict, cells: dict, tasks: Sequence[str]) -> None:
    """Draw the four panels.

    Args:
        path: PNG to write.
        runs: per cell the ``RunResult`` of every seed.
        cells: per cell what ``summarize_cell`` returns.
        tasks: evaluated tasks, may be none.
    """
    figure = new_figure(13, 10.5)
    (losses, norms), (outputs, success) = figure.subplots(2, 2, height_ratios=(1.15, 1))
    for cell, mine in runs.items():
        _curves(losses, cell, [(r.loss, r.batch_size) for r in mine])
        _curves(norms, cell, [(r.gradient_norm, r.batch_size) for r in mine])
    label_axes(losses, "Loss of a batch", "observations seen", "squared error")
    label_axes(norms, "Gradient norm before clipping", "observations seen")
    for axes in (losses, norms):
        axes.set_xscale("log")
        axes.set_yscale("log")
    _outputs(outputs, cells)
    _success(success, cells, tasks)
    handles = [Line2D([], [], label=cell, **_style(cell)) for cell in cells]
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False)
    save(figure, path)


def _style(cell: str) -> dict:
    """Black for all and none of the fixes, a color per fix; dashed where one is left out."""
    if cell == BAD:
        return {"color": DARK, "linewidth": 2.4}
    if cell == GOOD:
        return {"color": DARK, "linewidth": 2.4, "linestyle": (0, (4, 1.5))}
    for fix, color in zip(FIXES, COLORS, strict=False):
        if cell == f"{BAD}+{fix}":
            return {"color": color, "linewidth": 1.6}
        if cell == f"{GOOD}-{fix}":
            return {"color": color, "linewidth": 1.6, "linestyle": (0, (4, 1.5))}
    return {"color": GRAY, "linewidth": 2.0, "linestyle": ":"}


def _curves(axes, cell: str, curves: Sequence[tuple[Curve, int]]) -> None:
    """Draw the median over seeds and neighboring points, which single batches scatter around."""
    seen = [c.steps * size for c, size in curves if len(c.steps)]
    if not seen:
        return
    x = np.concatenate(seen)
    y = np.concatenate([c.values for c, _ in curves])
    edges = np.geomspace(x.min(), x.max() + 1, POINTS + 1)
    bins = np.digitize(x, edges)
    used = np.unique(bins)
    axes.plot([np.exp(np.log(x[bins == b]).mean()) for b in used],
              [np.median(y[bins == b]) for b in used], **_style(cell))


def _rows(axes, cells: dict) -> np.ndarray:
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.5, -0.5)
    return np.arange(len(cells))


def _outputs(axes, cells: dict) -> None:
    """From the output before training to that after it; medians, and the range over seeds."""
    for row, cell in zip(_rows(axes, cells), cells.values(), strict=True):
        ends = [cell["figures"].get(f"output_std_{when}", {}) for when in ("before", "after")]
        values = [e.get("median") for e in ends]
        if None not in values:
            axes.plot(values, [row, row], color=GRAY, linewidth=1.2, zorder=1)
        for end, face in zip(ends, ("white", DARK), strict=True):
            if end.get("median") is not None:
                axes.plot([end["low"], end["high"]], [row, row], color=DARK, linewidth=3,
                          solid_capstyle="butt", zorder=2)
                axes.plot(end["median"], row, "o", markersize=7, markerfacecolor=face,
                          markeredgecolor=DARK, zorder=3)
    axes.axvline(1.0, color=COLORS[0], linewidth=1.0, linestyle=":")
    axes.set_xscale("log")
    label_axes(axes, "Output of the denoiser: before (open) and after training (filled)",
         "standard deviation; dotted: that of the noise")


def _success(axes, cells: dict, tasks: Sequence[str]) -> None:
    """Success per task with its interval; tasks of a cell below each other."""
    rows = _rows(axes, cells)
    styles = list(zip(tasks, itertools.cycle(TASKS), strict=False))
    for i, (task, (color, marker)) in enumerate(styles):
        offset = (i - (len(tasks) - 1) / 2) * 0.7 / len(tasks)
        for row, cell in zip(rows, cells.values(), strict=True):
            s = cell["success"].get(task)
            if s:
                axes.plot([100 * s["wilson_low"], 100 * s["wilson_high"]], [row + offset] * 2,
                          color=color, linewidth=1.5, alpha=0.6)
                axes.plot(100 * s["rate"], row + offset, marker, markersize=5, color=color)
    axes.set_xlim(-2, 102)
    label_axes(axes, "Success, pooled over seeds, with 95 % intervals" if tasks else
         "Success: not evaluated", "%")
    if styles:
        axes.legend(handles=[Line2D([], [], color=color, marker=marker, label=task)
                             for task, (color, marker) in styles],
                    loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=4, frameon=False)
