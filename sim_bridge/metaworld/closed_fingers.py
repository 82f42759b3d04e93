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

"""Where policies often stop: on an object with closed fingers. Experts are tried from there."""

from __future__ import annotations

from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.metaworld.expert import towards

ON_TOP_Z = 0.07  # above a grasp, m: where closed fingers touch the object
ON_TOP_STEPS = 80  # control steps of ``close_on_top``


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
