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

"""The part of a robot contract about where commands go."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import unknown
from tinyvla_ros.core.ros.topic_names import TopicName

# Fields of geometry_msgs/Twist.
TWIST_AXES = ("linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z")


class Linear(Config):
    """A number in other units: ``scale * value + offset``."""

    scale: float = Field(1.0, allow_inf_nan=False)
    offset: float = Field(0.0, allow_inf_nan=False)

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0.0:
            raise ValueError("scale 0 would make a constant of it; give another")
        return scale


class OutputChannel(Linear):
    """Where a channel goes: ``scale * value + offset`` to ``to`` (default: the channel's name)."""

    to: str = ""


class Output(Config):
    """Common part of all outputs.

    Attributes:
        topic: where commands go.
        channels: channel -> where in the message; a plain list keeps the names.
        quantity: what the values in its messages are.
    """

    quantity: ClassVar[Literal["position", "velocity", "any"]]

    topic: TopicName
    channels: dict[str, OutputChannel] = Field(min_length=1)

    @field_validator("channels", mode="before")
    @classmethod
    def _from_list(cls, value):
        if isinstance(value, list):
            return {name: {} for name in value}
        return value

    @model_validator(mode="after")
    def _targets_differ(self):
        targets = self.targets
        if len(set(targets)) != len(targets):
            raise ValueError(f"two channels go to the same place of {self.topic}")
        return self

    @property
    def targets(self) -> list[str]:
        """Names in the message, in the order of ``channels``."""
        return [c.to or name for name, c in self.channels.items()]


class JointTrajectoryOutput(Output):
    """trajectory_msgs/JointTrajectory for a joint_trajectory_controller; positions.

    Attributes:
        lead: seconds from sending a trajectory until it departs from the one before; at least
            what it takes to arrive and the controller's period, or the limits are not kept.
    """

    quantity = "position"
    type: Literal["joint_trajectory"]
    lead: float = Field(0.02, ge=0.0, le=0.5)


class TwistOutput(Output):
    """geometry_msgs/TwistStamped at the control rate, for MoveIt Servo; velocities.

    Attributes:
        frame: ``header.frame_id``.
    """

    quantity = "velocity"
    type: Literal["twist"]
    frame: str = Field(min_length=1)

    @model_validator(mode="after")
    def _targets_are_axes(self):
        for target in self.targets:
            if target not in TWIST_AXES:
                raise ValueError(unknown("twist axis", target, TWIST_AXES))
        return self


class PositionsOutput(Output):
    """std_msgs/Float64MultiArray at the control rate, for a forward_command_controller."""

    quantity = "position"
    type: Literal["positions"]


class ChunkOutput(Output):
    """The whole chunk as the policy made it, for ``sim_bridge_node`` and your own nodes."""

    quantity = "any"
    type: Literal["chunk"]

    @model_validator(mode="after")
    def _unchanged(self):
        if any(c != OutputChannel() for c in self.channels.values()):
            raise ValueError("a chunk output sends channels under their own names, unscaled; "
                             "give channels as a list")
        return self


AnyOutput = Annotated[JointTrajectoryOutput | TwistOutput | PositionsOutput | ChunkOutput,
                      Field(discriminator="type")]
