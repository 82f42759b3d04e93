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

"""Latency of each stage from an image to a command."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

KEPT = 1000
# The next chunk's latency is predicted from so many totals.
RECENT = 50
STAGES = ("transport", "wait", "inference", "hand-over", "total")


class StageLatencies:
    """The newest latencies of every stage, in seconds."""

    def __init__(self):
        self._times: dict[str, deque[float]] = {s: deque(maxlen=KEPT) for s in STAGES}

    def add(self, seconds: Sequence[float]) -> None:
        """Add those of one command, in the order of ``STAGES``; negative ones count as 0."""
        for times, value in zip(self._times.values(), seconds, strict=True):
            times.append(max(0.0, value))

    def expected(self) -> float | None:
        """Return the 90th percentile of recent totals; None before the first."""
        total = self._times["total"]
        return float(np.percentile(list(total)[-RECENT:], 90)) if total else None

    def summary(self) -> dict[str, float]:
        """Return p50 and p99 of every stage, ms."""
        values = {}
        for stage, times in self._times.items():
            if times:
                p50, p99 = np.percentile(list(times), [50, 99]) * 1e3
                values |= {f"{stage}_ms_p50": float(p50), f"{stage}_ms_p99": float(p99)}
        return values
