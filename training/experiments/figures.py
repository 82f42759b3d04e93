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

"""What the figures of the studies share; drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tinyvla_ros.core.files import replace_file
from tinyvla_ros.core.intervals import wilson_interval

# The palette of Okabe and Ito, which color-blind readers can distinguish.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DARK, GRAY = "#222222", "#888888"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure; size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_axes(axes, title: str, x: str, y: str = "") -> None:
    """Set the title and labels of a panel, with a light grid."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def log_axis(axis) -> None:
    """Make an axis logarithmic, with plain numbers even where it spans less than a decade."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def success_percent(groups: Sequence[Sequence[bool]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the success of groups of episodes as bars take it.

    Returns:
        (n,) rates and (2, n) distances down and up to the 95 % interval, in percent; NaN for a
        group without episodes.
    """
    rates = np.array([np.mean(group) if group else np.nan for group in groups])
    low, high = np.array([wilson_interval(sum(group), len(group)) for group in groups]).T
    return 100 * rates, 100 * np.clip([rates - low, high - rates], 0.0, None)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that appears whole or not at all."""
    replace_file(path, lambda part: figure.savefig(part, format="png", dpi=130))
