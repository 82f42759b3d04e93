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

"""What ``tinyvla import`` takes; imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag

_Names = Annotated[tuple[str, ...], Flag(metavar="A,B,...", separator=",")]


class ImportOptions(Config):
    """Options of ``tinyvla import``."""

    source: Annotated[Path, Flag(metavar="DIR", positional=True)] = Field(
        description="LeRobot's pretrained_model directory, of a policy of type diffusion")
    out: Annotated[Path, Flag(metavar="CHECKPOINT")] = Field(
        description="new checkpoint directory")
    dataset: Annotated[Path | None, Flag(metavar="DIR")] = Field(
        None, description="LeRobotDataset it was trained on: names, rate, limits, tasks")
    state_names: _Names = Field(
        (), description="names of the state's entries, by which the robot publishes them")
    action_names: _Names = Field((), description="names of the action's entries")
    fps: float | None = Field(None, ge=0.1, le=1000, description="control rate, Hz")
    instructions: Annotated[tuple[str, ...], Flag("--instruction", "TEXT", repeated=True)] = \
        Field((), description="what the policy does; may be given again; the policy ignores it")
    degrees: _Names = Field(
        (), description="entries that the dataset has in degrees: the checkpoint takes and "
        "gives radians")
    unit: str = Field("as in the dataset", description="unit of the actions, for people")
    sampler: Literal["ddpm", "ddim"] | None = Field(
        None, description="instead of LeRobot's own setting; chunks then differ from LeRobot's")
    sample_steps: int | None = Field(
        None, ge=1, description="steps of the sampler instead of LeRobot's own; chunks then "
        "differ from LeRobot's")
