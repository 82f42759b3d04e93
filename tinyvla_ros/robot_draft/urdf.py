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

"""Joints in a robot description (URDF, http://wiki.ros.org/urdf/XML/joint)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

from tinyvla_ros.core.errors import InputError

# Nobody's joint turns so fast, rad/s or m/s: what exporters write where nothing is known.
PLACEHOLDER_SPEED = 10.0
# A joint with ends does not turn further, rad or m.
LARGEST_POSITION = 100.0


@dataclass(frozen=True)
class UrdfJoint:
    """A joint that moves.

    Attributes:
        name: of the joint.
        kind: ``revolute``, ``continuous`` or ``prismatic``.
        low: smallest position, rad or m; None if not stated, or as good as not. high likewise.
        velocity: largest speed, as stated; None if it is not.
        mimics: the joint that moves this one, empty for a joint of its own.
    """

    name: str
    kind: str
    low: float | None
    high: float | None
    velocity: float | None
    mimics: str = ""

    @property
    def speed_is_placeholder(self) -> bool:
        """Whether the stated speed says nothing about the joint."""
        return self.velocity is not None and not 0.0 < self.velocity < PLACEHOLDER_SPEED


def read_urdf(text: str) -> tuple[str, dict[str, UrdfJoint]]:
    """Return the robot's name and its joints that move.

    Raises:
        InputError: it is no URDF.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as err:
        raise InputError(f"The robot description is not valid XML ({err}); check what "
                         "robot_state_publisher was given.") from None
    if root.tag != "robot":
        raise InputError(f"The robot description is a <{root.tag}>, not a <robot>; check what "
                         "robot_state_publisher was given.")
    joints = {}
    for element in root.findall("joint"):
        kind, name = element.get("type", ""), element.get("name", "")
        if kind not in ("revolute", "continuous", "prismatic") or not name:
            continue
        limit, mimic = element.find("limit"), element.find("mimic")
        low, high, velocity = (_number(limit, key) for key in ("lower", "upper", "velocity"))
        if kind == "continuous" or low is None or high is None or not low < high or \
                max(-low, high) > LARGEST_POSITION:
            low = high = None
        joints[name] = UrdfJoint(name, kind, low, high, velocity,
                                 "" if mimic is None else mimic.get("joint", ""))
    return root.get("name", ""), joints


def _number(element: ElementTree.Element | None, key: str) -> float | None:
    try:
        value = float(element.get(key)) if element is not None else math.nan
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None
