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

"""A Rerun blueprint for what there is, and the entities that it shows."""

from __future__ import annotations

import math

import rerun as rr
import rerun.blueprint as rrb

from tinyvla_ros.view.viewer import (
    BEND,
    CHANNEL_GROUPS,
    COMMAND,
    JUMP,
    LATENCY,
    MEASURED,
    SPEED,
    Contents,
)

TIMELINE = "time"
STATES, EVENTS = "states", "events"
# Plans that overlap in time take turns on so many entities.
PLAN_SLOTS = 6
# Red, green, blue of lines.
COLORS = {MEASURED: (78, 152, 226), COMMAND: (245, 119, 77), "plan": (160, 215, 160),
          "low": (214, 39, 40), "high": (214, 39, 40)}


def entity(*parts: str) -> str:
    """Return the path of an entity, whatever letters its parts have."""
    return rr.new_entity_path(list(parts))


def camera_entity(camera: str) -> str:
    """Return the entity of a camera's images."""
    return entity("cameras", camera)


def value_entity(group: str, name: str) -> str:
    """Return the entity of one number of a group."""
    if group in (MEASURED, COMMAND):
        return entity("channels", name, group)
    return entity(group, name)


def limit_entity(channel: str, end: str) -> str:
    """Return the entity of the ``low`` or ``high`` limit of a channel."""
    return entity("channels", channel, end)


def plan_entity(channel: str, slot: int) -> str:
    """Return the entity of every ``PLAN_SLOTS``-th plan of a channel."""
    return entity("channels", channel, "plan", str(slot))


def rerun_layout(contents: Contents) -> rrb.Blueprint:
    """Return the blueprint.

    Cameras above; below tabs: the channels with measured value, command, plan ahead and limits;
    sensors; latencies, speeds and seams. States and events beside.
    """
    cameras = [rrb.Spatial2DView(origin=camera_entity(c), name=c) for c in contents.cameras]
    tabs = [_grid(views, name) for views, name in (
        ([_plot(entity("channels", c), _title(contents, c)) for c in contents.channels],
         "Channels"),
        ([_plot(entity(g), g) for g in contents.sensors], "Sensors"),
        (_quality_plots(contents), "Latency, speed, seams")) if views]
    main = [*([rrb.Horizontal(*cameras, name="Cameras")] if cameras else []),
            *([rrb.Tabs(*tabs, name="Values")] if tabs else [])]
    side = rrb.Vertical(
        rrb.TextDocumentView(origin=entity(STATES), name="now"),
        rrb.TextLogView(origin=entity(EVENTS), name="events"), row_shares=[2, 5])
    return rrb.Blueprint(
        rrb.Horizontal(rrb.Vertical(*main, row_shares=[2, 3][:len(main)]), side,
                       column_shares=[3, 1]) if main else side,
        rrb.TimePanel(state="collapsed", timeline=TIMELINE),
        rrb.SelectionPanel(state="hidden"), rrb.BlueprintPanel(state="collapsed"))


def _quality_plots(contents: Contents) -> list[rrb.TimeSeriesView]:
    shown = {LATENCY: "latency, ms", SPEED: "speed of commands, as a share of the limit",
             JUMP: "jump at a seam", BEND: "bend at a seam, per second"}
    has_speed = any(limits.velocity for limits in contents.limits.values())
    return [_plot(entity(group), title) for group, title in shown.items()
            if (group in contents.groups or (group in CHANNEL_GROUPS and contents.channels))
            and (group != SPEED or has_speed)]


def _plot(origin: str, name: str) -> rrb.TimeSeriesView:
    return rrb.TimeSeriesView(origin=origin, name=name)


def _grid(views: list, name: str) -> rrb.Grid:
    return rrb.Grid(*views, name=name, grid_columns=math.ceil(math.sqrt(len(views))))


def _title(contents: Contents, channel: str) -> str:
    limits = contents.limits.get(channel)
    return f"{channel}, {limits.unit}" if limits else channel
