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

"""Topics of our Foxglove server, and their JSON schemas."""

from __future__ import annotations

import re

from tinyvla_ros.view.viewer import BEND, COMMAND, JUMP, LATENCY, MEASURED, SPEED

PREFIX = "/view"
STATES, EVENTS, LIMITS = f"{PREFIX}/states", f"{PREFIX}/events", f"{PREFIX}/limits"
_TOPICS = {MEASURED: "measured", COMMAND: "command", SPEED: "speed_of_limit", JUMP: "seam_jump",
           BEND: "seam_bend", LATENCY: "latency_ms"}


def _object(**properties: dict) -> dict:
    return {"type": "object", "properties": properties}


def _list(**properties: dict) -> dict:
    return {"type": "array", "items": _object(**properties)}


_NUMBER, _TEXT = {"type": "number"}, {"type": "string"}
VALUES_SCHEMA = {"title": "tinyvla.Values",
                 **_object(values=_list(name=_TEXT, value=_NUMBER))}
PLAN_SCHEMA = {"title": "tinyvla.Plan", **_object(rows=_list(ahead=_NUMBER, value=_NUMBER))}
LIMITS_SCHEMA = {"title": "tinyvla.Limits", **_object(
    limits=_list(name=_TEXT, unit=_TEXT, low=_NUMBER, high=_NUMBER, velocity=_NUMBER))}
STATES_SCHEMA = {"title": "tinyvla.States", **_object(
    policy=_TEXT, episode=_TEXT, instruction=_TEXT, commander=_TEXT)}


def _word(name: str) -> str:
    """Return a name with the letters that paths to messages may have."""
    return re.sub(r"[^A-Za-z0-9_/]+", "_", name)


def values_topic(group: str) -> str:
    """Return the topic of a group of values."""
    return f"{PREFIX}/{_TOPICS.get(group) or _word(group)}"


def camera_topic(camera: str) -> str:
    """Return the topic of a camera's images."""
    return f"{PREFIX}/camera/{_word(camera)}"


def plan_topic(channel: str) -> str:
    """Return the topic of the plan of an action channel."""
    return f"{PREFIX}/plan/{_word(channel)}"


def value_path(group: str, name: str) -> str:
    """Return the path to one number of a group."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{values_topic(group)}.values[:]{{name=="{quoted}"}}.value'
