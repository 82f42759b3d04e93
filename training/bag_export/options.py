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

"""Options of ``tinyvla bag export``; imports nothing heavy, so that the help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from training.jobs.options import RayAddress, WorkerCount

LARGEST_IMAGE = 4096


class ExportOptions(Config):
    """Options of ``tinyvla bag export``."""

    bags: Annotated[tuple[Path, ...], Flag(metavar="BAG", positional=True)] = Field(
        description="bags, or folders of bags, MCAP or sqlite3")
    out: Path = Field(description="new LeRobotDataset directory")
    robot: Path | None = Field(None, description="robot contract; default: the one in each bag")
    namespace: str = Field("", description="of the robot, if the bags have several; for topics "
                           "that the contract names without a leading slash")
    fps: int = Field(20, ge=1, le=1000, description="frames per second")
    pick: Literal["nearest", "hold"] = Field(
        "nearest", description="the first camera's image of a frame: the nearest one, or the last "
        "before it")
    tolerance: float | None = Field(
        None, ge=0, le=1, description="largest difference between the stamps of that image and "
        "the frame's other messages, s; default: stamps.tolerance of the robot contract")
    images: Literal["image", "video"] = Field("image", description="store lossless PNG, or video")
    config: Path | None = Field(
        None, description="training configuration or checkpoint whose policy the images are for: "
        "its cameras, with their crop and size")
    size: Annotated[str, Flag(metavar="N|WxH")] = Field(
        "", description="of the stored images; default: 96, or that of --config")
    states: Annotated[tuple[str, ...], Flag(metavar="STATE")] = Field(
        (), description="states to store, in this order; default: all that were recorded")
    actions: Literal["auto", "chunk", "trajectory", "state"] = Field(
        "auto", description="what the arm did: executed chunks, commands to its controllers, or "
        "the states it reached; auto: what was recorded, in this order")
    dt: float | None = Field(
        None, ge=1e-4, le=10, description="control period for trajectories and states, s; "
        "default: of the trajectories, or else of the frames")
    instruction: str = Field("", description="for bags that do not contain one")
    outcome: Literal["success", "failure", "all"] = Field(
        "success", description="episodes to take; success also takes those without an outcome")
    commander: Literal["human", "policy", "all"] = Field(
        "all", description="take what a person commanded, or what a policy did: whole episodes, "
        "and of those in which both did the parts, each as an episode")
    lead_up: Annotated[float, Flag(metavar="S")] = Field(
        0.0, ge=0, le=60, allow_inf_nan=False, description="with --commander policy: leave out so "
        "much of what it did before each takeover by a person, s")
    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = Field(
        (), description="tasks or instructions to take")
    workers: WorkerCount = None
    ray: RayAddress = None
    resume: bool = Field(False, description="continue an interrupted export")

    @field_validator("size")
    @classmethod
    def _two_numbers(cls, size: str) -> str:
        if not size:
            return size
        numbers = size.lower().split("x")
        if len(numbers) > 2 or not all(n.isdigit() and 1 <= int(n) <= LARGEST_IMAGE
                                       for n in numbers):
            raise ValueError("give pixels like 96, or width and height like 128x96, up to "
                             f"{LARGEST_IMAGE}")
        return size

    @model_validator(mode="after")
    def _one_size(self):
        if self.size and self.config:
            raise ValueError(f"--size {self.size} and --config {self.config} both give a size; "
                             "leave one out")
        return self

    @model_validator(mode="after")
    def _lead_up_of_a_policy(self):
        if self.lead_up and self.commander != "policy":
            raise ValueError(f"--lead-up is {self.lead_up:g}, and --commander is "
                             f"{self.commander}; give --commander policy, or leave it out")
        return self

    @property
    def width_height(self) -> tuple[int, int]:
        """Width and height of the stored images, without a configuration."""
        numbers = (self.size or "96").lower().split("x")
        return int(numbers[0]), int(numbers[-1])
