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

import gymnasium  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import mujoco  # noqa: E402
import numpy as np  # noqa: E402
from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # noqa: E402

from sim_bridge.camera_renderer import (  # noqa: E402
    CameraRenderer,
    SceneRenderer,
    copy_scene,
    show_scene,
)
from sim_bridge.shared_scenes import begin_alike, look_alike  # noqa: E402
from sim_bridge.simulated_robot import (  # noqa: E402
    ACTION_CHANNELS,
    EE_NAMES,
    JOINT_NAMES,
    SimulatedRobotConfig,
)
from tinyvla_ros.core.errors import InputError, unknown  # noqa: E402
from tinyvla_ros.core.types import Observation  # noqa: E402

# What MetaWorld itself keeps from step to step, beside MuJoCo's state.
KEPT_BY_METAWORLD = ("_prev_obs", "_last_stable_obs")
PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass(frozen=True, eq=False)
class SimulationMoment:
    """All that an episode goes on from."""

    physics: np.ndarray
    observation: np.ndarray
    metaworld: dict[str, np.ndarray]


class MetaWorldEnv(gymnasium.Env):
    """A MetaWorld task as a Gymnasium environment.

    Observations (``gymnasium.spaces.Dict``): one uint8 RGB image of (height, width, 3) per
    camera under its name; ``joint_positions`` (9,) in rad and m in the order of ``JOINT_NAMES``;
    ``ee_position`` (3,) in meters, world frame. No goal or object position.

    Actions: (4,) float32 in [-1, 1], ``ACTION_CHANNELS``: displacement of the end effector in
    units of 1 cm per control step (80 Hz), and gripper effort, 1 closes.

    ``step`` renders all cameras. To skip rendering between frames, use ``control`` (no images)
    and ``observe``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 80}

    def __init__(self, task: str, config: SimulatedRobotConfig | None = None,
                 render_mode: str | None = None):
        if task not in ALL_V3_ENVIRONMENTS:
            raise InputError(unknown("task", task, ALL_V3_ENVIRONMENTS))
        self.task = task
        self.config = config or SimulatedRobotConfig.load()
        self.render_mode = render_mode
        self._env = ALL_V3_ENVIRONMENTS[task]()
        # Goals beyond MetaWorld's 50 per seed: every reset draws a fresh one from `seed`.
        self._env._freeze_rand_vec = False  # noqa: SLF001 (MetaWorld has no public name)
        self._env.seeded_rand_vec = True
        self._env._set_task_called = True  # noqa: SLF001
        # The expert needs the goal in MetaWorld's own observation; it never leaves this class
        # except through `privileged_observation`.
        self._env._partially_observable = False  # noqa: SLF001
        self._env.__dict__.pop("sawyer_observation_space", None)
        model = self._env.model
        model.vis.global_.fovy = self.config.fovy
        model.vis.quality.offsamples = 0  # no multisampling: most of the cost in software GL
        model.vis.quality.shadowsize = 0
        if self.config.scenes == "shared":
            look_alike(self._env, task)
        self._joint_addresses = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
        self._initial_body_pos = model.body_pos.copy()
        self._renderer = CameraRenderer(model, self.config)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(ACTION_CHANNELS),), np.float32)
        space = {name: gymnasium.spaces.Box(0, 255, (pose.height, pose.width, 3), np.uint8)
                 for name, pose in self.config.cameras.items()}
        space["joint_positions"] = gymnasium.spaces.Box(
            -np.inf, np.inf, (len(JOINT_NAMES),), np.float64)
        space["ee_position"] = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(space)
        self._metaworld_observation: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode; ``seed`` alone decides goal and object position."""
        super().reset(seed=seed)
        self.reset_unseen(seed)
        return self._gym_observation(), {"success": False}

    def reset_unseen(self, seed: int | None = None) -> None:
        """Start an episode without rendering."""
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        # Some tasks move bodies of the model at reset; undo that, so that an episode does not
        # depend on the ones before it.
        self._env.model.body_pos[:] = self._initial_body_pos
        mujoco.mj_resetData(self._env.model, self._env.data)
        self._env.seed(seed)
        self._metaworld_observation, _ = self._env.reset()
        if self.config.scenes == "shared":
            self._metaworld_observation = begin_alike(self._env, self.task)
        # MetaWorld moves the goal marker after its last forward pass; without another one the
        # first image of an episode shows a goal that is not the episode's.
        mujoco.mj_forward(self._env.model, self._env.data)

    def step(self, action):
        """Run one control step and render every camera."""
        reward, success, truncated = self.control(action)
        return self._gym_observation(), reward, False, truncated, {"success": success}

    def control(self, action: np.ndarray) -> tuple[float, bool, bool]:
        """Run one control step without rendering.

        Returns:
            MetaWorld's dense reward, whether ``info['success']`` holds, and whether the
            500-step horizon is reached.
        """
        self._metaworld_observation, reward, _, truncated, info = self._env.step(
            np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        return float(reward), bool(info["success"]), bool(truncated)

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

    def observe(self, stamp_ns: int, instruction: str) -> Observation:
        """Render every camera and read the state, as one ``Observation``."""
        images = {name: self.render_camera(name) for name in self.config.cameras}
        return Observation(stamp_ns, images, self.state(), instruction)

    def state(self) -> dict[str, float]:
        """Return joint positions (rad, m) and end-effector position (m) by name."""
        joints = self._env.data.qpos[self._joint_addresses]
        values = (*joints, *self._env.get_endeff_pos())
        return dict(zip((*JOINT_NAMES, *EE_NAMES), map(float, values), strict=True))

    def ee_quaternion(self) -> tuple[float, float, float, float]:
        """Return the orientation of the end effector as (x, y, z, w), world frame."""
        w, x, y, z = (float(v) for v in self._env.data.body("hand").xquat)
        return x, y, z, w

    def render_camera(self, name: str) -> np.ndarray:
        """Render one camera: (height, width, 3) uint8 RGB, a fresh array."""
        return self._renderer.render(self._env.data, name)

    def scene(self) -> dict[str, np.ndarray]:
        """Return what an image of this moment depends on, to be rendered later.

        By ``show`` after the episode, or by a ``scene_renderer`` while it goes on.
        """
        return copy_scene(self._env.data)

    def show(self, scene: dict[str, np.ndarray]) -> None:
        """Let ``render_camera`` render an earlier moment; the episode cannot continue after it."""
        show_scene(self._env.data, scene)

    def scene_renderer(self) -> SceneRenderer:
        """Return a renderer of ``scene`` for another thread."""
        return SceneRenderer(self._env.model, self.config)

    def render(self):
        """Return the first camera's image (Gymnasium's ``rgb_array`` mode)."""
        return self.render_camera(next(iter(self.config.cameras)))

    @property
    def privileged_observation(self) -> np.ndarray:
        """MetaWorld's own 39 numbers, goal and object included: for scripted experts only.

        A copy: some of MetaWorld's experts write into what they are given.
        """
        return self._metaworld_observation.copy()

    def close(self) -> None:
        """Free the renderers."""
        self._renderer.close()

    def _gym_observation(self) -> dict[str, np.ndarray]:
        observation = {name: self.render_camera(name) for name in self.config.cameras}
        state = self.state()
        observation["joint_positions"] = np.array([state[n] for n in JOINT_NAMES])
        observation["ee_position"] = np.array([state[n] for n in EE_NAMES])
        return observation
