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

"""What a scripted expert is: it knows where everything is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

GAIN = 25.0  # of MetaWorld's experts, displacement in cm per m


class Expert(Protocol):
    """Acts on MetaWorld's own observation, (39,), alone: it remembers nothing."""

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action; it may write into the observation."""


def towards(target: np.ndarray, hand: np.ndarray, effort: float) -> np.ndarray:
    """Return the (4,) action of a hand that goes to a place, both (3,) in m."""
    return np.append(np.clip(GAIN * (target - hand), -1.0, 1.0), effort)
