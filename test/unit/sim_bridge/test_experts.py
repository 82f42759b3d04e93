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

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sim_bridge.arms import HORIZON
from sim_bridge.metaworld.closed_fingers import ON_TOP_STEPS, close_on_top
from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.metaworld.experts import make_expert
from sim_bridge.metaworld.grasping_experts import GRASPS, MovesWithTheStick
from training.data.collect import Driver, demonstrate
from training.jobs.episodes import PolicySource

MT50 = Path(__file__).parents[3] / "checkpoints/metaworld-mt50"


def ends(env: MetaWorldEnv, corrects: bool) -> bool:
    expert = make_expert(env.task, "standard", corrects)
    return any(env.control(np.clip(expert.get_action(env.privileged_observation), -1.0, 1.0))[1]
               for _ in range(HORIZON - ON_TOP_STEPS))


@pytest.mark.parametrize("task", GRASPS)
def test_fingers_that_closed_too_early_open_again(task):
    with closing(MetaWorldEnv(task)) as env:
        env.reset_unseen(3)
        close_on_top(env, GRASPS[task].offset)
        assert ends(env, corrects=True)


@pytest.mark.parametrize(("task", "seed"), [("soccer-v3", 0), ("box-close-v3", 7)])
def test_an_undisturbed_episode_that_metaworlds_expert_fails_at(task, seed):
    with closing(MetaWorldEnv(task)) as env:
        env.reset_unseen(seed)
        assert ends(env, corrects=True)


def test_a_stick_beside_the_handle_goes_back_before_it_goes_in():
    observation = np.zeros(39)
    observation[11:14] = 0.2, 0.6, 0.13  # the handle
    observation[:3] = observation[4:7] = 0.25, 0.5, 0.13  # the hand and the stick, beside it
    observation[-3:] = 0.4, 0.5, 0.0
    x, y, *_ = MovesWithTheStick().get_action(observation)
    assert x < 0.0 and y == 0.0
    observation[0] = observation[4] = 0.05  # before it
    x, y, *_ = MovesWithTheStick().get_action(observation)
    assert x == 0.0 and y > 0.0


def test_corrections_are_by_an_expert_that_lets_go_first():
    """Over the hammer MetaWorld's expert neither opens nor closes the fingers."""
    with closing(MetaWorldEnv("hammer-v3")) as env:
        alone = demonstrate(env, 1_000_000_000, noise=0.0)
        corrected = demonstrate(env, 1_000_000_000, noise=0.0,
                                driver=Driver(PolicySource(MT50), most_steps=4))
    assert alone.arrays["action"][0, 3] == 0.0
    assert corrected.arrays["action"][0, 3] == -1.0


def test_demonstrations_are_by_the_experts_of_metaworld():
    from metaworld.policies import ENV_POLICY_MAP
    for task, expert in ENV_POLICY_MAP.items():
        assert type(make_expert(task, "standard")) is expert
