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

"""What a robot contract says about its inputs: topics, rates and stamps."""

from __future__ import annotations

from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.ros.topic_names import TopicName

# States that the end-effector pose measures, m.
EE_STATE = ("ee_x", "ee_y", "ee_z")
# What follows the name of a wrench in its states: force (N), then torque (N m).
WRENCH_AXES = ("fx", "fy", "fz", "tx", "ty", "tz")


def wrench_states(name: str) -> tuple[str, ...]:
    """Return the six states of a wrench, by its name in the contract."""
    return tuple(f"{name}_{axis}" for axis in WRENCH_AXES)


class Stream(Config):
    """A topic the policy listens to.

    Attributes:
        topic: relative names are subject to the node's namespace and remapping.
        rate: messages per second the robot sends; null if it varies.
        timeout: seconds without a message, on a steady clock, after which the arm holds.
        reliable: ask for reliable delivery; best effort suits real sensors.
    """

    topic: TopicName
    rate: float | None = Field(None, gt=0.0, le=10000.0)
    timeout: float = Field(0.5, gt=0.0, le=60.0)
    reliable: bool = False

    @model_validator(mode="after")
    def _timeout_spans_a_message(self):
        if self.rate is not None and self.timeout * self.rate < 1.0:
            raise ValueError(f"timeout {self.timeout} s is shorter than the {1 / self.rate:.3g} s "
                             f"between two messages at {self.rate:g} Hz; raise it")
        return self


class CameraStream(Stream):
    """A camera topic.

    Attributes:
        compressed: the topic carries sensor_msgs/CompressedImage instead of Image.
        frozen_after: identical images in a row, byte for byte, that mean a frozen camera; null
            for simulated cameras, whose images repeat while nothing moves.
    """

    compressed: bool = False
    frozen_after: int | None = Field(None, ge=2, le=10000)


class JointStream(Stream):
    """A topic of joint states, one or several publishers.

    Attributes:
        names: state name of the checkpoint -> joint name on the topic, where they differ.
        prefix: what the states of this topic have before the joint's name, such as ``left_``.
        velocities: states whose velocity is a state, too: ``elbow`` gives ``elbow.velocity``.
        efforts: states whose effort is a state, too: ``elbow`` gives ``elbow.effort``.
        continuous: states, in rad, of joints that turn without end; those that are the ``state``
            of a ``continuous`` action channel need not be named.
    """

    topic: TopicName = "joint_states"
    names: dict[str, str] = {}
    prefix: str = ""
    velocities: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    continuous: tuple[str, ...] = ()


class PoseStream(Stream):
    """The end-effector pose topic (geometry_msgs/PoseStamped)."""

    topic: TopicName = "ee_pose"


class WrenchStream(Stream):
    """Force and torque (geometry_msgs/WrenchStamped), in the frame of its messages.

    The states of a wrench called ``wrist`` are ``wrist_fx wrist_fy wrist_fz`` (N) and
    ``wrist_tx wrist_ty wrist_tz`` (N m).
    """


class VectorStream(Stream):
    """Numbers without a header, such as those of a tactile sensor (std_msgs/Float64MultiArray).

    They count from when they arrive. What has to be paired more exactly with images should come
    with a stamp, for example as ``effort`` of joint states.

    Attributes:
        names: states, one for each number, in this order; any other length is refused.
    """

    names: tuple[str, ...] = Field(min_length=1)


class Stamps(Config):
    """What stamps an observation may have.

    Attributes:
        tolerance: largest difference between the parts of one observation, s.
        max_age: an observation older than this is not acted on, s; 0 for no limit.
        max_ahead: a stamp further in the future than this is refused, s; 0 for no limit.
    """

    tolerance: float = Field(0.01, ge=0.0, le=1.0)
    max_age: float = Field(0.5, ge=0.0, le=10.0)
    max_ahead: float = Field(0.1, ge=0.0, le=10.0)

    @property
    def tolerance_ns(self) -> int:
        """The tolerance in nanoseconds."""
        return round(self.tolerance * 1e9)
