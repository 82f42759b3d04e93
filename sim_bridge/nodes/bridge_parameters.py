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

"""Parameters of ``sim_bridge_node``, and which of them can be set while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from sim_bridge.episodes import RunParameters
from sim_bridge.protocol import Protocol
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Settable


class BridgeParameters(RunParameters):
    """Parameters of ``sim_bridge_node``."""

    old_names: ClassVar[Mapping[str, str]] = {"execute_steps": "n_action_steps"}

    n_action_steps: int = Field(8, ge=1, le=256, description="Actions of a chunk executed in "
                               "lock-step; the checkpoint's config.json says how many.")
    chunk_timeout: Annotated[float, Settable("at any time; the next observation has it")] = Field(
        60.0, ge=0.1, le=3600.0, description="Lock-step: seconds to wait for a chunk before the "
        "run fails.")
    start_timeout: float = Field(120.0, ge=1.0, le=3600.0, description="Seconds to wait for a "
                                 "policy to appear before the run fails.")
    wait_for_recorder: bool = Field(False, description="Begin only when an episode_recorder_node "
                                    "gets the messages of every topic.")
    cameras: tuple[str, ...] = Field(("",), description="Cameras of the robot configuration, its "
                                     "more_cameras too, to publish; empty for the protocol's, "
                                     "or without one for its cameras.")
    config: str = Field("", description="Robot configuration; empty for the one in config of the "
                        "tasks' arm.")

    def robot(self) -> SimulatedRobotConfig:
        """Return the simulated robot with the cameras to publish.

        Raises:
            InputError: the configuration cannot be read, it lacks a camera, or the protocol does.
        """
        robot = SimulatedRobotConfig.load(self.config) if self.config else \
            SimulatedRobotConfig.of(self.tasks)
        if robot.arm is not self.arm:
            raise InputError(f"{self.config} describes the arm {robot.name}, and the tasks are of "
                             f"{self.arm.name}; give tasks of one arm and its configuration.")
        protocol = Protocol.load(self.protocol) if self.protocol else None
        cameras = [name for name in self.cameras if name]
        if protocol is not None:
            protocol.check_cameras(cameras, "Parameter 'cameras' has")
            cameras = cameras or list(protocol.cameras)
        return robot.with_cameras(cameras) if cameras else robot
