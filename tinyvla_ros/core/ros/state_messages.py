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

"""Numbers out of messages about a robot's state, by attribute access only.

What is read is checked, as in ``messages``: an error is a ``MessageError`` of one sentence.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tinyvla_ros.core.errors import MessageError

_PLURALS = {"position": "positions", "velocity": "velocities", "effort": "efforts"}


class JointReader:
    """Reads some values of sensor_msgs/JointState, by name: the order of joints does not matter.

    Made for hundreds of messages a second: where a name is, is looked up only when the names of a
    message are not those of the one before.

    Args:
        wanted: what to call a value -> its field (position, velocity or effort) and joint.
    """

    def __init__(self, wanted: Mapping[str, tuple[str, str]]):
        self._wanted = defaultdict(list)
        for name, (field, joint) in wanted.items():
            self._wanted[field].append((name, joint))
        # The names of the last message, and per field where in it the values are.
        self._last: tuple[list[str], list[tuple[str, list[tuple[str, int]]]]] = ([], [])

    def __call__(self, msg) -> dict[str, float]:
        """Return the wanted values that a message has.

        A field without values is legal. Joints that are not wanted are not looked at.

        Raises:
            MessageError: a field has more or fewer values than there are names, a wanted joint is
                named twice, or a wanted value is not finite.
        """
        names, fields = self._last
        if msg.name != names:
            self._last = names, fields = self._places(list(msg.name))
        values: dict[str, float] = {}
        for field, places in fields:
            data = getattr(msg, field)
            if len(data) != len(names):
                _check_length(names, data, field)
                continue
            for name, index in places:
                value = values[name] = float(data[index])
                if not math.isfinite(value):
                    what = f"Joint {names[index]!r}" if field == "position" else \
                        f"The {field} of joint {names[index]!r}"
                    raise MessageError(f"{what} is {value}; {_PLURALS[field]} must be finite.")
        return values

    def _places(self, names: list[str]):
        fields = []
        for field, wanted in self._wanted.items():
            for _, joint in wanted:
                if names.count(joint) > 1:
                    raise MessageError(f"The joint state names {joint!r} twice; name every joint "
                                       "once.")
            fields.append((field, [(n, names.index(j)) for n, j in wanted if j in names]))
        return names, fields


def measured_joints(msg) -> tuple[str, ...]:
    """Return the joints of a sensor_msgs/JointState; none if it has no positions."""
    return tuple(msg.name) if len(msg.position) else ()


def joint_values(msg, field: str) -> dict[str, float]:
    """Return joint -> value of a field of a sensor_msgs/JointState, finite or not.

    Empty if the field is, which is legal. Of a joint named twice it is not known which value is
    meant: it gets NaN.

    Raises:
        MessageError: there are more or fewer values than names.
    """
    names, data = list(msg.name), list(getattr(msg, field))
    _check_length(names, data, field)
    values = dict(zip(names, map(float, data), strict=False))
    if data and len(values) != len(names):
        values |= {n: math.nan for n in names if names.count(n) > 1}
    return values


def _check_length(names: Sequence[str], data: Sequence[float], field: str) -> None:
    if len(data) not in (0, len(names)):
        plural = _PLURALS[field]
        raise MessageError(f"The joint state has {len(names)} names and {len(data)} {plural}; "
                           f"there must be as many {plural} as names, or none.")


def pose_values(msg) -> tuple[float, ...]:
    """Return the position (x, y, z) of a geometry_msgs/PoseStamped, m; finite or not."""
    point = msg.pose.position
    return point.x, point.y, point.z


def wrench_values(msg) -> tuple[float, ...]:
    """Return force (N) and torque (N m) of a geometry_msgs/WrenchStamped; finite or not."""
    force, torque = msg.wrench.force, msg.wrench.torque
    return force.x, force.y, force.z, torque.x, torque.y, torque.z


def vector_values(msg) -> Sequence[float]:
    """Return the numbers of a std_msgs/Float64MultiArray, finite or not.

    Raises:
        MessageError: its layout says that they begin elsewhere than at the first.
    """
    if msg.layout.data_offset:
        raise MessageError(f"The array has layout.data_offset {msg.layout.data_offset}; only 0 is "
                           "read, send the numbers alone.")
    return msg.data


def named_values(names: Sequence[str], data: Sequence[float], wanted: Mapping[str, int]
                 ) -> dict[str, float]:
    """Return the wanted ones of numbers that have no names in their message.

    Args:
        names: what the numbers are, in the message's order.
        data: the numbers.
        wanted: name -> its index.

    Raises:
        MessageError: there are more or fewer numbers than names, or a wanted one is not finite.
    """
    if len(data) != len(names):
        raise MessageError(f"The message has {len(data)} numbers, and the robot contract names "
                           f"{len(names)} ({', '.join(names)}); correct the driver or the names.")
    values = {name: float(data[index]) for name, index in wanted.items()}
    for name, value in values.items():
        if not math.isfinite(value):
            raise MessageError(f"{name!r} is {value}; it must be finite.")
    return values
