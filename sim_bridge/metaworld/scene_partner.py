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

"""The other task of a MetaWorld scene: played before an episode, and judged beside it."""

from __future__ import annotations

from sim_bridge.opengl import choose_opengl

choose_opengl()

import mujoco  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import numpy as np  # noqa: E402
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # noqa: E402

from sim_bridge.metaworld.experts import make_expert  # noqa: E402
from sim_bridge.metaworld.pushes import Pushes  # noqa: E402
from sim_bridge.metaworld.shared_scenes import pair_of, partner  # noqa: E402
from tinyvla_ros.core.errors import InputError, unknown  # noqa: E402

PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION
MOST_STEPS = 400  # in which an expert has to succeed
SETTLING = 40  # control steps that it goes on at most, as a policy does that has not been stopped
# A new goal from hand, puck and the goal before: more than what counts as there (0.05 and 0.07).
LEAST_APART_M = 0.12
METAWORLD_APART_M = 0.15
DRAWS = 200  # of a new goal, before the farthest of them is taken


def inner_environment(task: str):
    """Return MetaWorld's own environment of a task, whose every reset draws from its seed.

    Raises:
        InputError: there is no such task.
    """
    if task not in ALL_V3_ENVIRONMENTS:
        raise InputError(unknown("task", task, ALL_V3_ENVIRONMENTS))
    env = ALL_V3_ENVIRONMENTS[task]()
    # Goals beyond MetaWorld's 50 per seed: every reset draws a fresh one from `seed`.
    env._freeze_rand_vec = False  # noqa: SLF001 (MetaWorld has no public name)
    env.seeded_rand_vec = True
    env._set_task_called = True  # noqa: SLF001
    # Experts need the goal in MetaWorld's own observation; it never leaves the simulation except
    # through `privileged_observation`.
    env._partially_observable = False  # noqa: SLF001
    env.__dict__.pop("sawyer_observation_space", None)
    return env


class ScenePartner:
    """The task that shares the scene of another one, in a MetaWorld environment of its own.

    Args:
        task: the other one.

    Raises:
        InputError: it shares its scene with none.
    """

    def __init__(self, task: str):
        self.task, self._pair = partner(task), pair_of(task)
        self._env = inner_environment(self.task)
        self._rng = np.random.default_rng(0)

    def begin(self, env, seed: int) -> None:
        """Take over where things are from the environment of the scene, just reset."""
        self._rng = np.random.default_rng([seed, 1])
        self._reset(_places(env))

    def succeeds(self, env) -> bool:
        """Whether the scene is now as this task wants it."""
        _copy(env, self._env)
        return succeeds(self._env)

    def play(self, env) -> np.ndarray | None:
        """Let the expert do this task, then some steps more, and leave the scene as it is then.

        A puck is brought to a goal of its own, drawn at random. The expert is pushed about, as in
        demonstrations; where it fails, it tries undisturbed.

        Returns:
            The observation of the environment of the scene, (39,) float64; None if the expert
            failed: the scene has not changed.
        """
        places = self._elsewhere(env) if self.has_marker else _places(env)
        settling = int(self._rng.integers(SETTLING + 1))
        for pushes in (Pushes(self._rng, self._rng.uniform(0.0, 1.0)), None):
            self._reset(places)
            if self._run(settling, pushes):
                break
        else:
            return None
        if self.has_marker:  # again the one that is seen
            self._env._target_pos = env._target_pos.copy()  # noqa: SLF001
        _copy(self._env, env)
        # Twice, because an observation also holds the positions of the one before.
        env._get_obs()  # noqa: SLF001
        return env._get_obs()  # noqa: SLF001

    @property
    def has_marker(self) -> bool:
        """Whether the scene has a marker that things are brought to."""
        return self._pair.joint is None

    def move_goal(self, env) -> np.ndarray:
        """Move the marker of the scene to a new place; return that, (3,), m."""
        goal = self._elsewhere(env)[3:]
        for one in (env, self._env):
            one._target_pos = goal.copy()  # noqa: SLF001
        env.model.site("goal").pos = goal
        mujoco.mj_forward(env.model, env.data)
        return goal

    def _reset(self, places: np.ndarray) -> None:
        self._env._freeze_rand_vec = True  # noqa: SLF001
        self._env._last_rand_vec = places  # noqa: SLF001
        # MetaWorld places bodies of the model anew at every reset, so nothing of before stays.
        mujoco.mj_resetData(self._env.model, self._env.data)
        self._env.reset()

    def _run(self, settling: int, pushes: Pushes | None) -> bool:
        expert = make_expert(self.task, "chained")
        observation, left = self._env._get_obs(), MOST_STEPS  # noqa: SLF001
        done = False
        while left > 0:
            # A copy: some experts write into what they are given.
            action = np.clip(expert.get_action(observation.copy()), -1.0, 1.0)
            if pushes is not None and not done:
                action[:3] += pushes.sample()
            observation, _, _, _, info = self._env.step(np.clip(action, -1.0, 1.0))
            left -= 1
            if not done and info["success"]:
                done, left = True, settling
        return done

    def _elsewhere(self, env) -> np.ndarray:
        """Return the places of the scene with a new goal, (6,), m."""
        space, puck = self._env._random_reset_space, _places(env)[:3]  # noqa: SLF001
        taken = np.array([env.get_endeff_pos(), env.data.body("obj").xpos,
                          env._target_pos])  # noqa: SLF001
        goals = self._rng.uniform(space.low[3:], space.high[3:], (DRAWS, 3))
        # MetaWorld draws anew until a goal is that far from the puck's first place.
        goals = goals[np.linalg.norm(goals[:, :2] - puck[:2], axis=1) >= METAWORLD_APART_M]
        apart = np.linalg.norm(goals[:, None] - taken, axis=-1).min(1)
        far = np.flatnonzero(apart >= LEAST_APART_M)
        return np.concatenate([puck, goals[far[0] if len(far) else np.argmax(apart)]])


def succeeds(env) -> bool:
    """Whether the task of a MetaWorld environment is done in the state that it is in."""
    observation = env._get_obs()  # noqa: SLF001
    return bool(env.evaluate_state(observation, np.zeros(4, np.float32))[1]["success"])


def _places(env) -> np.ndarray:
    """Return what the last reset of MetaWorld's environment has drawn, m."""
    return env._last_rand_vec.copy()  # noqa: SLF001


def _copy(source, target) -> None:
    """Give one MetaWorld environment the state of another whose model is the same."""
    state = np.empty(mujoco.mj_stateSize(source.model, PHYSICS))
    mujoco.mj_getState(source.model, source.data, state, PHYSICS)
    mujoco.mj_setState(target.model, target.data, state, PHYSICS)
    mujoco.mj_forward(target.model, target.data)
    target.curr_path_length = 0
