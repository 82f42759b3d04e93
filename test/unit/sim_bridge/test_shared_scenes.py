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

"""Scenes in which only the instruction distinguishes two tasks."""

from __future__ import annotations

import numpy as np
import pytest

from harness.simulator import metaworld_env
from sim_bridge.episodes import EpisodeSpec
from sim_bridge.shared_scenes import DRAWERS, MARKED, SHARED_TASKS, partner
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.data.collect import demonstrate
from training.experiments.language_success import check_wordings, choose_instruction, read_wordings
from training.learning.recipe import Recipe


@pytest.fixture(scope="module")
def shared():
    return SimulatedRobotConfig.load(scenes="shared")


def _first(task: str, config: SimulatedRobotConfig, seed: int):
    env = metaworld_env(task, config)
    env.reset_unseen(seed)
    return env.observe(0, ""), env


@pytest.mark.simulator
@pytest.mark.parametrize("pair", [MARKED, DRAWERS], ids=["marked", "drawers"])
def test_two_tasks_begin_with_the_same_image_and_different_instructions(pair, shared):
    (one, _), (other, _) = (_first(task, shared, 5) for task in pair)
    assert all(np.array_equal(one.images[name], other.images[name]) for name in one.images)
    assert one.state == other.state
    assert shared.instruction(pair[0]) != shared.instruction(pair[1])
    usual = SimulatedRobotConfig.load()
    (one, _), (other, _) = (_first(task, usual, 5) for task in pair)
    assert any(not np.array_equal(one.images[name], other.images[name]) for name in one.images)


@pytest.mark.simulator
@pytest.mark.parametrize("task", SHARED_TASKS)
def test_an_expert_can_show_it_and_doing_nothing_is_no_success(task, shared):
    env = metaworld_env(task, shared)
    assert demonstrate(env, 7, noise=0.0) is not None
    env.reset_unseen(7)
    assert not any(env.control(np.zeros(4))[1] for _ in range(100))


@pytest.mark.simulator
def test_what_an_expert_knows_of_the_scene_is_the_scene(shared):
    _, opened = _first("drawer-open-v3", shared, 5)
    before = opened.privileged_observation.copy()
    opened.control(np.zeros(4))
    # The handle has not moved: its position was already that of the half-open drawer.
    assert np.allclose(before[4:7], opened.privileged_observation[4:7], atol=2e-3)


@pytest.mark.simulator
def test_other_tasks_have_no_shared_scene(shared):
    with pytest.raises(InputError, match=r"'push-v3'.*'reach-v3'"):
        shared.instruction("push-v3")
    with pytest.raises(InputError, match="'push-v3'"):
        metaworld_env("push-v3", shared)


def test_another_task_is_the_one_with_the_same_image(shared):
    instructions = {task: shared.instruction(task) for task in SHARED_TASKS}
    for task in SHARED_TASKS:
        chosen = choose_instruction("other", EpisodeSpec(0, task, 50003), instructions, {},
                                    "shared")
        assert chosen == instructions[partner(task)]


def test_the_shipped_unseen_wordings_were_never_trained_on(shared):
    config = share_directory() / "config"
    recipe = Recipe.load(config / "train" / "words.yaml")
    wordings = read_wordings(config / "shared_unseen_wordings.yaml")
    assert tuple(wordings) == SHARED_TASKS
    assert [shared.instruction(task) for task in wordings] == list(recipe.paraphrases)
    check_wordings(wordings, list(wordings), recipe.policy_config(tuple(recipe.paraphrases)),
                   unseen=True)
