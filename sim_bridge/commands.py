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

"""How a simulated arm follows what it is commanded: chunks of increments, or trajectories.

An arm whose actions are positions follows trajectories as ros2_control's
joint_trajectory_controller does; in lock-step, whole chunks whose rows are its points.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sim_bridge.arms import SimulatedArm
from tinyvla_ros.arm.chunk_follower import ChunkFollower
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import trajectory_to_chunk
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.dry_run.trajectory import TrajectoryFollower


def read_chunk(arm: SimulatedArm, msg) -> ActionChunk:
    """Return the chunk that a trajectory_msgs/JointTrajectory carries for an arm.

    Raises:
        MessageError: it is none, or has another period than this arm's increments.
    """
    chunk = trajectory_to_chunk(msg, arm.channels)
    if arm.quantity == "increment" and abs(chunk.dt - arm.control_dt) > 1e-6:
        raise MessageError(f"The action chunk has a period of {chunk.dt} s; this robot is "
                           f"controlled every {arm.control_dt} s.")
    return chunk


def control_actions(arm: SimulatedArm, chunk: ActionChunk, rows: int,
                    begin: np.ndarray) -> np.ndarray:
    """Return (steps, channels) actions of the control steps that the first rows of a chunk last.

    Args:
        chunk: an increment for every control step, or positions to reach after each period.
        rows: how many of its actions.
        begin: (channels,) action that the arm holds with.
    """
    if arm.quantity == "increment":
        return chunk.actions[:rows]
    rows = min(rows, len(chunk.actions))
    steps = max(1, round(rows * chunk.dt / arm.control_dt))
    times = chunk.dt * np.arange(rows + 1)
    points = np.concatenate([np.asarray(begin)[None], chunk.actions[:rows]])
    at = arm.control_dt * np.arange(1, steps + 1)
    return np.stack([np.interp(at, times, points[:, c]) for c in range(points.shape[1])], axis=1)


class Follower(Protocol):
    """Follows commands on the wall clock."""

    def reset(self, now_ns: int, begin: np.ndarray) -> None:
        """Forget all; the arm holds with the action ``begin``."""

    def accept(self, command, now_ns: int) -> int | None:
        """Follow a command from now on; return the stamp of the observation it answers.

        None if that is unknown or the command was not taken.

        Raises:
            MessageError: the arm's controller would refuse it.
        """

    def action(self, now_ns: int) -> np.ndarray | None:
        """Return the (channels,) action of the control step that begins; None: hold."""


class IncrementFollower:
    """Follows ``ActionChunk``s by time; without a row for now the arm holds."""

    def __init__(self, arm: SimulatedArm):
        self._chunks = ChunkFollower()

    def reset(self, now_ns: int, begin: np.ndarray) -> None:
        """See ``Follower``."""
        self._chunks.reset(now_ns)

    def accept(self, command: ActionChunk, now_ns: int) -> int | None:
        """See ``Follower``."""
        return command.stamp_ns if self._chunks.accept(command) else None

    def action(self, now_ns: int) -> np.ndarray | None:
        """See ``Follower``."""
        return self._chunks.action(now_ns)


class PositionFollower:
    """Follows trajectory_msgs/JointTrajectory by joint_trajectory_controller's rules."""

    def __init__(self, arm: SimulatedArm):
        self._arm = arm
        self._trajectory: TrajectoryFollower | None = None

    def reset(self, now_ns: int, begin: np.ndarray) -> None:
        """See ``Follower``."""
        self._trajectory = TrajectoryFollower(self._arm.channels, begin)

    def accept(self, command, now_ns: int) -> int | None:
        """See ``Follower``."""
        self._trajectory.accept(command, now_ns)

    def action(self, now_ns: int) -> np.ndarray | None:
        """See ``Follower``."""
        return self._trajectory.sample(now_ns + self._arm.dt_ns)[0]


def make_follower(arm: SimulatedArm) -> Follower:
    """Return what follows the commands of an arm on the wall clock."""
    return IncrementFollower(arm) if arm.quantity == "increment" else PositionFollower(arm)
