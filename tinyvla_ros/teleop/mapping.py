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

"""What the axes and buttons of a gamepad, a space mouse or the keyboard mean.

Files lie in ``config/teleop``; docs/teleop.md explains them with an example.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tinyvla_ros.core.configuration import Config, parse, read_yaml
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.resources import share_directory

Direction = Literal["x", "y", "z", "roll", "pitch", "yaw"]
DIRECTIONS: tuple[Direction, ...] = ("x", "y", "z", "roll", "pitch", "yaw")
MOST = 255  # axes or buttons of a device


class Trigger(Config):
    """An axis that does not rest at zero.

    Attributes:
        rest: its value when it is let go of. Before it is moved some drivers say 0: that is
            taken for this.
        pressed: its value when it is pressed all the way.
    """

    rest: float = Field(ge=-1.0, le=1.0)
    pressed: float = Field(ge=-1.0, le=1.0)

    @model_validator(mode="after")
    def _moves(self):
        if self.rest == self.pressed:
            raise ValueError(f"rest and pressed are both {self.rest:g}; give two different values")
        return self


class Control(Config):
    """What moves one joint or one direction: axes, or buttons that count as a full axis.

    Attributes:
        axis: its number in the message, from 0.
        scale: share of the full speed at full deflection; negative turns it round.
        minus_axis: a second axis that moves it the other way, as one of two triggers.
        plus: number of a button that moves it forward.
        minus: number of a button that moves it backward.
    """

    axis: int | None = Field(None, ge=0, le=MOST)
    scale: float = Field(1.0, ge=-1.0, le=1.0)
    minus_axis: int | None = Field(None, ge=0, le=MOST)
    plus: int | None = Field(None, ge=0, le=MOST)
    minus: int | None = Field(None, ge=0, le=MOST)

    @model_validator(mode="after")
    def _is_something(self):
        if all(n is None for n in (*self.axes, *self.buttons)):
            raise ValueError("give axis, minus_axis, plus or minus")
        if self.scale == 0.0:
            raise ValueError("scale 0 would move nothing; leave the control out")
        return self

    @property
    def axes(self) -> tuple[int | None, int | None]:
        """The axes that move it forward and backward."""
        return self.axis, self.minus_axis

    @property
    def buttons(self) -> tuple[int | None, int | None]:
        """The buttons that move it forward and backward."""
        return self.plus, self.minus


class EpisodeButtons(Config):
    """Buttons for recording demonstrations; null for none.

    Attributes:
        start: an episode begins.
        success: the running one ends, and counts as a success.
        failure: the running one ends, and counts as a failure.
        discard: the running one is thrown away and will be recorded again.
        next: the next step: begin; end with success; begin when the pause is over.
    """

    start: int | None = Field(None, ge=0, le=MOST)
    success: int | None = Field(None, ge=0, le=MOST)
    failure: int | None = Field(None, ge=0, le=MOST)
    discard: int | None = Field(None, ge=0, le=MOST)
    next: int | None = Field(None, ge=0, le=MOST)


class Mapping(Config):
    """The whole of a ``config/teleop`` file.

    Attributes:
        name: of the device, for messages.
        dead_man: number of the button that must be held for anything to move.
        dead_zone: deflections up to this count as none.
        triggers: axis -> where it rests, of axes that do not rest at zero.
        mode: number of the button that switches between joints and end effector.
        gripper: what opens (forward) and closes (backward) the gripper.
        joints: what moves each joint: by number from 1 in the order of the contract's channels,
            the gripper left out, or by the name of a channel.
        end_effector: what moves the end effector: ``x``, ``y``, ``z``, ``roll``, ``pitch``,
            ``yaw`` in the axes of the arm's base.
        episode: buttons for recording demonstrations.
        stuck_after: seconds for which a deflection may not change at all; after that it must
            return to rest before it counts again.
    """

    name: str = Field(min_length=1)
    dead_man: int = Field(ge=0, le=MOST)
    dead_zone: float = Field(0.1, ge=0.01, le=0.9)
    triggers: dict[int, Trigger] = {}
    mode: int | None = Field(None, ge=0, le=MOST)
    gripper: Control | None = None
    joints: dict[str, Control] = {}
    end_effector: dict[Direction, Control] = {}
    episode: EpisodeButtons = EpisodeButtons()
    stuck_after: float = Field(20.0, gt=0.0, le=600.0)

    @classmethod
    def load(cls, name: str) -> Mapping:
        """Read a file, or one that is shipped, by its name without ``.yaml``.

        Raises:
            InputError: one sentence with file, field, value and alternatives.
        """
        shipped = {p.stem: p for p in sorted((share_directory() / "config" / "teleop")
                                             .glob("*.yaml"))}
        if name not in shipped and "/" not in name and not Path(name).suffix:
            raise InputError(f"{unknown('mapping', name, shipped)} Or give a file.")
        path = shipped.get(name, Path(name))
        return parse(cls, read_yaml(path), str(path))

    @field_validator("joints", mode="before")
    @classmethod
    def _numbers_are_names(cls, value):
        return {str(k): v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _a_button_has_one_meaning(self):
        single = {"dead_man": self.dead_man, "mode": self.mode,
                  **{f"episode.{k}": v for k, v in self.episode.model_dump().items()}}
        if self.gripper is not None:
            single |= {"gripper.plus": self.gripper.plus, "gripper.minus": self.gripper.minus}
        seen: dict[int, str] = {}
        for place, number in single.items():
            if number is None:
                continue
            if number in seen:
                raise ValueError(f"button {number} is {seen[number]} and {place}; give each "
                                 "its own")
            seen[number] = place
        for place, control in self.controls():
            for number in control.buttons:
                if number in seen and not place.startswith("gripper"):
                    raise ValueError(f"button {number} is {seen[number]} and moves {place}; "
                                     "give each its own")
        return self

    def controls(self) -> Iterator[tuple[str, Control]]:
        """Yield every control with its place in the file."""
        yield from ((f"joints.{k}", c) for k, c in self.joints.items())
        yield from ((f"end_effector.{k}", c) for k, c in self.end_effector.items())
        if self.gripper is not None:
            yield "gripper", self.gripper

    @property
    def needed_axes(self) -> int:
        """Length that ``axes`` of a message must have at least."""
        used = [n for _, c in self.controls() for n in c.axes if n is not None]
        return max([-1, *used, *self.triggers]) + 1

    @property
    def needed_buttons(self) -> int:
        """Length that ``buttons`` of a message must have at least."""
        used = [n for _, c in self.controls() for n in c.buttons]
        used += [self.dead_man, self.mode, *self.episode.model_dump().values()]
        return max(n for n in used if n is not None) + 1
