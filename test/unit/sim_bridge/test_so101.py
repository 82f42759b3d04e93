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

"""The simulated SO-101: seeded scenes, joint commands, tasks that an operator can show."""

from __future__ import annotations

import numpy as np
import pytest

from sim_bridge.arms import SO101, arm_of
from sim_bridge.commands import control_actions
from sim_bridge.episodes import plan_episodes
from sim_bridge.make_environment import make_environment
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_states import fixed_states
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import robot_file, share_directory
from tinyvla_ros.core.types import ActionChunk

pytestmark = pytest.mark.simulator
PICK, PUSH = "so101-pick-place", "so101-push"
HORIZON_S = 10.0


def so101_env(task, **changes):
    """Return an environment with small images."""
    from sim_bridge.so101.environment import SO101Env
    config = SimulatedRobotConfig.of(["so101-push"])
    small = {n: p.model_copy(update={"width": 64, "height": 64})
             for n, p in config.cameras.items()}
    return SO101Env(task, config.model_copy(update={"cameras": small}), **changes)


@pytest.fixture(scope="module")
def envs():
    made = {task: so101_env(task) for task in (PICK, PUSH)}
    yield made
    for env in made.values():
        env.close()


@pytest.fixture(scope="module")
def operator():
    from sim_bridge.so101.operator import ScriptedOperator
    return ScriptedOperator(SO101.control_dt)


def run(env, seed, steps=10):
    env.reset_unseen(seed)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        env.control(env.hold_action() + rng.uniform(-0.03, 0.03, 6))
    return env.observe(1, "")


def joints_of(env):
    """Return the (6,) joints, rad."""
    state = env.state()
    return np.array([state[n] for n in SO101.joints])


def show(env, operator, seed, spoil=None):
    """Let the scripted operator show the task from here; return whether it succeeded."""
    objects, done = env.objects(), False
    for action in operator.demonstrate(env.task, objects["cube"], objects["mark"],
                                       joints_of(env), np.random.default_rng(seed)):
        _, done = env.control(action if spoil is None else spoil(action))
        if done:
            break
    return done


def demonstrate(env, operator, seed, spoil=None):
    """Let the scripted operator show the task; return whether it succeeded."""
    env.reset_unseen(seed)
    return show(env, operator, seed, spoil)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_gymnasium_accepts_it():
    from gymnasium.utils.env_checker import check_env
    env = so101_env(PICK, render_mode="rgb_array")
    check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("task", [PICK, PUSH])
def test_a_seed_fixes_the_scene_whatever_came_before(envs, task):
    env = envs[task]
    first = run(env, 5)
    run(env, 6, steps=30)
    again = run(env, 5)
    assert again.state == first.state
    assert all(np.array_equal(again.images[n], first.images[n]) for n in first.images)


def test_scenes_differ_in_places_and_colors(envs):
    env, places, colors = envs[PICK], set(), set()
    for seed in range(40):
        env.reset_unseen(seed)
        objects = env.objects()
        cube, mark = objects["cube"][0], objects["mark"][0]
        assert np.linalg.norm(cube[:2] - mark[:2]) > 0.08  # there is something to do
        assert not env.has_succeeded()
        places.add(tuple(cube[:2].round(4)))
        colors.add((tuple(env.model.geom("cube").rgba), tuple(env.model.geom("mark").rgba)))
    assert len(places) == 40
    assert len(colors) > 15 and all(cube != mark for cube, mark in colors)


@pytest.mark.slow
@pytest.mark.parametrize("task", [PICK, PUSH])
def test_an_operator_can_show_it(envs, operator, task):
    shown = [demonstrate(envs[task], operator, seed) for seed in range(50_000, 50_005)]
    assert sum(shown) >= 4


@pytest.mark.slow
def test_an_operator_can_put_the_cube_beside_the_mark_and_show_it_from_there(envs, operator):
    env, beside, shown = envs[PICK], [], []
    for seed in range(50_000, 50_005):
        env.reset_unseen(seed)
        objects = env.objects()
        for action in operator.misplace(objects["cube"], objects["mark"][0][:2], joints_of(env),
                                        np.random.default_rng(seed), lambda: joints_of(env)):
            env.control(action)
        beside.append(np.linalg.norm((env.objects()["cube"][0] - objects["mark"][0])[:2]))
        assert not env.has_succeeded()
        shown.append(show(env, operator, seed))
    assert np.median(beside) < 0.07
    assert sum(shown) >= 4


def test_a_cube_that_is_pushed_onto_the_mark_was_not_picked(envs, operator):
    """The picture is the same in the end, and the task is another."""
    push, pick = envs[PUSH], envs[PICK]
    assert demonstrate(push, operator, 50_000)
    pick.reset_unseen(50_000)
    objects, state = pick.objects(), pick.state()
    joints = np.array([state[n] for n in SO101.joints])
    for action in operator.demonstrate(PUSH, objects["cube"], objects["mark"], joints,
                                       np.random.default_rng(50_000)):
        assert not pick.control(action)[1]


def test_a_cube_in_the_closed_gripper_is_not_there_yet(envs, operator):
    env, heights = envs[PICK], []

    def never_open(action):
        heights.append(env.objects()["cube"][0][2])
        return np.append(action[:5], 0.02) if max(heights) > 0.03 else action

    assert demonstrate(env, operator, 50_001)
    assert not demonstrate(env, operator, 50_001, never_open)


def test_joints_follow_and_stay_in_their_range(envs):
    env = envs[PICK]
    env.reset_unseen(0)
    target = env.hold_action() + np.array([0.4, 0, 0, 0, 0.3, 0.2])
    for step in range(100):
        env.control(env.hold_action() + (target - env.hold_action()) / max(1, 50 - step))
    state = env.state()
    assert state["shoulder_pan"] == pytest.approx(target[0], abs=0.06)
    for _ in range(60):
        env.control(np.full(6, 9.0))
    state = env.state()
    for name, low, high in zip(SO101.joints, SO101.low, SO101.high, strict=True):
        assert low - 0.05 < state[name] < high + 0.05


def test_what_is_felt_in_process_has_the_names_of_the_contract(envs):
    robot = RobotContract.load(robot_file("so101")).model_dump(exclude_unset=True)
    felt = RobotContract(**robot, wrenches={"wrist": {"topic": "wrench"}})
    seen = envs[PICK].observe(0, "").state
    assert set(fixed_states("wrench/wrist", felt.wrenches["wrist"])) <= set(seen)


def test_the_wrench_is_what_the_table_does_to_the_gripper(envs):
    env = envs[PICK]
    env.reset_unseen(0)
    assert np.abs(env.wrench()).max() < 1e-6  # in the air
    down = env.hold_action() + np.array([0, 0.9, 0.0, 0, 0, -0.4])
    for step in range(150):
        env.control(env.hold_action() + (down - env.hold_action()) / max(1, 100 - step))
    force = env.wrench()[:3]
    world = env.data.site_xmat[env._tool].reshape(3, 3) @ force  # noqa: SLF001
    assert world[2] > 0.5  # pushed up
    assert world[2] > 2 * abs(world[1])


def test_rows_of_a_chunk_are_reached_at_their_times():
    rows = np.arange(4)[:, None] + np.ones((1, 6))
    chunk = ActionChunk(0, SO101.channels, rows.astype(np.float32), 0.04)
    actions = control_actions(SO101, chunk, 3, np.zeros(6))
    assert actions[:, 0] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])


def test_an_arm_has_contracts_that_name_its_joints():
    for mode in ("lockstep", "realtime"):
        contract = RobotContract.load(robot_file(SO101.contract(mode)))
        assert list(contract.actions) == list(SO101.channels)
        assert set(contract.cameras) == set(SimulatedRobotConfig.of([PICK]).cameras)
        for name, low, high in zip(SO101.channels, SO101.low, SO101.high, strict=True):
            assert low <= contract.actions[name].low < contract.actions[name].high <= high


def test_the_surroundings_of_a_file_are_those_of_the_scene(tmp_path):
    other = tmp_path / "so101.yaml"
    text = (share_directory() / "config/so101.yaml").read_text()
    other.write_text(text + "surroundings: {table_color: [0.1, 0.5, 0.2], cube_mass: 0.06}\n")
    changed, usual = (make_environment(PICK, SimulatedRobotConfig.for_tasks([PICK], path))
                      for path in (other, ""))
    try:
        images = [env.reset(seed=3)[0]["front"] for env in (changed, usual)]
        assert np.abs(images[0].astype(int) - images[1]).max() > 50
        assert changed.model.body("cube").mass == pytest.approx(0.06)
        assert changed.model.body("cube").subtreemass == pytest.approx(0.06)
        for name in ("cube", "mark"):
            assert np.array_equal(changed.objects()[name][0][:2], usual.objects()[name][0][:2])
    finally:
        changed.close()
        usual.close()


@pytest.mark.parametrize(("words", "extra"), [
    ("table_color", "surroundings: {table_color: [1.5, 0, 0]}"),
    ("cube_mass", "surroundings: {cube_mass: 0}"),
    ("describes the arm metaworld", None)])
def test_a_file_that_does_not_fit_is_refused(tmp_path, words, extra):
    file = tmp_path / "robot.yaml"
    name = "metaworld" if extra is None else "so101"
    file.write_text((share_directory() / f"config/{name}.yaml").read_text() + f"{extra or ''}\n")
    with pytest.raises(InputError, match=words):
        SimulatedRobotConfig.for_tasks([PICK], file)


def test_metaworld_has_no_surroundings(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text((share_directory() / "config/metaworld.yaml").read_text()
                    + "surroundings: {cube_mass: 0.1}\n")
    with pytest.raises(InputError, match="surroundings are of the SO-101"):
        SimulatedRobotConfig.load(file)


def test_tasks_of_two_arms_are_not_mixed():
    assert arm_of([PICK, PUSH]) is SO101
    with pytest.raises(InputError, match=r"reach-v3.*one arm"):
        plan_episodes([PICK, "reach-v3"], 1, 0)
    assert plan_episodes([PICK], 2, 0)[1].start_ns - plan_episodes([PICK], 2, 0)[0].start_ns \
        > HORIZON_S * 1e9


def test_unknown_task_is_suggested():
    with pytest.raises(InputError, match="Did you mean 'so101-push'"):
        so101_env("so101-puss")
