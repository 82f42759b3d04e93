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

"""Parameters of ``teleop_node``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.nodes.policy_parameters import ACTIVATED, LOADED, DriverParameters

OperatorInput = Literal["joy", "leader"]


class TeleopParameters(DriverParameters):
    """Parameters of ``teleop_node``."""

    enabled: Annotated[bool, ACTIVATED] = Field(
        True, description="Let the dead man move the arm from the start; otherwise wait for "
        "~/enable. Without a mapping, a leader waits for ~/enable in any case.")
    input: Annotated[OperatorInput, LOADED] = Field(
        "joy", description="What moves the arm: joy, a device with axes and buttons on topic "
        "joy; leader, an arm on topic leader/joint_states.")
    mapping: Annotated[str, LOADED] = Field(
        "game_controller", description="What axes and buttons mean: game_controller, xbox, "
        "spacenav, keyboard, or a file like those in config/teleop. With input leader it has the "
        "dead man and the episode buttons; empty for a leader that ~/enable engages.")
    leader: Annotated[str, LOADED] = Field(
        "", description="File that says which joint of the leader leads which channel; empty for "
        "equal names.")
    input_timeout: Annotated[float, LOADED] = Field(
        0.2, ge=0.02, le=5.0, description="Seconds without a message of the person's device, or "
        "of the leader, after which the arm holds.")
    mode: Annotated[Literal["", "joints", "end_effector"], LOADED] = Field(
        "", description="What the controls move at the start; empty for joints where there are "
        "some.")
    description: Annotated[str, LOADED] = Field(
        "", description="URDF or MJCF file with the arm's kinematics; empty for topic "
        "robot_description.")
    ee_frame: Annotated[str, LOADED] = Field(
        "", description="Link or site that is moved as the end effector; empty for a usual name "
        "such as gripperframe or tool0, else the last link.")
    gripper: Annotated[str, LOADED] = Field(
        "", description="Channel that opens and closes; empty for one with gripper in its name.")
    gripper_opens: Annotated[Literal["high", "low"], LOADED] = Field(
        "high", description="Which end of the gripper's range is open.")
    speed: Annotated[float, LOADED] = Field(
        0.25, gt=0.0, le=1.0, description="Speed of joints, and of end effectors that are "
        "channels, at full deflection, as a share of the contract's limits.")
    linear_speed: Annotated[float, LOADED] = Field(
        0.1, gt=0.0, le=2.0, description="Speed of an end effector that is moved by its joints, "
        "m/s.")
    angular_speed: Annotated[float, LOADED] = Field(
        0.5, gt=0.0, le=6.0, description="The same for turning, rad/s.")
    gripper_speed: Annotated[float, LOADED] = Field(
        0.5, gt=0.0, le=1.0, description="Speed of the gripper, as a share of its limit.")
    align_speed: Annotated[float, LOADED] = Field(
        0.15, gt=0.0, le=1.0, description="Speed at which the arm moves to where its leader is, "
        "as a share of the contract's limits.")
    instruction: Annotated[str, LOADED] = Field(
        "", max_length=1000, description="What is demonstrated, in words; published, and recorded "
        "with every demonstration. Empty for what comes on the contract's topic.")
    task: Annotated[str, LOADED] = Field(
        "", max_length=200, description="Name of the task in episode events; empty for the "
        "instruction.")
    episodes: Annotated[int, LOADED] = Field(
        0, ge=0, le=1000000, description="Demonstrations that are wanted; 0 for as many as come.")
    reset_s: Annotated[float, LOADED] = Field(
        2.0, ge=0.0, le=3600.0, description="Shortest pause between two demonstrations, s.")
    reset_service: Annotated[str, LOADED] = Field(
        "", max_length=240, description="Service (std_srvs/Trigger) that makes a new scene in "
        "each pause, for example sim_robot_node/reset; empty where the person does.")
