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

"""Pushes that disturb a scripted expert."""

from __future__ import annotations

import numpy as np


class Pushes:
    """Random pushes of an expert: a constant offset for 4-16 steps, then 8-40 steps of rest."""

    def __init__(self, rng: np.random.Generator, amplitude: float):
        self._rng, self._amplitude = rng, amplitude
        self._offset, self._left, self._pushing = np.zeros(3), int(rng.integers(0, 24)), False

    def sample(self) -> np.ndarray:
        """Return what is added to the next displacement, (3,), in units of an action."""
        if self._left == 0:
            self._pushing = not self._pushing
            self._left = int(self._rng.integers(4, 17) if self._pushing
                             else self._rng.integers(8, 41))
            self._offset = (self._rng.uniform(-1, 1, 3) * 2 * self._amplitude
                            if self._pushing else np.zeros(3))
        self._left -= 1
        return self._offset
