# SPDX-License-Identifier: Apache-2.0
"""The figure of loss against success."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.patches import Rectangle

from training.experiments.figures import COLORS, GRAY, label_axes, log_axis, new_figure, save

# An earlier claim about this policy: a loss in this range means this success
# (docs/reading-the-loss.md).
CLAIMED_LOSS, CLAIMED_SUCCESS = (0.16, 0.43), (0.8, 0.9)
MARKERS = "os^vDP"


def plot_loss_success(path: Path, points: Sequence[dict]) -> None:
    """Draw success against noise loss, and both against the step.

    Args:
        path: PNG to write.
        points: what ``collect_points`` returns.
    """
    figure = new_figure(13, 4.8)
    both, success, loss = figure.subplots(1, 3)
    both.add_patch(Rectangle(
        (CLAIMED_LOSS[0], 100 * CLAIMED_SUCCESS[0]), CLAIMED_LOSS[1] - CLAIMED_LOSS[0],
        100 * (CLAIMED_SUCCESS[1] - CLAIMED_SUCCESS[0]), facecolor="#f0d9a8", edgecolor=GRAY,
        label="the old claim", zorder=0))
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
