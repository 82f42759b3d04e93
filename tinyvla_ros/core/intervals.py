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

"""Success rates, their confidence intervals, and a test of two."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    p, n = successes / trials, trials
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def success_rate(outcomes: Sequence[bool]) -> dict:
    """Return counts, rate and 95 % Wilson interval of at least one outcome."""
    successes, total = sum(outcomes), len(outcomes)
    low, high = wilson_interval(successes, total)
    return {"successes": successes, "episodes": total, "rate": successes / total,
            "wilson_low": low, "wilson_high": high}


def rate_text(outcomes: Sequence[bool]) -> str:
    """Return "90 % (60-98)", a rate and its interval, or "-" without outcomes."""
    return _percent(success_rate(outcomes)) if outcomes else "-"


def count_text(rate: dict) -> str:
    """Return "9/10 = 90 % (60-98)" for what ``success_rate`` returns."""
    return f"{rate['successes']}/{rate['episodes']} = {_percent(rate)}"


def _percent(rate: dict) -> str:
    return interval_text(rate["rate"], rate["wilson_low"], rate["wilson_high"])


def interval_text(rate: float, low: float, high: float, digits: int = 0) -> str:
    """Return "90 % (60-98)" for fractions."""
    return f"{100 * rate:.{digits}f} % ({100 * low:.{digits}f}-{100 * high:.{digits}f})"


def mean_interval(counts: Sequence[tuple[float, int, int]]) -> tuple[float, float, float]:
    """Return a weighted mean of proportions with its 95 % interval.

    By the variance estimates that Wilson's intervals imply (MOVER, Zou & Donner 2008), which do
    not vanish where every trial succeeds.

    Args:
        counts: weight, successes and trials of each; weights add up to 1.
    """
    mean = sum(weight * successes / trials for weight, successes, trials in counts)
    below = above = 0.0
    for weight, successes, trials in counts:
        low, high = wilson_interval(successes, trials)
        below += (weight * (successes / trials - low)) ** 2
        above += (weight * (high - successes / trials)) ** 2
    return mean, max(0.0, mean - math.sqrt(below)), min(1.0, mean + math.sqrt(above))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test: a fair coin for every discordant pair."""
    pairs, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(pairs, k) for k in range(fewer + 1)) / 2**pairs
    return min(1.0, 2.0 * tail)
