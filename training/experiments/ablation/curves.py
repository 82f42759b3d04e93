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

"""Read the curves of a training run from its TensorBoard events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

LAST_SHARE = 0.1


@dataclass(frozen=True)
class Curve:
    """A metric over training; points that were not finite are left out.

    Attributes:
        steps: (n,) int64, rising.
        values: (n,) float64.
    """

    steps: np.ndarray
    values: np.ndarray

    def with_first(self, value: float) -> Curve:
        """Return the curve with the value of step 1, which the log does not have."""
        if len(self.steps) and self.steps[0] == 1:
            return self
        return Curve(np.concatenate([[1], self.steps]), np.concatenate([[value], self.values]))

    def maximum(self) -> float | None:
        """Return the largest value."""
        return float(self.values.max()) if len(self.values) else None

    def median(self) -> float | None:
        """Return the median."""
        return float(np.median(self.values)) if len(self.values) else None

    def final(self, steps: int) -> float | None:
        """Return the mean over the last tenth of a run of ``steps`` steps."""
        last = self.values[self.steps > (1.0 - LAST_SHARE) * steps]
        return float(last.mean()) if len(last) else None


def read_curves(run: Path, names: Sequence[str]) -> dict[str, Curve]:
    """Return metrics of a run; an empty curve for one that was never logged.

    Args:
        run: run directory.
        names: ``loss``, ``gradient_norm`` ...
    """
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={SCALARS: 0})
    events.Reload()
    known, curves = events.Tags()["scalars"], {}
    for name in names:
        tag = f"train/{name}"
        # After a resume, the newest event of a step counts.
        points = {e.step: e.value for e in (events.Scalars(tag) if tag in known else ())}
        steps = sorted(points)
        curves[name] = Curve(np.array(steps, np.int64),
                             np.array([points[s] for s in steps], np.float64))
    return curves
