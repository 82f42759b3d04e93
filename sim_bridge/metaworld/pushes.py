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

"""What disturbs a scripted expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim_bridge.metaworld.expert import towards

if TYPE_CHECKING:
    from sim_bridge.metaworld.environment import MetaWorldEnv

ON_TOP_Z = 0.07  # above a grasp, m: where closed fingers touch the object
ON_TOP_STEPS = 80  # of ``close_on_top``


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


def close_on_top(env: MetaWorldEnv, offset: tuple[float, float, float]) -> None:
    """Bring the hand over the object, then let closed fingers down on it.

    Args:
        env: in an episode.
        offset: from the object to where the hand grasps it, (x, y, z) in m.
    """
    for height in (2.0 * ON_TOP_Z, ON_TOP_Z):
        for _ in range(ON_TOP_STEPS // 2):
            found = env.privileged_observation
            env.control(towards(found[4:7] + offset + [0.0, 0.0, height], found[:3], 1.0))
