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

import re

import numpy as np
import pytest

from harness.simulator import metaworld_env
from sim_bridge.episodes import EpisodeSpec
from sim_bridge.metaworld.shared_scenes import PAIRS, SHARED_TASKS, partner
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint, share_directory
from tinyvla_ros.policy.config import PolicyConfig
from training.data.collect import Driver, demonstrate
from training.experiments.language_success import check_wordings, choose_instruction, read_wordings
from training.jobs.episodes import PolicySource
from training.learning.recipe import Recipe


@pytest.fixture(scope="module")
def shared():
    return SimulatedRobotConfig.load(scenes="shared")


@pytest.fixture
def made():
    """Makes environments, and frees their OpenGL after the test, not while another one begins."""
    environments = []

    def make(*arguments):
        environments.append(metaworld_env(*arguments))
        return environments[-1]

    yield make
    for env in environments:
        env.close()


def _first(made, task: str, config: SimulatedRobotConfig, seed: int):
    env = made(task, config)
    env.reset_unseen(seed)
    return env.observe(0, ""), env


@pytest.mark.simulator
@pytest.mark.parametrize("pair", [pair.tasks for pair in PAIRS],
                         ids=["puck", "drawer", "window", "door"])
def test_two_tasks_begin_with_the_same_image_and_different_instructions(pair, shared, made):
    (one, _), (other, _) = (_first(made, task, shared, 5) for task in pair)
    assert all(np.array_equal(one.images[name], other.images[name]) for name in one.images)
    assert one.state == pytest.approx(other.state)
    touched = [value for name, value in one.state.items() if name.startswith("wrist_")]
    assert touched and max(map(abs, touched)) < 1.0
    assert shared.instruction(pair[0]) != shared.instruction(pair[1])
    usual = SimulatedRobotConfig.load()
    (one, _), (other, _) = (_first(made, task, usual, 5) for task in pair)
    assert any(not np.array_equal(one.images[name], other.images[name]) for name in one.images)


@pytest.mark.simulator
@pytest.mark.parametrize("task", SHARED_TASKS)
def test_an_expert_can_show_it_and_doing_nothing_is_no_success(task, shared, made):
    env = made(task, shared)
    assert demonstrate(env, 7, noise=0.0) is not None
    env.reset_unseen(7)
    assert not any(env.control(np.zeros(4))[1] for _ in range(100))


@pytest.mark.simulator
def test_what_an_expert_knows_of_the_scene_is_the_scene(shared, made):
    _, opened = _first(made, "drawer-open-v3", shared, 5)
    before = opened.privileged_observation.copy()
    opened.control(np.zeros(4))
    # The handle has not moved: its position was already that of the half-open drawer.
    assert np.allclose(before[4:7], opened.privileged_observation[4:7], atol=2e-3)


@pytest.fixture(scope="module")
def chained():
    return SimulatedRobotConfig.load(scenes="chained")


@pytest.mark.simulator
@pytest.mark.parametrize("task", SHARED_TASKS)
def test_a_task_of_an_odd_seed_begins_where_its_partner_has_ended(task, chained, made):
    env = made(task, chained)
    env.reset_unseen(4)
    assert not env.successes()[task]
    env.reset_unseen(5)
    # The mark of a puck is elsewhere now.
    assert env.successes() == {task: False, partner(task): not env.has_moving_goal}
    first, known = env.data.qpos.copy(), env.privileged_observation
    for before in (4, 9):
        env.reset_unseen(before)
        env.reset_unseen(5)
        assert np.array_equal(env.data.qpos, first)
        assert np.array_equal(env.privileged_observation, known)
    assert demonstrate(env, 5, noise=0.0) is not None
    assert env.successes()[task]


@pytest.mark.simulator
@pytest.mark.parametrize("task", SHARED_TASKS)
def test_what_an_expert_has_done_stays_done(task, chained, made):
    from sim_bridge.metaworld.experts import make_expert

    env, expert = made(task, chained), make_expert(task, "chained")
    env.reset_unseen(5)

    def success() -> bool:
        return env.control(expert.get_action(env.privileged_observation))[1]

    # MetaWorld's own are caught at handles where their partner has ended.
    assert any(success() for _ in range(160))
    assert all(success() for _ in range(100))
    if env.has_moving_goal:
        hand, puck, mark = np.split(env.privileged_observation[[0, 1, 2, 4, 5, 6, -3, -2, -1]], 3)
        fingers = hand - [0.0, 0.0, 0.045]
        what = puck if task == "pick-place-v3" else fingers
        assert np.linalg.norm(what - mark) < 0.02, "MetaWorld's own expert stays 45 mm away"


@pytest.mark.slow
@pytest.mark.simulator
def test_a_correction_begins_where_the_policy_itself_has_ended(chained, made):
    checkpoint = default_checkpoint().parent / "metaworld-scenes"
    driver = Driver(PolicySource(checkpoint), 4)
    env = made("door-close-v3", chained.with_cameras(PolicyConfig.load(checkpoint).cameras))

    def begins(seed: int, driver: Driver | None):
        return demonstrate(env, seed, noise=0.0, driver=driver).arrays["observation.state"][0]

    assert np.array_equal(begins(4, driver), begins(4, None))
    assert not np.allclose(begins(5, driver), begins(5, None), atol=0.01)
    assert env.successes()["door-close-v3"]


@pytest.mark.simulator
def test_both_tasks_of_a_puck_have_the_mark_that_is_seen(chained, made):
    from sim_bridge.metaworld.experts import make_expert

    env = made("pick-place-v3", chained)
    env.stand(3)
    for task in ("pick-place-v3", "reach-v3", "reach-v3"):
        expert = make_expert(task, "chained")
        assert not env.successes()[task]
        for _ in range(200):
            env.control(expert.get_action(env.privileged_observation))
            if env.successes()[task]:
                break
        assert env.successes()[task], task
        env.move_goal()


@pytest.mark.simulator
def test_a_goal_moves_and_things_stay(chained, made):
    env = made("reach-v3", chained)
    env.stand(3)
    before, goal = env.state(), env.privileged_observation[-3:]
    env.move_goal()
    assert np.linalg.norm(env.privileged_observation[-3:] - goal) > 0.01
    env.control(np.zeros(4))
    assert np.allclose(list(before.values()), list(env.state().values()), atol=0.05)


@pytest.mark.simulator
def test_a_robot_that_stands_there_begins_as_the_task_does(chained, made):
    env = made("drawer-close-v3", chained)
    env.stand(5)
    assert not env.successes()["drawer-close-v3"]
    assert np.abs(env.ee_position()[:2] - (0.0, 0.6)).max() < 0.02


@pytest.mark.simulator
def test_other_tasks_have_no_shared_scene(shared, made):
    with pytest.raises(InputError, match=r"'push-v3'.*'reach-v3'"):
        shared.instruction("push-v3")
    with pytest.raises(InputError, match="'push-v3'"):
        made("push-v3", shared)


@pytest.mark.parametrize(("option", "found"), [
    ("", "shared"), ("standard", "standard"), ("chained", "chained")])
def test_a_file_says_which_scenes_there_are_unless_an_option_does(option, found, tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text((share_directory() / "config" / "metaworld.yaml").read_text()
                    + "\nscenes: shared\n")
    assert SimulatedRobotConfig.for_tasks(["reach-v3"], path, option).scenes == found


@pytest.mark.parametrize(("command", "words"), [
    (["sim-eval", "--tasks", "reach-v3", "--scenes", "shared"], "'reach the target'"),
    (["sim-eval", "--protocol", "ours", "--scenes", "chained"], "chained.*ours"),
    (["evaluate", "--protocol", "ours", "--scenes", "shared"], "shared.*ours"),
    (["evaluate", "--tasks", "so101-push", "--scenes", "shared"], "so101"),
    (["collect", "--protocol", "ours", "--scenes", "shared", "--out", "x"], "shared.*ours")])
def test_what_does_not_go_with_scenes_is_one_sentence(command, words, capsys):
    assert main(command) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(words, error) and error.count("\n") == 0, error


def test_another_task_is_the_one_with_the_same_image(shared):
    instructions = {task: shared.instruction(task) for task in SHARED_TASKS}
    for task in SHARED_TASKS:
        chosen = choose_instruction("other", EpisodeSpec(0, task, 50003), instructions, {},
                                    "shared")
        assert chosen == instructions[partner(task)]


@pytest.mark.parametrize("wordings", ["unseen", "far"])
@pytest.mark.parametrize(("name", "tasks"), [("words.yaml", 4), ("scenes.yaml", 8)])
def test_the_shipped_unseen_wordings_were_never_trained_on(name, tasks, wordings, shared):
    config = share_directory() / "config"
    recipe = Recipe.load(config / "train" / name)
    wordings = read_wordings(config / f"shared_{wordings}_wordings.yaml")
    assert tuple(wordings) == SHARED_TASKS
    known = [task for task in wordings if shared.instruction(task) in recipe.paraphrases]
    assert len(known) == tasks
    check_wordings(wordings, known, recipe.policy_config(tuple(recipe.paraphrases)), unseen=True)
