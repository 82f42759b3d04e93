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

"""LeRobot's normalization modes, all of which are linear maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tinyvla_ros.core.errors import InputError

EPS = 1e-8
# Mode -> the two statistics it uses.
STATISTICS = {"MEAN_STD": ("mean", "std"), "MIN_MAX": ("min", "max"),
              "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}


@dataclass(frozen=True)
class LinearMap:
    """``normalized = (value - origin) / spread - offset``, and back from [-1, 1] to [low, high].

    Both directions are kept: LeRobot adds a small number to the divisor, but only on the way in.
    The offset is separate so that rounding is LeRobot's: early steps of the sampler magnify a
    difference in the last bit a hundred times.

    Attributes:
        origin: (n,) float32.
        spread: (n,) float32, positive.
        offset: (n,) float32, 0 or 1.
        low: (n,) float32, the value of -1.
        high: (n,) float32, the value of 1; above ``low`` by at least a few steps of float32.
    """

    origin: torch.Tensor
    spread: torch.Tensor
    offset: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


def linear(mode: str, stats: Mapping[str, torch.Tensor], size: int, where: str, eps: float,
           old: bool) -> LinearMap:
    """Return the map of a feature.

    Args:
        mode: LeRobot's ``NormalizationMode``.
        stats: statistic -> ``size`` values.
        size: entries, or colors of an image.
        where: names the feature in messages.
        eps: the small number.
        old: LeRobot up to 0.3 adds it to every range, newer ones only to empty ones.

    Raises:
        InputError: the mode is unknown, or a statistic is missing or of another size.
    """
    zeros, ones = torch.zeros(size), torch.ones(size)
    if mode == "IDENTITY":
        return LinearMap(zeros, ones, zeros, -ones, ones)
    if mode not in STATISTICS:
        raise InputError(f"{where} is normalized by {mode!r}; only IDENTITY, "
                         f"{', '.join(STATISTICS)} can be imported.")
    first, second = (_values(stats, name, size, where) for name in STATISTICS[mode])
    if mode == "MEAN_STD":
        origin, spread, offset = first, second + eps, zeros
        low, high = first - second, first + second
    else:
        # A constant entry becomes -1, as in LeRobot. Other values of it stay small; in LeRobot
        # they become hundreds of millions.
        spread = (second - first + (eps if old else 0.0)) / 2
        spread = torch.where(second == first, ones, spread)
        origin, offset, low, high = first, ones, first, second
    if not (torch.isfinite(origin) & torch.isfinite(spread) & (spread > 0)).all():
        raise InputError(f"{where} has statistics {STATISTICS[mode][0]} and "
                         f"{STATISTICS[mode][1]} that are not finite or out of order; copy the "
                         "checkpoint again.")
    # A constant action still needs a range.
    steps = 4 * torch.from_numpy(np.spacing(torch.maximum(low.abs(), high.abs()).numpy()))
    return LinearMap(origin, spread, offset, low, torch.maximum(high, low + steps))


def _values(stats: Mapping[str, torch.Tensor], name: str, size: int,
            where: str) -> torch.Tensor:
    if name not in stats:
        raise InputError(f"{where} has no statistic {name!r}, only {', '.join(stats) or 'none'}; "
                         "copy the checkpoint again.")
    values = stats[name].float().flatten()
    if len(values) != size:
        raise InputError(f"{where} has {len(values)} values of {name!r} for {size} entries; copy "
                         "the checkpoint again.")
    return values
