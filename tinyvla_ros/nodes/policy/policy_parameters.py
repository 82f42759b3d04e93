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

"""Parameters of nodes that drive an arm, and in which state of the node each can be set."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.observation.liveness import InstructionTimeout
from tinyvla_ros.arm.pace import PaceOption
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Settable, settable
from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.monitor.interface import MonitorAction
from tinyvla_ros.policy.backends.backend import BACKEND_HELP, BackendName

# What configuring reads, and what activating reads.
LOADED = Settable("while the node is unconfigured")
ACTIVATED = Settable("while the node is not active")


class DriverParameters(RunMember):
    """Parameters of every node that drives an arm."""

    robot: Annotated[str, LOADED] = Field(
        "", description="Robot contract, a file like those in config/robots; empty for the arm "
        "that sim_bridge_node simulates.")
    enabled: Annotated[bool, ACTIVATED] = Field(
        False, description="Command the arm from the start; otherwise wait for ~/enable.")
    autostart: bool = Field(True, description="Configure and activate at once; otherwise wait "
                                              "for a lifecycle manager.")
    wait_for: str = Field("", description="Name of a node of the same run; nothing is commanded "
                          "before it has begun.")

    def check_change(self, changed: set[str], is_configured: bool, is_active: bool) -> None:
        """Raise ``InputError`` if one of these parameters would not count any more."""
        for name in sorted(changed):
            marker = settable(type(self).model_fields[name])
            if marker == LOADED and is_configured:
                raise InputError(f"Parameter '{name}' is read-only while the node is configured; "
                                 "deactivate it and clean it up first, or restart it with -p "
                                 f"{name}:=VALUE.")
            if marker == ACTIVATED and is_active:
                raise InputError(f"Parameter '{name}' is read-only while the node is active; "
                                 "call ~/enable, or deactivate the node first.")


OperatorInput = Literal["joy", "leader"]


class PersonParameters(Config):
    """Parameters of a node that a person drives an arm with."""

    mapping: Annotated[str, LOADED] = Field(
        "game_controller", description="What axes and buttons mean: game_controller, xbox, "
        "spacenav, keyboard, or a file like those in config/teleop. With a leader it has the "
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
        0.25, ge=0.001, le=1.0, description="A person's speed of joints, and of end effectors "
        "that are channels, at full deflection, as a share of the contract's limits.")
    linear_speed: Annotated[float, LOADED] = Field(
        0.1, ge=0.001, le=2.0, description="Speed of an end effector that is moved by its joints, "
        "m/s.")
    angular_speed: Annotated[float, LOADED] = Field(
        0.5, ge=0.001, le=6.0, description="The same for turning, rad/s.")
    gripper_speed: Annotated[float, LOADED] = Field(
        0.5, ge=0.001, le=1.0, description="Speed of the gripper, as a share of its limit.")
    align_speed: Annotated[float, LOADED] = Field(
        0.15, ge=0.001, le=1.0, description="Speed at which the arm moves to where its leader is, "
        "as a share of the contract's limits.")


class PolicyNodeParameters(DriverParameters, PersonParameters):
    """Parameters of ``policy_node``."""

    checkpoint: Annotated[str, LOADED] = Field(
        "", description="Checkpoint directory; empty for the shipped one.")
    backend: Annotated[BackendName, LOADED] = Field("auto", description=BACKEND_HELP)
    device: Annotated[str, LOADED] = Field("cpu", description="cpu, cuda or cuda:N.")
    seed: Annotated[int, LOADED] = Field(
        0, ge=0, le=2**31 - 1, description="Seed of the sampler's noise.")
    threads: Annotated[int, LOADED] = Field(
        1, ge=1, le=64, description="CPU threads of the network.")
    sample_steps: Annotated[int, LOADED] = Field(
        0, ge=0, le=1000, description="DDIM steps; 0 for those of policy.onnx or the "
        "checkpoint's own.")
    join: Annotated[Literal["", ChunkBlending], LOADED] = Field(
        "", description="How chunks are blended; empty for the contract's execution.join.")
    pace: Annotated[PaceOption, LOADED] = 0.0
    instruction_timeout: Annotated[InstructionTimeout, LOADED] = 0.0
    takeover: Annotated[Literal["", OperatorInput], LOADED] = Field(
        "", description="What a person may take the arm over with, by a dead man: joy, a device "
        "with axes and buttons on topic joy; leader, an arm on topic leader/joint_states; empty "
        "for nobody.")
    monitor: Annotated[MonitorAction, LOADED] = "report"
    extra_latency: Annotated[float, Settable("at any time; the next inference has it")] = Field(
        0.0, ge=0.0, le=10.0, description="Seconds added to every inference, for experiments.")
