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

"""Limits of action channels, from the robot description and parameters, or conservative."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tinyvla_ros.core.commented_yaml import PLACEHOLDER, TODO, Noted
from tinyvla_ros.robot_draft.urdf import UrdfJoint

# Share of a stated speed to begin with, and what to take where none is stated, rad/s and m/s.
SPEED_SHARE, UNKNOWN_SPEED = 1 / 3, {"rad": 0.5, "m": 0.05}
# Seconds to reach the largest speed.
RISE_S = 0.2
# How far a first command may be from the measured joint: what it moves in so many seconds.
JUMP_S = 0.15


def joint_channel(name: str, joint: UrdfJoint | None, position: float | None,
                  limits: Mapping[str, float]) -> dict[str, Noted]:
    """Return the fields of the channel of a joint's position.

    Args:
        name: of the joint.
        joint: what the robot description says of it.
        position: measured now; None if it is not, NaN if it is not finite.
        limits: what parameters say, like ``max_velocity`` -> value.
    """
    unit = "m" if joint is not None and joint.kind == "prismatic" else "rad"
    fields = {"unit": Noted(unit, f"robot_description: {joint.kind}" if joint is not None else
                            f"{TODO}rad if it turns, m if it slides (no robot_description)")}
    measured = position is not None and math.isfinite(position)
    fields |= _range(joint, position if measured else None, unit, limits)
    speed, note = _speed(joint, unit, limits)
    fields["velocity"] = Noted(speed, note)
    if "max_acceleration" in limits:
        fields["acceleration"] = Noted(_digits(limits["max_acceleration"]),
                                       "parameters: max_acceleration")
    else:
        fields["acceleration"] = Noted(_digits(speed / RISE_S), f"{TODO}not stated; full speed "
                                       f"within {RISE_S} s")
    if not measured:
        fields["hold"] = Noted("last", f"{TODO}not measured ({_why(position)}), so no 'state' and "
                               "no 'jump': nothing catches a first command that is far away")
        return fields
    fields["jump"] = Noted(_digits(max(speed * JUMP_S, 0.01)), f"{TODO}how far a command may be "
                           f"from the measured joint, {unit}")
    fields["state"] = Noted(name, f"joint states: now {position:.3f}")
    return fields


def _why(position: float | None) -> str:
    return "it is in no joint state" if position is None else "its joint state is not finite"


def _range(joint: UrdfJoint | None, position: float | None, unit: str,
           limits: Mapping[str, float]) -> dict[str, Noted]:
    if joint is not None and joint.kind == "continuous" and position is not None:
        return {"continuous": Noted(True, "robot_description: turns without end")}
    if "min_position" in limits and "max_position" in limits:
        return {"low": Noted(limits["min_position"], "parameters: min_position"),
                "high": Noted(limits["max_position"], "parameters: max_position")}
    if joint is not None and joint.low is not None:
        return {"low": Noted(_inward(joint.low, math.ceil), f"robot_description: {joint.low:g}"),
                "high": Noted(_inward(joint.high, math.floor),
                              f"robot_description: {joint.high:g}")}
    now = "" if position is None else f"; now {position:.3f}"
    said = "the robot_description has none" if joint is not None else "no robot_description"
    return {"low": Noted(PLACEHOLDER, f"{TODO}smallest position, {unit}{now} ({said})"),
            "high": Noted(PLACEHOLDER, f"{TODO}largest position, {unit}{now} ({said})")}


def _speed(joint: UrdfJoint | None, unit: str, limits: Mapping[str, float]) -> tuple[float, str]:
    if limits.get("max_velocity", 0.0) > 0.0:
        stated, where = limits["max_velocity"], "parameters"
    elif joint is not None and joint.velocity is not None and not joint.speed_is_placeholder:
        stated, where = joint.velocity, "robot_description"
    else:
        said = f"robot_description says {joint.velocity:g}, which is a placeholder" \
            if joint is not None and joint.velocity is not None else "not stated"
        return UNKNOWN_SPEED[unit], f"{TODO}{said}; a slow one, {unit}/s"
    return _digits(stated * SPEED_SHARE), f"{where}: a third of {stated:g} {unit}/s, to begin with"


def twist_channels() -> dict[str, dict[str, Noted]]:
    """Return channels of a hand's velocity, with their place in the message."""
    channels = {}
    for axis in ("linear.x", "linear.y", "linear.z", "angular.z"):
        name = f"ee_{'v' if axis.startswith('linear') else 'w'}{axis[-1]}"
        unit, reach = ("m/s", 0.05) if "v" in name else ("rad/s", 0.25)
        channels[name] = {
            "unit": Noted(unit, "of the twist"),
            "low": Noted(-reach, f"{TODO}a slow one"), "high": Noted(reach, f"{TODO}a slow one"),
            "velocity": Noted(5 * reach, f"{TODO}largest change per second, the acceleration"),
            "hold": Noted("zero", "a velocity")}
    return channels


def chunk_channel(name: str, seen: tuple[float, float] | None) -> dict[str, Noted]:
    """Return the fields of a channel that goes out in whole chunks."""
    values = f", {seen[0]:.3g} to {seen[1]:.3g} was sent" if seen else ""
    moves = name.startswith(("ee_d", "ee_v", "ee_w"))
    return {
        "unit": Noted(PLACEHOLDER, f"{TODO}the checkpoint's unit of {name}, see action.units in "
                      "its config.json"),
        "low": Noted(PLACEHOLDER, f"{TODO}smallest value of {name}{values}"),
        "high": Noted(PLACEHOLDER, f"{TODO}largest value of {name}{values}"),
        "hold": Noted("zero" if moves else "last", f"{TODO}while the arm holds: zero for "
                      "increments and velocities, last for others")}


def _digits(value: float) -> float:
    return float(f"{value:.2g}")


def _inward(value: float, rounding) -> float:
    return rounding(value * 1e3) / 1e3
