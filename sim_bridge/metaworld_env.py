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

"""One MetaWorld task behind the Gymnasium interface, with fast cameras and real joint names.

MetaWorld's own environment draws its goal from 50 fixed ones and renders with shadows. This
adapter seeds the goal from ``reset(seed=)`` alone, keeps privileged positions out of the
observation, and renders each named camera with the settings that cost least (facts measured in
``benchmarks/render.py``).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from sim_bridge.opengl import choose_opengl

choose_opengl()

import mujoco  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import numpy as np  # noqa: E402
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # noqa: E402

from sim_bridge.arms import clipped  # noqa: E402
from sim_bridge.environment import ArmEnvironment  # noqa: E402
from sim_bridge.shared_scenes import begin_alike, look_alike  # noqa: E402
from sim_bridge.simulated_robot import SimulatedRobotConfig  # noqa: E402
from tinyvla_ros.core.errors import InputError, unknown  # noqa: E402

# What MetaWorld itself keeps from step to step, beside MuJoCo's state.
KEPT_BY_METAWORLD = ("_prev_obs", "_last_stable_obs")
PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass(frozen=True, eq=False)
class SimulationMoment:
    """All that an episode goes on from."""

    physics: np.ndarray
    observation: np.ndarray
    metaworld: dict[str, np.ndarray]


class MetaWorldEnv(ArmEnvironment):
    """A MetaWorld task as a Gymnasium environment.

    Actions: (4,) float32 in [-1, 1]: displacement of the end effector in units of 1 cm per
    control step (80 Hz), and gripper effort, 1 closes.
    """

    def __init__(self, task: str, config: SimulatedRobotConfig | None = None,
                 render_mode: str | None = None):
        if task not in ALL_V3_ENVIRONMENTS:
            raise InputError(unknown("task", task, ALL_V3_ENVIRONMENTS))
        config = config or SimulatedRobotConfig.load()
        self._env = ALL_V3_ENVIRONMENTS[task]()
        # Goals beyond MetaWorld's 50 per seed: every reset draws a fresh one from `seed`.
        self._env._freeze_rand_vec = False  # noqa: SLF001 (MetaWorld has no public name)
        self._env.seeded_rand_vec = True
        self._env._set_task_called = True  # noqa: SLF001
        # The expert needs the goal in MetaWorld's own observation; it never leaves this class
        # except through `privileged_observation`.
        self._env._partially_observable = False  # noqa: SLF001
        self._env.__dict__.pop("sawyer_observation_space", None)
        if config.scenes == "shared":
            look_alike(self._env, task)
        super().__init__(task, config, self._env.model, self._env.data, render_mode)
        self._initial_body_pos = self.model.body_pos.copy()
        hand = self.model.body("hand").id
        self._hand = [b for b in range(self.model.nbody) if self._is_below(b, hand)]
        self._metaworld_observation: np.ndarray | None = None
        self._truncated = False
        self._effort = 0.0  # of the gripper, commanded last

    def begin(self, seed: int) -> None:
        """Start an episode without rendering."""
        # Some tasks move bodies of the model at reset; undo that, so that an episode does not
        # depend on the ones before it.
        self.model.body_pos[:] = self._initial_body_pos
        mujoco.mj_resetData(self.model, self.data)
        self._env.seed(seed)
        self._metaworld_observation, _ = self._env.reset()
        self._truncated, self._effort = False, 0.0
        if self.config.scenes == "shared":
            self._metaworld_observation = begin_alike(self._env, self.task)
        # MetaWorld moves the goal marker after its last forward pass; without another one the
        # first image of an episode shows a goal that is not the episode's.
        mujoco.mj_forward(self.model, self.data)

    def control(self, action: np.ndarray) -> tuple[float, bool]:
        """Run one control step without rendering.

        Returns:
            MetaWorld's dense reward, and whether ``info['success']`` holds.
        """
        action = clipped(self.arm, action)
        self._effort = action[3]
        if self._truncated:  # a robot that stands there, without episodes, goes on
            self._env.curr_path_length = 0
        self._metaworld_observation, reward, _, truncated, info = self._env.step(action)
        self._truncated |= bool(truncated)
        return float(reward), bool(info["success"])

    @property
    def is_over(self) -> bool:
        """Whether MetaWorld's own horizon of 500 steps is reached."""
        return self._truncated

    def moment(self) -> SimulationMoment:
        """Return all that the episode goes on from, for ``go_back``."""
        inner = self._env
        physics = np.empty(mujoco.mj_stateSize(inner.model, PHYSICS))
        mujoco.mj_getState(inner.model, inner.data, physics, PHYSICS)
        return SimulationMoment(physics, self._metaworld_observation, {
            name: copy.deepcopy(getattr(inner, name)) for name in KEPT_BY_METAWORLD})

    def go_back(self, moment: SimulationMoment) -> None:
        """Go on from an earlier moment of this episode, with the whole horizon before it."""
        inner = self._env
        mujoco.mj_setState(inner.model, inner.data, moment.physics, PHYSICS)
        mujoco.mj_forward(inner.model, inner.data)
        # Once more, since solving for the positions changes what the next solution begins from.
        mujoco.mj_setState(inner.model, inner.data, moment.physics, PHYSICS)
        for name, value in moment.metaworld.items():
            setattr(inner, name, copy.deepcopy(value))
        self._metaworld_observation, inner.curr_path_length = moment.observation, 0

    def hold_action(self) -> np.ndarray:
        """Return no displacement, and the gripper's last effort."""
        return np.array([0.0, 0.0, 0.0, self._effort])

    def ee_position(self) -> np.ndarray:
        """Return the position of the end effector in meters, world frame."""
        return self._env.get_endeff_pos()

    def ee_quaternion(self) -> tuple[float, float, float, float]:
        """Return the orientation of the end effector as (x, y, z, w), world frame."""
        w, x, y, z = (float(v) for v in self.data.body("hand").xquat)
        return x, y, z, w

    def touching_bodies(self):
        """Return the hand with its fingers."""
        hand = self.data.body("hand")
        return self._hand, hand.xpos, hand.xmat.reshape(3, 3)

    @property
    def privileged_observation(self) -> np.ndarray:
        """MetaWorld's own 39 numbers, goal and object included: for scripted experts only.

        A copy: some of MetaWorld's experts write into what they are given.
        """
        return self._metaworld_observation.copy()
