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

"""Experts that correct a policy."""

import numpy as np
import pytest

from sim_bridge.arms import HORIZON
from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.metaworld.expert import towards
from sim_bridge.metaworld.experts import make_expert
from sim_bridge.metaworld.grasping_experts import GRASPS

ON_TOP = np.array([0.0, 0.0, 0.07])  # of an object, m: where closed fingers touch it


def close_on_top(env: MetaWorldEnv, task: str) -> None:
    """Bring the hand over the object, then let closed fingers down on it."""
    env.reset_unseen(3)
    for height in (2.0 * ON_TOP, ON_TOP):
        for _ in range(40):
            target = env.privileged_observation[4:7] + GRASPS[task].offset + height
            env.control(towards(target, env.privileged_observation[:3], 1.0))


def ends(env: MetaWorldEnv, expert) -> bool:
    return any(env.control(expert.get_action(env.privileged_observation))[1]
               for _ in range(HORIZON - 81))


@pytest.mark.parametrize("task", GRASPS)
def test_fingers_that_closed_too_early_open_again(task):
    env = MetaWorldEnv(task)
    close_on_top(env, task)
    assert ends(env, make_expert(task, "standard", corrects=True))
    env.close()


def test_demonstrations_are_from_the_experts_of_metaworld():
    from metaworld.policies import ENV_POLICY_MAP
    for task, expert in ENV_POLICY_MAP.items():
        assert type(make_expert(task, "standard")) is expert
