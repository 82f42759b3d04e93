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

"""Tasks of a simulated SO-101 behind the Gymnasium interface."""

from __future__ import annotations

from dataclasses import dataclass

from sim_bridge.opengl import choose_opengl

choose_opengl()

import mujoco  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import numpy as np  # noqa: E402

from sim_bridge.arms import SO101, clipped  # noqa: E402
from sim_bridge.environment import ArmEnvironment  # noqa: E402
from sim_bridge.simulated_robot import SimulatedRobotConfig, Surroundings  # noqa: E402
from sim_bridge.so101.model import (  # noqa: E402
    AWAY,
    CUBE_HALF_M,
    TIMESTEP_S,
    TOOL,
    WALL_HALF_M,
    model_directory,
    table_model,
)
from tinyvla_ros.core.errors import InputError, unknown  # noqa: E402

# Where the arm begins: the gripper half open above the table, pointing down, rad.
HOME = (0.0, -0.25, 0.25, 1.5, 0.0, 0.5)
# Cube and mark: distance from the axis of the shoulder, m, and angle, rad. Further away the
# gripper cannot point down.
SHOULDER_X_M = 0.0388
DISTANCES_M, ANGLES = (0.13, 0.21), (-0.75, 0.75)
APART_M = 0.09
# Cubes have warm colors and marks cold ones.
CUBES = ((0.85, 0.1, 0.1), (0.95, 0.45, 0.05), (0.8, 0.15, 0.45), (0.6, 0.2, 0.1))
MARKS = ((0.1, 0.6, 0.15), (0.1, 0.25, 0.85), (0.05, 0.65, 0.7), (0.2, 0.4, 0.5))
# A task has succeeded with the cube so near to the middle of the mark, m, and so slow, m/s.
NEAR_M, AT_REST = 0.025, 0.02
LIFTED_M = 0.03
# The jaws are open, rad, wider than around the cube.
OPEN = 0.35
# The wall: its near face, m; a touch of so much counts, more than the other is too hard, N. The
# tool goes up so far, m.
WALL_X_M, TOUCH_N, HARD_N, UP_M = (0.17, 0.27), 0.8, 8.0, 0.06
SUBSTEPS = round(SO101.control_dt / TIMESTEP_S)


@dataclass(frozen=True)
class Task:
    """What is on the table, and what counts as a success.

    Attributes:
        has_cube: cube and mark are there; else the wall is.
        must_lift: the cube must have been off the table, and let go on the mark.
    """

    has_cube: bool = True
    must_lift: bool = False


TASKS = {"so101-pick-place": Task(must_lift=True), "so101-push": Task(),
         "so101-touch": Task(has_cube=False)}


class SO101Env(ArmEnvironment):
    """A cube and a mark on a table, both of random color and place; or a wall to be felt.

    Actions: (6,) positions of the joints in rad to reach at the end of the control step (50 Hz).
    The servos follow them as the model's do: with a spring's force, so that they sag a little.
    """

    def __init__(self, task: str, config: SimulatedRobotConfig | None = None,
                 render_mode: str | None = None):
        if task not in TASKS:
            raise InputError(unknown("task", task, TASKS))
        model = table_model()
        super().__init__(task, config or SimulatedRobotConfig.of([task]), model,
                         mujoco.MjData(model), render_mode)
        self._rules = TASKS[task]
        self._change(self.config.surroundings)
        self._tool, self._cube = model.site(TOOL).id, model.body("cube").id
        self._speed = model.joint("cube").dofadr[0]
        self._mark, self._wall = (model.body(n).mocapid[0] for n in ("mark", "wall"))
        gripper = model.body("gripper").id
        self._hand = [b for b in range(model.nbody) if self._is_below(b, gripper)]
        self._was_lifted = self._has_touched = False
        self._hardest = 0.0

    def _change(self, surroundings: Surroundings) -> None:
        model, cube = self.model, self.model.body("cube").id
        if surroundings.table_color is not None:
            model.geom("table").rgba[:3] = surroundings.table_color
        if surroundings.cube_mass is not None:
            model.body_inertia[cube] *= surroundings.cube_mass / model.body_mass[cube]
            model.body_mass[cube] = surroundings.cube_mass
            mujoco.mj_setConst(model, self.data)

    def begin(self, seed: int) -> None:
        """Start an episode: colors and places follow from the seed, the arm's posture nearly."""
        rng = np.random.default_rng(seed)
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        posture = np.array(HOME) + rng.uniform(-0.05, 0.05, len(HOME))
        data.qpos[self._joint_addresses] = posture
        data.ctrl[:] = posture
        start = model.joint("cube").qposadr[0]
        if self._rules.has_cube:
            cube, mark = self._places(rng)
            for geom, colors in (("cube", CUBES), ("mark", MARKS)):
                model.geom(geom).rgba[:3] = colors[rng.integers(len(colors))]
            yaw = rng.uniform(-np.pi / 4, np.pi / 4)
            data.qpos[start:start + 7] = (*cube, CUBE_HALF_M, np.cos(yaw / 2), 0.0, 0.0,
                                          np.sin(yaw / 2))
            data.mocap_pos[self._mark] = (*mark, 0.0005)
        else:
            data.qpos[start:start + 3] = (AWAY[0], 0.0, CUBE_HALF_M)
            data.mocap_pos[self._mark] = AWAY
            data.mocap_pos[self._wall] = (rng.uniform(*WALL_X_M) + WALL_HALF_M[0], 0.0,
                                          WALL_HALF_M[2])
        self._has_touched, self._hardest = False, 0.0
        self._was_lifted = False
        for _ in range(100):  # until the servos have sagged
            mujoco.mj_step(model, data)
        data.time = 0.0
        mujoco.mj_forward(model, data)

    def control(self, action: np.ndarray) -> tuple[float, bool]:
        """Move the servos' targets to an action within one control step, in equal parts."""
        data = self.data
        before, target = data.ctrl.copy(), clipped(self.arm, action)
        for part in range(1, SUBSTEPS + 1):
            data.ctrl[:] = before + (target - before) * (part / SUBSTEPS)
            mujoco.mj_step(self.model, data)
        self._was_lifted |= bool(data.xpos[self._cube][2] > CUBE_HALF_M + LIFTED_M)
        if not self._rules.has_cube:
            # Of the wall alone: the table pushes up.
            force = float(np.linalg.norm((self.tool_axes() @ self.wrench()[:3])[:2]))
            self._hardest = max(self._hardest, force)
            self._has_touched |= force > TOUCH_N
        success = self.has_succeeded()
        return float(success), success

    def has_succeeded(self) -> bool:
        """Return whether the cube rests on the mark, or the wall was felt and left, gently."""
        data = self.data
        if not self._rules.has_cube:
            return bool(self._has_touched and self._hardest < HARD_N
                        and self.ee_position()[2] > UP_M)
        away = np.linalg.norm(data.xpos[self._cube][:2] - data.mocap_pos[self._mark][:2])
        at_rest = np.linalg.norm(data.qvel[self._speed:self._speed + 3]) < AT_REST
        on_table = abs(data.xpos[self._cube][2] - CUBE_HALF_M) < 0.005
        done = away < NEAR_M and at_rest and on_table
        if self._rules.must_lift:
            let_go = data.qpos[self._joint_addresses[-1]] > OPEN
            done = done and self._was_lifted and let_go
        return bool(done)

    def hold_action(self) -> np.ndarray:
        """Return where the servos are commanded to be."""
        return self.data.ctrl.copy()

    def ee_position(self) -> np.ndarray:
        """Return the position of the point between the tips of the jaws."""
        return self.data.site_xpos[self._tool]

    def ee_quaternion(self) -> tuple[float, float, float, float]:
        """Return the orientation of the tool: x is the direction of approach."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._tool])
        w, x, y, z = (float(v) for v in quaternion)
        return x, y, z, w

    def touching_bodies(self):
        """Return the gripper with its jaw."""
        return self._hand, self.data.site_xpos[self._tool], self.tool_axes()

    def tool_axes(self) -> np.ndarray:
        """Return the (3, 3) axes of the tool as columns, world frame; x is where it points."""
        return self.data.site_xmat[self._tool].reshape(3, 3)

    @property
    def hardest_touch(self) -> float:
        """Largest force along the table in this episode of ``so101-touch``, N."""
        return self._hardest

    def objects(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return cube and mark."""
        w, *xyz = self.data.xquat[self._cube]
        return {"cube": (self.data.xpos[self._cube].copy(), np.array([*xyz, w])),
                "mark": (self.data.mocap_pos[self._mark].copy(), np.array([0.0, 0.0, 0.0, 1.0]))}

    def urdf(self) -> str:
        """Return the arm's URDF, which names meshes that are only in the Python package."""
        return (model_directory() / "so101_new_calib.urdf").read_text(encoding="utf-8")

    def _places(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw (2,) places of the cube and the mark, m."""
        while True:
            distance, angle = rng.uniform(*DISTANCES_M, 2), rng.uniform(*ANGLES, 2)
            xy = np.stack([SHOULDER_X_M + distance * np.cos(angle), distance * np.sin(angle)], 1)
            if np.linalg.norm(xy[0] - xy[1]) > APART_M:
                return xy[0], xy[1]
