# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of success rates."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    p, n = successes / trials, trials
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def rate_text(outcomes: Sequence[bool]) -> str:
    """Return "90 % (60-98)", a rate and its interval, or "-" without outcomes."""
    if not outcomes:
        return "-"
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    return f"{100 * sum(outcomes) / len(outcomes):.0f} % ({100 * low:.0f}-{100 * high:.0f})"
