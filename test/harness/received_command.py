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

"""Commands that an arm received, judged by its contract."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.ros.messages import time_to_ns

# A hold stays at its last position for longer than any row lasts, s.
HOLD_S = 0.15
TOLERANCE = 1e-6


@dataclass(frozen=True)
class ReceivedCommand:
    """A trajectory.

    Attributes:
        time_s: steady seconds.
        is_hold: whether it only brings the arm to rest.
        last: (channels,) its last positions.
        speed: largest speed in it, as a share of the limits.
    """

    time_s: float
    is_hold: bool
    last: np.ndarray
    speed: float


class CommandJudge:
    """What is wrong with commands.

    Attributes:
        low, high: (channels,) limits of the trajectories.

    Args:
        contract: whose first output takes trajectories.
    """

    def __init__(self, contract: RobotContract):
        self._actions, self._targets = contract.actions, list(contract.outputs[0].targets)
        limits = [contract.actions[n] for n in contract.outputs[0].channels]
        self.low, self.high = (np.array([getattr(c, k) for c in limits]) for k in ("low", "high"))
        # Increments have none.
        self._velocity = np.array([np.inf if c.velocity is None else c.velocity for c in limits])

    def trajectory(self, msg: JointTrajectory, position: np.ndarray | None = None
                   ) -> tuple[ReceivedCommand | None, list[str]]:
        """Judge a command.

        Args:
            msg: the command.
            position: (channels,) where the arm is, None where its channels are no places. An arm
                that hangs beyond a limit is led back from there, so rows may be there, too.

        Returns:
            The command, None if it cannot be read, and what is wrong with it.
        """
        rows = np.array([list(p.positions) for p in msg.points])
        times = np.array([time_to_ns(p.time_from_start) / 1e9 for p in msg.points])
        if list(msg.joint_names) != self._targets or not np.isfinite(rows).all():
            return None, [f"joints or values: {msg.joint_names} {rows}"]
        wrong = []
        low, high = (self.low, self.high) if position is None else \
            (np.minimum(self.low, position), np.maximum(self.high, position))
        # A plan may begin where the curve before it stops within a millionth of the limit.
        slack = TOLERANCE * np.maximum(np.abs(self.low), np.abs(self.high))
        if (rows < low - slack).any() or (rows > high + slack).any():
            wrong.append(f"position limit: {rows.min(0)} {rows.max(0)}")
        steps = np.diff(rows, axis=0) / np.diff(times)[:, None]
        speed = float((np.abs(steps) / self._velocity).max()) if len(steps) else 0.0
        if speed > 1.0 + 1e-3:
            wrong.append(f"velocity limit: {speed:.3f}")
        return ReceivedCommand(
            time.monotonic(), len(times) > 1 and times[-1] - times[-2] > HOLD_S, rows[-1],
            speed), wrong

    def positions(self, output, msg: Float64MultiArray) -> list[str]:
        """Return what is wrong with the values for an output."""
        wrong = []
        for value, (name, to) in zip(msg.data, output.channels.items(), strict=True):
            limits = self._actions[name]
            value = (value - to.offset) / to.scale
            if not limits.low - TOLERANCE <= value <= limits.high + TOLERANCE:
                wrong.append(f"{name} is {value}")
        return wrong
