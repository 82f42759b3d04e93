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

"""What a person drives with, in the place of a checkpoint: states, channels, directions."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.arm.contract_outputs import ChunkOutput, TwistOutput
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import ActionSpec

# Periods of chunks: of an arm's rows, and of the simulated arm, which takes its own alone.
PERIOD_S, SIMULATION_PERIOD_S = 0.02, 0.0125
# What an arm still does after the node died, and what bridges a busy machine, s.
CHUNK_S = 0.4
_DIRECTION = re.compile(r"ee_(?:d|v)?([xyz])|ee_(?:w|d|v)?(roll|pitch|yaw)|ee_w([xyz])")
_TURNS = dict(zip("xyz", ("roll", "pitch", "yaw"), strict=True))


@dataclass(frozen=True)
class OperatorConfig:
    """What a person drives with, in the place of a checkpoint's configuration."""

    state: tuple[str, ...]
    action: ActionSpec
    cameras: MappingOf = field(default_factory=dict)
    most_committed: int = 0

    def past_stamps(self, stamp_ns: int) -> tuple[int, ...]:
        """Nothing past is needed."""
        return ()


def operator_config(contract: RobotContract, period: float | None = None) -> OperatorConfig:
    """Return states and actions that fit a robot, without cameras.

    Args:
        contract: of the robot.
        period: of the rows, s; None for one that fits it.

    Raises:
        InputError: nothing measures the arm.
    """
    state = [c.state for c in contract.actions.values() if c.state]
    if contract.joint_states is not None:
        state += [n for n in contract.joint_names if n in contract.actions or n in state]
    joints = [n for n in state if n not in EE_STATE]
    if contract.ee_pose is not None and not joints:
        state += EE_STATE
    if not state:
        raise InputError(f"Robot {contract.name!r} names no state, so nothing would show that the "
                         "arm is there; set 'state' of the channels that are positions, or "
                         "ee_pose.")
    channels = contract.actions
    if period is None:
        has_chunk = any(isinstance(o, ChunkOutput) for o in contract.outputs)
        period = SIMULATION_PERIOD_S if has_chunk else PERIOD_S
    rows = round(CHUNK_S / period)
    return OperatorConfig(tuple(dict.fromkeys(state)), ActionSpec(
        channels=tuple(channels), units=tuple(c.unit for c in channels.values()),
        low=tuple(c.low for c in channels.values()), high=tuple(c.high for c in channels.values()),
        dt=period, horizon=rows, n_action_steps=1,
        continuous={n: c.state for n, c in channels.items() if c.continuous}))


def directions_of(contract: RobotContract) -> dict[str, str]:
    """Return channel -> direction, of rates of the end effector: they need no kinematics."""
    found: dict[str, str] = {}
    for output in contract.outputs:
        for name, target in zip(output.channels, output.targets, strict=True):
            if contract.actions[name].hold != "zero":
                continue
            if isinstance(output, TwistOutput):
                part, axis = target.split(".")
                found[name] = axis if part == "linear" else _TURNS[axis]
            elif match := _DIRECTION.fullmatch(name):
                found[name] = match[1] or match[2] or _TURNS[match[3]]
    return found
