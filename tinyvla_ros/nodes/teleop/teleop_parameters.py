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

from typing import Annotated

from pydantic import Field

from tinyvla_ros.nodes.policy.policy_parameters import (
    ACTIVATED,
    LOADED,
    DriverParameters,
    OperatorInput,
    PersonParameters,
)


class TeleopParameters(DriverParameters, PersonParameters):
    """Parameters of ``teleop_node``."""

    enabled: Annotated[bool, ACTIVATED] = Field(
        True, description="Let the dead man move the arm from the start; otherwise wait for "
        "~/enable. Without a mapping, a leader waits for ~/enable in any case.")
    input: Annotated[OperatorInput, LOADED] = Field(
        "joy", description="What moves the arm: joy, a device with axes and buttons on topic "
        "joy; leader, an arm on topic leader/joint_states.")
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
