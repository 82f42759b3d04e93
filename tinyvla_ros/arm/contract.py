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

"""The robot contract: topics, names, units, rates, limits and outputs of one arm, in one file.

Files lie in ``config/robots``; docs/arm.md explains every field with examples.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.contract_inputs import (
    CameraStream,
    JointStream,
    PoseStream,
    Stamps,
    VectorStream,
    WrenchStream,
)
from tinyvla_ros.arm.contract_outputs import AnyOutput
from tinyvla_ros.arm.contract_states import StateSources
from tinyvla_ros.arm.pace import PaceSetting
from tinyvla_ros.core.angles import turn_of
from tinyvla_ros.core.commented_yaml import refuse_placeholders
from tinyvla_ros.core.configuration import HIDDEN_TAGS, Config, override, parse, read_yaml
from tinyvla_ros.core.errors import unknown
from tinyvla_ros.core.ros.topic_names import TopicName

# A channel must be able to come to rest within this time, s: nothing stops an arm sooner.
LONGEST_BRAKE_S = 5.0
Violation = Literal["clamp", "hold", "stop"]


def _one_or_several(value: Any) -> str:
    """Tell the fields of one topic from topics by name; both tags stay out of messages."""
    several = isinstance(value, dict) and value and not JointStream.model_fields.keys() & value \
        and all(isinstance(v, dict | JointStream) for v in value.values())
    return SEVERAL if several else ONE


ONE, SEVERAL = HIDDEN_TAGS
JointStates = Annotated[Annotated[JointStream, Tag(ONE)]
                        | Annotated[dict[str, JointStream], Tag(SEVERAL)],
                        Discriminator(_one_or_several)]


class Channel(Config):
    """Limits of one action channel, in the checkpoint's unit.

    Attributes:
        unit: must be the checkpoint's.
        low: smallest value; left out for a continuous joint.
        high: largest value; likewise.
        continuous: the channel is the angle of a joint that turns without end. It has no range,
            and every difference is taken by the shortest way, whether its driver counts turns or
            wraps from pi to -pi.
        velocity: largest change per second; null for no limit.
        acceleration: largest change of that per second; null for no limit.
        jump: largest difference between ``state`` and its last command, or its first one; goes
            with ``state``.
        state: the state that measures this channel, for channels that are positions.
        hold: what the channel gets while the arm holds: the last command, or zero (for velocities
            and increments).
    """

    unit: str
    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    continuous: bool = False
    velocity: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    acceleration: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    jump: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    state: str | None = None
    hold: Literal["last", "zero"] = "last"

    @property
    def turn(self) -> float:
        """One turn of a continuous channel in its unit; 0 for any other."""
        return turn_of(self.unit) if self.continuous else 0.0

    @model_validator(mode="before")
    @classmethod
    def _continuous_has_no_ends(cls, data):
        if not isinstance(data, dict) or data.get("continuous") is not True:
            return data
        unit = data.get("unit")
        half = turn_of(unit) / 2 if isinstance(unit, str) else 0.0
        if not half:
            raise ValueError(f"continuous is for angles, and the unit is {unit!r}; give rad or "
                             "deg, or leave continuous out")
        if data.get("state") is None:
            raise ValueError("continuous needs state, the measured angle that commands are kept "
                             "near to")
        for name, value in (("low", -half), ("high", half)):
            if data.get(name, value) != value:
                raise ValueError(f"a continuous channel has no ends; leave out {name} "
                                 f"({data[name]}), or continuous")
        return data | {"low": -half, "high": half}

    @model_validator(mode="after")
    def _limits_make_sense(self):
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.hold == "zero" and not self.low <= 0.0 <= self.high:
            raise ValueError(f"hold is zero, which lies outside of {self.low} to {self.high}")
        if self.jump is not None and self.state is None:
            raise ValueError("jump needs state, the measured value it is compared with")
        if self.acceleration is not None and self.velocity is None:
            raise ValueError("acceleration needs a velocity limit beside it")
        if self.acceleration is not None and self.hold == "zero":
            raise ValueError("a channel that holds at zero is a velocity or an increment, whose "
                             "change velocity limits; leave acceleration out")
        if self.state is not None and self.hold == "zero":
            raise ValueError("a channel with a state is a position, and zero is no place to "
                             "hold; set hold to last")
        if self.state is not None and self.jump is None:
            raise ValueError("state needs jump, the largest difference between it and a first "
                             "command: without one a wrong measurement would be commanded")
        return self

    @model_validator(mode="after")
    def _can_come_to_rest(self):
        if self.acceleration is not None:
            time, changes = self.velocity / self.acceleration, "acceleration"
        elif self.hold == "zero" and self.velocity is not None:
            time, changes = max(-self.low, self.high) / self.velocity, "velocity"
        else:
            return self
        if time > LONGEST_BRAKE_S:
            raise ValueError(f"{changes} {getattr(self, changes):g} lets it come to rest in "
                             f"{time:.3g} s only; raise it so that {LONGEST_BRAKE_S:g} s suffice")
        return self


class OnViolation(Config):
    """What a violation of each limit leads to.

    clamp: the value is moved to the limit; hold: the chunk is refused and the arm holds until a
    good one comes; stop: the arm holds until ``~/reset``. Values that are not finite are never
    clamped, nor is a jump: what is wrong may be the measured value.
    """

    finite: Literal["hold", "stop"] = "stop"
    position: Violation = "clamp"
    velocity: Violation = "clamp"
    acceleration: Violation = "clamp"
    jump: Literal["hold", "stop"] = "hold"


class Execution(Config):
    """How chunks are executed.

    Attributes:
        join: how a new chunk is blended with the old one (docs/arm.md): ``replace``,
            ``ensemble``, ``rtc``, ``committed``; ``auto`` for ``committed`` where the checkpoint
            was trained for it and ``replace`` where not.
        max_duration: seconds of a chunk after its observation that are sent at most: what an arm
            still does after the policy died.
        replan_every: rows to execute before the next inference starts; 0 for as soon as
            there is a new observation.
        catch_up: share of what was left undone that each row of a new chunk makes up for, where
            increments or velocities were skipped while it was computed; 0 for nothing.
        takeover: how far a new chunk may depart from the old one in each row, as a share of a
            channel's range, where rows were skipped while it was computed; 1 for at once.
        pace: how fast a chunk is executed (docs/arm.md): 1 as it was demonstrated, 0.5 in twice
            the time; ``auto`` becomes slower the longer chunks take from image to command.
    """

    join: ChunkBlending = "auto"
    max_duration: float = Field(1.0, gt=0.0, le=60.0)
    replan_every: int = Field(0, ge=0, le=256)
    catch_up: float = Field(0.5, ge=0.0, le=1.0)
    takeover: float = Field(1.0, gt=0.0, le=1.0)
    pace: PaceSetting = 1.0

    def blending(self, most_committed: int) -> ChunkBlending:
        """Return ``join``, or what ``auto`` is for a checkpoint that takes so many rows."""
        if self.join != "auto":
            return self.join
        return "committed" if most_committed else "replace"


class RobotContract(Config):
    """The whole of a ``config/robots`` file.

    Attributes:
        name: of the arm, for messages.
        cameras: camera name of the checkpoint -> topic.
        more_cameras: the same, of those that are there only for checkpoints that use them. Unless
            a recipe names them, they are not exported.
        joint_states: the topic of joint states, or several by name, such as ``left`` and
            ``right``; null if the checkpoint's state names no joint.
        ee_pose: null if the checkpoint's state does not name the end effector.
        wrenches: name -> topic of forces and torques.
        vectors: name -> topic of other numbers.
        instruction: topic of the instruction.
        stamps: what stamps an observation may have.
        actions: action channel of the checkpoint -> limits.
        on_violation: what a violation of a limit leads to.
        outputs: where commands go; every channel goes to exactly one.
        execution: how chunks follow each other.
    """

    name: str = Field(min_length=1)
    cameras: dict[str, CameraStream] = Field(min_length=1)
    more_cameras: dict[str, CameraStream] = {}
    joint_states: JointStates | None = None
    ee_pose: PoseStream | None = None
    wrenches: dict[str, WrenchStream] = {}
    vectors: dict[str, VectorStream] = {}
    instruction: TopicName = "instruction"
    stamps: Stamps = Stamps()
    actions: dict[str, Channel] = Field(min_length=1)
    on_violation: OnViolation = OnViolation()
    outputs: tuple[AnyOutput, ...] = Field(min_length=1)
    execution: Execution = Execution()

    @classmethod
    def load(cls, path: str | Path) -> RobotContract:
        """Read a contract.

        Raises:
            InputError: one sentence with file, field, value and alternatives.
        """
        data = read_yaml(path)
        refuse_placeholders(path)
        return parse(cls, data, str(path))

    def with_execution(self, join: ChunkBlending | Literal[""] = "",
                       pace: float = 0.0, settings: Iterable[str] = ()) -> RobotContract:
        """Return this contract with another ``execution.join`` or ``pace``, where one is given.

        ``settings`` are further fields of ``execution``, such as ``catch_up=0``.

        Raises:
            InputError: a value is out of range, or there is no such field.
        """
        changes = {n: v for n, v in (("join", join), ("pace", pace)) if v}
        data = override(self.execution.model_dump(), settings, Execution) | changes
        return self.model_copy(update={"execution": parse(Execution, data, "the options")})

    @property
    def all_cameras(self) -> dict[str, CameraStream]:
        """Camera name of the checkpoint -> topic, of all there may be."""
        return self.cameras | self.more_cameras

    @property
    def sources(self) -> StateSources:
        """Where states come from; made anew, so keep it."""
        return StateSources(self.joint_states, self.ee_pose, self.wrenches, self.vectors)

    @property
    def joint_names(self) -> dict[str, str]:
        """State name of the checkpoint -> joint name on its topic, where they differ."""
        return {state: joint for stream in self.sources.joints.values()
                for state, joint in stream.names.items()}

    @property
    def continuous_states(self) -> dict[str, float]:
        """State of a joint that turns without end -> one turn in its unit."""
        named = (n for stream in self.sources.joints.values() for n in stream.continuous)
        return dict.fromkeys(named, turn_of("rad")) | {
            c.state: c.turn for c in self.actions.values() if c.continuous}

    @model_validator(mode="after")
    def _a_camera_has_one_place(self):
        if both := self.cameras.keys() & self.more_cameras.keys():
            raise ValueError(f"{', '.join(sorted(both))} is in cameras and in more_cameras; give "
                             "every camera one place")
        return self

    @model_validator(mode="after")
    def _a_state_has_one_source(self):
        sources = self.sources
        if problem := sources.problem():
            raise ValueError(problem)
        for name, channel in self.actions.items():
            source = sources.listed.get(channel.state)
            if source and (source.field in ("velocity", "effort")
                           or source.stream.startswith("wrench/")):
                raise ValueError(f"actions.{name}.state is {channel.state!r}, which is no "
                                 "position; name the state that the channel moves")
        return self

    @model_validator(mode="after")
    def _a_joint_is_continuous_for_all(self):
        for stream in self.sources.joints.values():
            for name, channel in self.actions.items():
                if channel.state in stream.continuous and not channel.continuous:
                    raise ValueError(f"joint_states.continuous names {channel.state!r}, the state "
                                     f"of channel {name!r}; write continuous: true there")
        return self

    @model_validator(mode="after")
    def _every_channel_goes_to_one_output(self):
        seen: dict[str, str] = {}
        for output in self.outputs:
            if output.topic in seen.values():
                raise ValueError(f"two outputs go to {output.topic}, whose controller takes one "
                                 "command at a time; name all channels in one output")
            for channel in output.channels:
                if channel not in self.actions:
                    raise ValueError(unknown("channel in outputs", channel, self.actions))
                if channel in seen:
                    raise ValueError(f"channel {channel!r} goes to {seen[channel]} and to "
                                     f"{output.topic}; send it to one")
                seen[channel] = output.topic
        for channel in self.actions:
            if channel not in seen:
                raise ValueError(f"channel {channel!r} goes to no output; name it in one")
        return self

    @model_validator(mode="after")
    def _holds_fit_outputs(self):
        for output in self.outputs:
            for channel in output.channels:
                hold = self.actions[channel].hold
                if output.quantity == "position" and hold == "zero":
                    raise ValueError(f"channel {channel!r} goes to {output.topic} as a position; "
                                     "set its hold to last")
                if output.quantity == "velocity" and hold == "last":
                    raise ValueError(f"channel {channel!r} goes to {output.topic} as a velocity; "
                                     "set its hold to zero")
        return self
