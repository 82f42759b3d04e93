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

"""What a viewer is told, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import numpy as np

# Groups of values that every viewer arranges by itself; the others are what sensors measure.
MEASURED, COMMAND, SPEED = "measured", "command", "speed"
JUMP, BEND, LATENCY = "seam jump", "seam bend", "latency"
CHANNEL_GROUPS = (MEASURED, COMMAND, SPEED, JUMP, BEND)


class Level(IntEnum):
    """How bad an event is, as in diagnostic_msgs/DiagnosticStatus."""

    INFO = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Limits:
    """Limits of an action channel.

    Attributes:
        unit: of the values.
        low, high: range; None for a joint that turns without end.
        velocity: largest change per second; None if there is none.
    """

    unit: str
    low: float | None
    high: float | None
    velocity: float | None


@dataclass(frozen=True)
class PlanAhead:
    """What the arm is going to do, as known when a chunk took over.

    Attributes:
        at_ns: when it took over.
        begin_ns: time of the first row.
        dt_ns: from row to row.
        channels: names.
        rows: (n, channels) float32, those from ``at_ns`` on.
    """

    at_ns: int
    begin_ns: int
    dt_ns: int
    channels: tuple[str, ...]
    rows: np.ndarray


@dataclass
class Contents:
    """What there is to arrange.

    Attributes:
        cameras: names, in the order in which they came.
        channels: action channels, likewise.
        limits: of channels, where a robot contract is known.
        groups: group of values -> their names; all of ``CHANNEL_GROUPS`` by channel.
    """

    cameras: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    limits: dict[str, Limits] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sensors(self) -> list[str]:
        """Groups of values that sensors measure."""
        return [g for g in self.groups if g not in (*CHANNEL_GROUPS, LATENCY)]


class Viewer(Protocol):
    """Takes what happens; every ``at_ns`` is a time of ``SceneTime``."""

    def wants_image(self, camera: str) -> bool:
        """Return whether an image of a camera would be looked at: encoding one takes time."""

    def image(self, at_ns: int, camera: str, data: bytes, kind: str) -> None:
        """Take an encoded image; ``kind`` is ``jpeg`` or ``png``."""

    def values(self, at_ns: int, group: str, values: dict[str, float]) -> None:
        """Take numbers by name."""

    def plan(self, plan: PlanAhead) -> None:
        """Take a plan that replaces the one before."""

    def state(self, at_ns: int, name: str, text: str) -> None:
        """Take what something is from now on: ``policy``, ``episode``, ``commander`` ..."""

    def event(self, at_ns: int, level: Level, source: str, text: str) -> None:
        """Take something that happened."""

    def arrange(self, contents: Contents) -> None:
        """Arrange what there is; called again when there is more."""

    def flush(self) -> None:
        """Hand over what was collected until now."""
