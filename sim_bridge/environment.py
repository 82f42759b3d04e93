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

"""What the environments of all simulated arms have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from sim_bridge.opengl import choose_opengl

choose_opengl()

import gymnasium  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import mujoco  # noqa: E402
import numpy as np  # noqa: E402

from sim_bridge.arms import EE_NAMES  # noqa: E402
from sim_bridge.camera_renderer import (  # noqa: E402
    CameraRenderer,
    SceneRenderer,
    copy_scene,
    show_scene,
)
from sim_bridge.simulated_robot import SimulatedRobotConfig  # noqa: E402
from tinyvla_ros.arm.contract_inputs import wrench_states  # noqa: E402
from tinyvla_ros.core.types import Observation  # noqa: E402

# What the simulators publish as ``wrench``, as contracts call it.
WRENCH_STATES = wrench_states("wrist")


class ArmEnvironment(gymnasium.Env):
    """A task of a simulated arm as a Gymnasium environment.

    Observations (``gymnasium.spaces.Dict``): one uint8 RGB image of (height, width, 3) per
    camera under its name; ``joint_positions`` in rad and m in the order of the arm's joints;
    ``ee_position`` (3,) in meters, world frame. No goal or object position.

    Actions: (channels,) float32, see the arm.

    ``step`` renders all cameras. To skip rendering between frames, use ``control`` (no images)
    and ``observe``.
    """

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, task: str, config: SimulatedRobotConfig, model: mujoco.MjModel,
                 data: mujoco.MjData, render_mode: str | None = None):
        self.task, self.config, self.arm, self.render_mode = task, config, config.arm, render_mode
        self.metadata = {**ArmEnvironment.metadata, "render_fps": 1.0 / self.arm.control_dt}
        self.model, self.data = model, data
        model.vis.global_.fovy = config.fovy
        model.vis.quality.offsamples = 0  # no multisampling: most of the cost in software GL
        model.vis.quality.shadowsize = 0
        self._joint_addresses = [model.joint(name).qposadr[0] for name in self.arm.joints]
        self._renderer = CameraRenderer(model, config)
        self.action_space = gymnasium.spaces.Box(
            np.array(self.arm.low, np.float32), np.array(self.arm.high, np.float32))
        space = {name: gymnasium.spaces.Box(0, 255, (pose.height, pose.width, 3), np.uint8)
                 for name, pose in config.cameras.items()}
        space["joint_positions"] = gymnasium.spaces.Box(
            -np.inf, np.inf, (len(self.arm.joints),), np.float64)
        space["ee_position"] = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(space)

    # ---- what each arm says for itself ----------------------------------------------------

    @abstractmethod
    def begin(self, seed: int) -> None:
        """Start an episode without rendering; ``seed`` alone decides the scene."""

    def stand(self, seed: int) -> None:
        """Set up the scene of an arm that stands there, as the task begins."""
        self.begin(seed)

    @property
    def scene_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that can follow each other in the scene; none in most."""
        return ()

    @property
    def has_moving_goal(self) -> bool:
        """Whether ``move_goal`` gives the scene another goal."""
        return False

    def move_goal(self) -> None:
        """Move the goal of the scene to a new place; where ``has_moving_goal``, else nothing."""

    def successes(self) -> dict[str, bool]:
        """Return whether each task of a scene with several is done now, by its name."""
        return {}

    @abstractmethod
    def control(self, action: np.ndarray) -> tuple[float, bool]:
        """Run one control step without rendering.

        Returns:
            The reward, and whether the task has succeeded.
        """

    @abstractmethod
    def hold_action(self) -> np.ndarray:
        """Return the (channels,) action that keeps the arm where it is."""

    @abstractmethod
    def ee_position(self) -> np.ndarray:
        """Return the (3,) position of the end effector in meters, world frame."""

    @abstractmethod
    def ee_quaternion(self) -> tuple[float, float, float, float]:
        """Return its orientation as (x, y, z, w), world frame."""

    @abstractmethod
    def touching_bodies(self) -> tuple[Sequence[int], np.ndarray, np.ndarray]:
        """Return what ``wrench`` is of: ids of bodies, and the frame of the tool.

        Returns:
            Bodies of the hand; (3,) its origin in meters; (3, 3) its axes as columns, world frame.
        """

    def objects(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return position (3,) and orientation (4,) x, y, z, w of what an operator handles.

        In the world frame, by name. Never an observation of a policy.
        """
        return {}

    def urdf(self) -> str:
        """Return the arm's description as a URDF, empty if there is none."""
        return ""

    # ---- Gymnasium ------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode; ``seed`` alone decides goal and object position."""
        super().reset(seed=seed)
        self.reset_unseen(seed)
        return self._gym_observation(), {"success": False}

    def reset_unseen(self, seed: int | None = None) -> None:
        """Start an episode without rendering."""
        self.begin(int(self.np_random.integers(2**31)) if seed is None else seed)

    def step(self, action):
        """Run one control step and render every camera."""
        reward, success = self.control(action)
        return self._gym_observation(), reward, False, self.is_over, {"success": success}

    @property
    def is_over(self) -> bool:
        """Whether the simulator takes no further step in this episode."""
        return False

    def render(self):
        """Return the first camera's image (Gymnasium's ``rgb_array`` mode)."""
        return self.render_camera(next(iter(self.config.cameras)))

    def close(self) -> None:
        """Free the renderers."""
        self._renderer.close()

    # ---- observations ---------------------------------------------------------------------

    def observe(self, stamp_ns: int, instruction: str) -> Observation:
        """Render every camera and read the state, as one ``Observation``."""
        images = {name: self.render_camera(name) for name in self.config.cameras}
        felt = dict(zip(WRENCH_STATES, map(float, self.wrench()), strict=True))
        return Observation(stamp_ns, images, self.state() | felt, instruction)

    def state(self) -> dict[str, float]:
        """Return joint positions (rad, m) and end-effector position (m) by name."""
        values = (*self.data.qpos[self._joint_addresses], *self.ee_position())
        return dict(zip(self.arm.state_names, map(float, values), strict=True))

    def wrench(self) -> np.ndarray:
        """Return force (N) and torque (N m) of all contacts on the hand, in the frame of the tool.

        (6,) float64: what a force and torque sensor in the wrist measures, once the weight of the
        hand is taken off.
        """
        bodies, origin, axes = self.touching_bodies()
        inside = np.isin(self.model.geom_bodyid, bodies)
        total, one = np.zeros(6), np.zeros(6)
        for number in range(self.data.ncon):
            contact = self.data.contact[number]
            first, second = inside[contact.geom1], inside[contact.geom2]
            if first == second:
                continue
            mujoco.mj_contactForce(self.model, self.data, number, one)
            # MuJoCo gives the force from the first geom on the second, in the contact's frame.
            frame = contact.frame.reshape(3, 3)
            sign = 1.0 if second else -1.0
            force, torque = sign * one[:3] @ frame, sign * one[3:] @ frame
            total[:3] += force
            total[3:] += torque + np.cross(contact.pos - origin, force)
        return np.concatenate([total[:3] @ axes, total[3:] @ axes])

    def render_camera(self, name: str) -> np.ndarray:
        """Render one camera: (height, width, 3) uint8 RGB, a fresh array."""
        return self._renderer.render(self.data, name)

    def scene(self) -> dict[str, np.ndarray]:
        """Return what an image of this moment depends on, to be rendered later.

        By ``show`` after the episode, or by a ``scene_renderer`` while it goes on.
        """
        return copy_scene(self.data)

    def show(self, scene: dict[str, np.ndarray]) -> None:
        """Let ``render_camera`` render an earlier moment; the episode cannot continue after it."""
        show_scene(self.data, scene)

    def scene_renderer(self) -> SceneRenderer:
        """Return a renderer of ``scene`` for another thread."""
        return SceneRenderer(self.model, self.config)

    def _is_below(self, body: int, ancestor: int) -> bool:
        """Whether a body is another one, or moves with it."""
        while body and body != ancestor:
            body = int(self.model.body_parentid[body])
        return body == ancestor

    def _gym_observation(self) -> dict[str, np.ndarray]:
        observation = {name: self.render_camera(name) for name in self.config.cameras}
        state = self.state()
        observation["joint_positions"] = np.array([state[n] for n in self.arm.joints])
        observation["ee_position"] = np.array([state[n] for n in EE_NAMES])
        return observation
