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

"""Inverse kinematics of the SO-101: joints for a place of its tool, pointing down."""

from __future__ import annotations

import mink
import mujoco
import numpy as np

from sim_bridge.so101.model import TOOL, arm_spec

# Joint positions that are near every solution, rad: the gripper above the table, pointing down.
NEAR = (0.0, -0.9, 0.7, 1.3, 0.0, 0.5)
# Steps of the solver, and the time that each stands for, s: it moves at most as fast as it needs.
STEPS, STEP_S = 60, 0.05
# Nearer than this is there, m, after a step that moved no joint further than this, rad. Where five
# joints cannot give place and direction, a solution a little off is as good as it gets: then the
# steps themselves become tiny.
CLOSE_M, SMALL, TINY = 3e-4, 0.02, 1e-3


class ToolKinematics:
    """Solves for the five joints before the gripper; each solution begins from the one before."""

    def __init__(self):
        self._model = arm_spec().compile()
        self._configuration = mink.Configuration(self._model)
        # Five joints cannot give every orientation: the place counts most, then pointing down.
        self._task = mink.FrameTask(TOOL, "site", position_cost=1.0, orientation_cost=0.05,
                                    lm_damping=1e-4)
        self._limits = [mink.ConfigurationLimit(self._model)]
        self._data = mujoco.MjData(self._model)
        self.restart()

    def restart(self) -> None:
        """Let the next solution begin from the middle of the workspace."""
        self._configuration.update(np.array(NEAR))

    def solve(self, position: np.ndarray, yaw: float) -> np.ndarray:
        """Return (5,) joints in rad that bring the tool to a place, pointing down.

        Args:
            position: (3,) of the tool in meters, in the frame of the arm's base.
            yaw: direction from the fixed to the moving jaw, rad, in the plane of the table.
        """
        across = np.array([np.cos(yaw), np.sin(yaw), 0.0])
        down = np.array([0.0, 0.0, -1.0])
        axes = np.stack([down, np.cross(across, down), across], axis=1)
        self._task.set_target(mink.SE3.from_rotation_and_translation(
            mink.SO3.from_matrix(axes), np.asarray(position, np.float64)))
        for _ in range(STEPS):
            velocity = mink.solve_ik(self._configuration, [self._task], STEP_S, solver="daqp",
                                     damping=1e-5, limits=self._limits)
            self._configuration.integrate_inplace(velocity, STEP_S)
            moved = np.abs(velocity[:5]).max() * STEP_S
            # Each step leaves about the square of what it was.
            if moved < TINY or (moved < SMALL and self._off() < CLOSE_M):
                break
        return self._configuration.q[:5].copy()

    def _off(self) -> float:
        return float(np.linalg.norm(self._task.compute_error(self._configuration)[:3]))

    def where(self, joints: np.ndarray) -> tuple[np.ndarray, float]:
        """Return where (5,) joints have the tool: (3,) place in meters, and its yaw, rad."""
        data = self._data
        data.qpos[:5] = joints[:5]
        mujoco.mj_kinematics(self._model, data)
        site = data.site(TOOL)
        across = site.xmat.reshape(3, 3)[:, 2]
        return site.xpos.copy(), float(np.arctan2(across[1], across[0]))

    def sag(self, joints: np.ndarray) -> np.ndarray:
        """Return (5,) how far the servos sag at rest under the arm's own weight, rad."""
        data = self._data
        data.qpos[:5] = joints
        data.qvel[:] = 0.0
        mujoco.mj_forward(self._model, data)
        return -data.qfrc_bias[:5] / self._model.actuator_gainprm[:5, 0]
