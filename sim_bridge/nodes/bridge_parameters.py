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

"""Parameters of the nodes of simulated arms, and which of them can be set while they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from sim_bridge.episodes import RunParameters
from sim_bridge.protocol import Protocol
from sim_bridge.simulated_robot import SimulatedRobotConfig, check_camera_rate
from tinyvla_ros.core.options import Settable
from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.core.scenes import ROBOT_SCENES, ScenesOption


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
    after_success: int = Field(0, ge=0, le=1500, description="Control steps that an episode goes "
                               "on after success, so that a recording shows the end.")
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
        robot = SimulatedRobotConfig.for_tasks(self.tasks, self.config, self.scenes)
        protocol = Protocol.load(self.protocol) if self.protocol else None
        cameras = [name for name in self.cameras if name]
        if protocol is not None:
            protocol.check_cameras(cameras, "Parameter 'cameras' has")
            cameras = cameras or list(protocol.cameras)
        return robot.with_cameras(cameras) if cameras else robot


class SimRobotParameters(RunMember):
    """Parameters of ``sim_robot_node``."""

    task: str = Field("so101-pick-place", description="Task: it decides the arm and what is on "
                      "the table. Who commands the arm publishes the instruction.")
    seed: int = Field(0, ge=0, le=999999999, description="Seed of the first scene; every ~/reset "
                      "takes the next one.")
    camera_rate: float = Field(0.0, ge=0.0, le=80.0, description="Images a second of each "
                               "camera, the control rate divided by a whole number; 0 for the "
                               "configuration's.")
    config: str = Field("", description="Configuration of the simulated robot; empty for the one "
                        "in config of the task's arm.")
    scenes: ScenesOption = Field("", description=ROBOT_SCENES)

    @model_validator(mode="after")
    def _fits(self):
        self.robot()
        return self

    def robot(self) -> SimulatedRobotConfig:
        """Return the simulated robot.

        Raises:
            InputError: the configuration cannot be read or is of another arm, the task is unknown,
                or the camera rate is none that control steps give.
        """
        robot = SimulatedRobotConfig.for_tasks([self.task], self.config, self.scenes)
        robot.instruction(self.task)
        check_camera_rate(self.camera_rate, "realtime", robot.arm)
        return robot


class OperatorParameters(RunMember):
    """Parameters of ``scripted_operator_node``."""

    task: str = Field("so101-pick-place", description="What it shows, a task of the SO-101.")
    episodes: int = Field(50, ge=1, le=100000, description="Demonstrations that it shows before "
                          "it ends.")
    seed: int = Field(0, ge=0, le=999999999, description="How its demonstrations differ from "
                      "each other.")
    astray: float = Field(0.5, ge=0.0, le=1.0, description="Share of the demonstrations that "
                          "begin after an error: the arm is astray, near the cube or the "
                          "mark, or the cube lies beside the mark.")
    config: str = Field("", description="Configuration of the simulated robot, whose instruction "
                        "the policy is told; empty for the one in config of the task's arm.")
    takeover_after: float = Field(
        0.0, ge=0.0, le=600.0, description="Seconds that policy_node has in each scene before it "
        "takes the arm over with its leader and finishes; 0 for demonstrations without a policy.")
    mapping: str = Field("game_controller", description="Mapping of teleop_node, whose buttons "
                         "it presses.")

    @field_validator("task")
    @classmethod
    def _can_be_shown(cls, task: str) -> str:
        SimulatedRobotConfig.of(["so101-"]).instruction(task)
        return task
