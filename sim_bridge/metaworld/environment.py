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

from sim_bridge.arms import clipped  # noqa: E402
from sim_bridge.environment import ArmEnvironment  # noqa: E402
from sim_bridge.metaworld.scene_partner import (  # noqa: E402
    PHYSICS,
    ScenePartner,
    inner_environment,
    succeeds,
)
from sim_bridge.metaworld.shared_scenes import begin_alike, look_alike, place_alike  # noqa: E402
from sim_bridge.simulated_robot import SimulatedRobotConfig  # noqa: E402

# What MetaWorld itself keeps from step to step, beside MuJoCo's state.
KEPT_BY_METAWORLD = ("_prev_obs", "_last_stable_obs")


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
        self._env = inner_environment(task)
        config = config or SimulatedRobotConfig.load()
        self._partner: ScenePartner | None = None
        if config.scenes != "standard":
            look_alike(self._env, task)
        if config.scenes == "shared":
            place_alike(self._env, task)
        if config.scenes == "chained":
            self._partner = ScenePartner(task)
        super().__init__(task, config, self._env.model, self._env.data, render_mode)
        self._initial_body_pos = self.model.body_pos.copy()
        hand = self.model.body("hand").id
        self._hand = [b for b in range(self.model.nbody) if self._is_below(b, hand)]
        self._metaworld_observation: np.ndarray | None = None
        self._truncated = False
        self._effort = 0.0  # of the gripper, commanded last

    def begin(self, seed: int) -> None:
        """Start an episode without rendering.

        In chained scenes, one of an odd seed begins where the expert of the partner has ended, so
        that both beginnings are in every set of seeds. Where the expert fails, it begins as the
        others do.
        """
        self.stand(seed)
        if self._partner is None or seed % 2 == 0:
            return
        found = self._partner.play(self._env)
        if found is not None:
            self._metaworld_observation, self._effort = found, float(self.data.ctrl[0])

    def stand(self, seed: int) -> None:
        """Set up a scene as the task begins, whatever was before."""
        # Some tasks move bodies of the model at reset; undo that, so that an episode does not
        # depend on the ones before it.
        self.model.body_pos[:] = self._initial_body_pos
        mujoco.mj_resetData(self.model, self.data)
        self._env.seed(seed)
        self._metaworld_observation, _ = self._env.reset()
        self._truncated, self._effort = False, 0.0
        if self.config.scenes == "shared":
            self._metaworld_observation = begin_alike(self._env, self.task)
        if self._partner is not None:
            self._partner.begin(self._env, seed)
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

    def successes(self) -> dict[str, bool]:
        """Return whether each task of a chained scene is done now, by its name."""
        if self._partner is None:
            return {}
        inner = self._env
        return {self.task: succeeds(inner), self._partner.task: self._partner.succeeds(inner)}

    @property
    def scene_tasks(self) -> tuple[str, ...]:
        """The task and its partner in chained scenes."""
        return () if self._partner is None else (self.task, self._partner.task)

    @property
    def has_moving_goal(self) -> bool:
        """Whether it is a chained scene with a puck and a marker."""
        return self._partner is not None and self._partner.has_marker

    def move_goal(self) -> None:
        """Move the marker to a new place; ``go_back`` does not move it back."""
        if self.has_moving_goal:
            self._metaworld_observation[-3:] = self._partner.move_goal(self._env)

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
