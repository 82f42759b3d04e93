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

"""What a page may ask for: every message of a browser is checked here, once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.joy_layout import AXES

# Largest message that is read, bytes: the longest instruction takes 4 kB.
LARGEST = 16_384
Axis = Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)]


class Drive(Config):
    """The state of the driver's controls, about 30 times a second.

    Attributes:
        held: whether the dead man is held.
        heard: when the server sent the newest state that the page has, by the server's clock.
        axes: as in ``joy_layout``.
    """

    do: Literal["drive"]
    held: bool
    heard: float = Field(ge=0.0, allow_inf_nan=False)
    axes: tuple[Axis, ...] = Field(min_length=AXES, max_length=AXES)


class Ask(Config):
    """Something without values.

    Attributes:
        do: take and leave the controls; lost: nobody looks at the page; show and hide the
            cameras; stop, enable, hold and reset the arm; mode: joints or end effector.
        id: is sent back with the answer.
    """

    do: Literal["take", "leave", "lost", "show", "hide", "stop", "enable", "hold", "reset", "mode"]
    id: int = Field(0, ge=0, le=2**53)


class Seen(Config):
    """So many pictures were shown since the last time."""

    do: Literal["seen"]
    pictures: int = Field(ge=1, le=10_000)


class Instruct(Config):
    """A new instruction."""

    do: Literal["instruct"]
    text: str = Field(min_length=1, max_length=1000)
    id: int = Field(0, ge=0, le=2**53)


class Label(Config):
    """A recorded episode begins, ends or is thrown away."""

    do: Literal["label"]
    what: Literal["start", "success", "failure", "discard"]
    id: int = Field(0, ge=0, le=2**53)


Request = Drive | Seen | Ask | Instruct | Label
_REQUEST = TypeAdapter(Annotated[Request, Field(discriminator="do")])


def read_request(text: str) -> Request:
    """Return what a message asks for.

    Raises:
        InputError: it is no JSON, unknown, incomplete, or a value is out of range.
    """
    try:
        return _REQUEST.validate_json(text)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the message"
        raise InputError(f"The page sent something that cannot be used: {place}: "
                         f"{first['msg']}; reload it.") from None
