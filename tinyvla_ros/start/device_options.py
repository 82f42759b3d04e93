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

"""What a person drives an arm with, as arguments of the graphs in which one may."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.start.node_description import given_options


class DeviceOptions(Config):
    """The devices, and what their controls do."""

    mapping: str = Field("", description="What axes and buttons mean: game_controller, xbox, "
                         "spacenav, keyboard, or a file like those in config/teleop; empty for "
                         "keyboard with the keyboard, game_controller with joy and a leader. "
                         "none for a leader that ~/enable of teleop_node engages.")
    leader: str = Field("", description="File that says which joint of the leader leads which "
                        "channel; empty for equal names.")
    mode: Literal["", "joints", "end_effector"] = Field(
        "", description="What the controls move at the start; empty for joints where there are "
        "some.")
    description: str = Field("", description="URDF or MJCF file with the arm's kinematics; empty "
                             "for topic robot_description.")
    ee_frame: str = Field("", description="Link or site that is moved as the end effector; empty "
                          "for a usual name such as gripperframe or tool0, else the last link.")
    gripper_opens: Literal["high", "low"] = Field(
        "high", description="Which end of the gripper's range is open.")
    speed: float = Field(0.25, gt=0.0, le=1.0, description="Speed at full deflection, as a share "
                         "of the contract's limits.")


def device_parameters(options: DeviceOptions) -> dict[str, object]:
    """Return a node's parameters of the devices, with absolute paths."""
    files = {name: str(Path(value).resolve()) for name in ("leader", "description")
             if (value := getattr(options, name))}
    mapping = {"": "game_controller", "none": ""}.get(options.mapping, options.mapping)
    if Path(mapping).suffix:
        mapping = str(Path(mapping).resolve())
    return {"mapping": mapping, **files,
            **given_options(options, "mode", "ee_frame", "gripper_opens", "speed")}
