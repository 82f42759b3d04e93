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

"""What the numbers of a state or an action channel are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.checks.values import DISCRETE_VALUES, float32_loss


@dataclass(frozen=True)
class Values:
    """The numbers of a state or an action channel in all datasets.

    Attributes:
        low: smallest finite value, NaN without any; high likewise.
        usual: (2,) the quantiles 0.01 and 0.99.
        distinct: whether there are no more than eight different ones.
        problem: why training cannot read them, empty if it can.
    """

    low: float
    high: float
    usual: tuple[float, float]
    distinct: bool
    problem: str = ""

    @property
    def is_constant(self) -> bool:
        """Whether it never changes."""
        return self.low == self.high


def describe_values(parts: Sequence[np.ndarray]) -> Values:
    """Describe the values of a channel in all datasets, arrays of any shape."""
    values = np.concatenate([p.reshape(-1) for p in parts])
    exact = values.astype(np.float64)
    good = exact[np.isfinite(exact)]
    if not len(good):
        return Values(np.nan, np.nan, (np.nan, np.nan), False, "is never finite")
    problem = ""
    if len(good) < len(exact):
        problem = f"is not finite in {len(exact) - len(good)} of {len(exact)} values"
    elif float32_loss(values).any():
        problem = "loses digits in float32, which training reads"
    low, high = np.quantile(good, (0.01, 0.99))
    return Values(float(good.min()), float(good.max()), (float(low), float(high)),
                  len(np.unique(good)) <= DISCRETE_VALUES, problem)


def span(values: Values) -> str:
    """Return what a channel covers, in words."""
    return f"{values.low:.4g} to {values.high:.4g}"
