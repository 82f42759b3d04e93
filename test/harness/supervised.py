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

"""A supervised arm with a joint, a gripper and a velocity, and chunks for it."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.policy.config import PolicyConfig

MS = 1_000_000

DT_MS, DT, ROWS = 20, 0.02, 16
T = 1_000_000 * MS  # when the tests begin
CHANNELS = ("joint", "gripper", "turn")
VELOCITY, ACCELERATION = 1.0, 5.0
STILL = {"joint": 0.0}
PATIENT = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def make(enabled: bool = True, active: bool = True, join: str = "replace",
         max_duration: float = 1.0, lead: float = 0.0, **on_violation) -> Supervisor:
    """Return the supervisor of an arm with a joint, a gripper and a velocity."""
    outputs = [{"type": "chunk", "topic": "commands", "channels": list(CHANNELS)}]
    if lead:
        outputs = [{"type": "joint_trajectory", "topic": "arm", "channels": ["joint", "gripper"],
                    "lead": lead},
                   {"type": "twist", "topic": "turn", "frame": "base",
                    "channels": {"turn": {"to": "angular.z"}}}]
    contract = RobotContract.model_validate({
        "name": "test arm", "cameras": {"front": {"topic": "/front"}}, "joint_states": {},
        "actions": {
            "joint": {"unit": "rad", "low": -2.0, "high": 2.0, "velocity": VELOCITY,
                      "acceleration": ACCELERATION, "jump": 0.3, "state": "joint"},
            "gripper": {"unit": "m", "low": 0.0, "high": 0.08},
            "turn": {"unit": "rad/s", "low": -0.5, "high": 0.5, "velocity": 2.0,
                     "hold": "zero"}},
        "outputs": outputs,
        "on_violation": on_violation,
        "execution": {"join": join, "max_duration": max_duration}})
    config = PolicyConfig.model_validate({
        "cameras": {"front": {"height": 48, "width": 48}}, "state": ["joint"],
        "action": {"channels": CHANNELS, "units": ["rad", "m", "rad/s"], "low": [-2.0, 0.0, -0.5],
                   "high": [2.0, 0.08, 0.5], "dt": DT, "horizon": ROWS, "n_action_steps": 8},
        "instructions": ["do it"]})
    supervisor = Supervisor(contract, config)
    if active:
        supervisor.activate(enabled)
    return supervisor


def chunk(at_ms: float = 0, joint=0.0, gripper=0.04, turn=0.0, rows: int = ROWS) -> ActionChunk:
    """Return a chunk observed so many ms after the tests begin; values are columns."""
    columns = [np.broadcast_to(np.asarray(v, np.float32), rows) for v in (joint, gripper, turn)]
    return ActionChunk(T + round(at_ms * MS), CHANNELS, np.stack(columns, axis=1), DT)


def gentle(rows: int = ROWS, begin: float = 0.0) -> np.ndarray:
    """Return positions that start from rest within the limits: half of the acceleration."""
    return begin + ACCELERATION / 2 * DT * DT * np.cumsum(np.minimum(np.arange(1, rows + 1), 8))


def running(**options) -> Supervisor:
    """Return a supervisor that moves the arm along ``gentle``."""
    supervisor = make(**options)
    assert accept(supervisor, chunk(0, joint=gentle()), 0) is not None
    assert supervisor.state == "running"
    return supervisor


def accept(supervisor: Supervisor, new: ActionChunk, at_ms: float, measured=None) -> Plan | None:
    """Hand in a chunk as the node does; the joint follows the plan unless given."""
    now_ns = T + round(at_ms * MS)
    supervisor.tick(now_ns, "")
    if measured is None:
        commanded = supervisor.plan and float(supervisor.plan.motion(now_ns).value[0])
        measured = {"joint": commanded or 0.0}
    return supervisor.accept(new, "do it", measured, now_ns)


def at(ms: float) -> int:
    return T + round(ms * MS)


def moves(plan: Plan) -> bool:
    return bool(np.any(np.diff(plan.commands[:, 0], prepend=plan.begin.value[0])))


def assert_comes_to_rest(plan: Plan) -> None:
    """A hold: no chunk, decelerating no harder than allowed, velocities to zero."""
    assert plan.chunk is None
    assert plan.instruction == ""
    joint = np.concatenate([[plan.begin.value[0]], plan.commands[:, 0]])
    changes = np.concatenate([[plan.begin.step[0]], np.diff(joint)])
    assert np.abs(np.diff(changes)).max() <= ACCELERATION * DT * DT * (1 + 1e-6)
    assert changes[-1] == 0.0
    assert plan.commands[-1, 2] == 0.0
