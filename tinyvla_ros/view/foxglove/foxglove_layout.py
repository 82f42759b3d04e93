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

"""A Foxglove layout for what there is; a file for "Import from file..."."""

from __future__ import annotations

import math

from tinyvla_ros.view.foxglove.foxglove_topics import (
    EVENTS,
    STATES,
    camera_topic,
    plan_topic,
    value_path,
)
from tinyvla_ros.view.viewer import BEND, COMMAND, JUMP, LATENCY, MEASURED, SPEED, Contents

_COLORS = ("#4e98e2", "#f5774d", "#f7df71", "#5cd6a9", "#61a2ff", "#a395e2", "#ff94b3", "#b0d36f",
           "#c9a27e")
_LIMIT_COLOR = "#d62728"
# Rows of the band of states, top to bottom.
_STATES = ("episode", "policy", "commander", "instruction")


def foxglove_layout(contents: Contents) -> dict:
    """Return the layout as Foxglove exports one.

    Cameras above; below a band of states and four tabs: the channels with their limits, the plan
    ahead, sensors, and how well it goes (latencies, speeds, seams); events beside.
    """
    panels: dict[str, dict] = {}
    cameras = [_add(panels, f"Image!{camera}", {
        "foxglovePanelTitle": camera, "imageMode": {"imageTopic": camera_topic(camera)},
        "synchronize": False}) for camera in contents.cameras]
    states = _add(panels, "StateTransitions!states", {
        "foxglovePanelTitle": "states", "isSynced": True,
        "paths": [{"value": f"{STATES}.{name}", "label": name, "timestampMethod": "receiveTime"}
                  for name in _STATES]})
    tabs = [{"title": title, "layout": _grid(found)} for title, found in (
        ("Channels", _channel_plots(panels, contents)),
        ("Plan ahead", _plan_plots(panels, contents)),
        ("Sensors", _sensor_plots(panels, contents)),
        ("Latency, speed, seams", _quality_plots(panels, contents))) if found]
    main = [p for p in (_row(cameras), states) if p]
    if tabs:
        main.append(_add(panels, "Tab!values", {"activeTabIdx": 0, "tabs": tabs}))
    events = _add(panels, "Log!events", {
        "foxglovePanelTitle": "events", "topicToRender": EVENTS, "minLogLevel": 1,
        "searchTerms": []})
    newest = _add(panels, "RawMessages!states", {
        "foxglovePanelTitle": "now", "topicPath": STATES, "diffEnabled": False})
    weights = {len(main): (0.36, 0.14, 0.5), 2: (0.22, 0.78)}.get(len(main), (1.0,))
    return {"configById": panels, "globalVariables": {}, "userNodes": {},
            "playbackConfig": {"speed": 1},
            "layout": _split("row", [_stack(main, weights), _stack([newest, events], (0.4, 0.6))],
                             0.76)}


def _channel_plots(panels: dict, contents: Contents) -> list[str]:
    plots = []
    for channel in contents.channels:
        paths = [_path(value_path(COMMAND, channel), COMMAND, _COLORS[1])]
        if channel in contents.groups.get(MEASURED, ()):
            paths.insert(0, _path(value_path(MEASURED, channel), MEASURED, _COLORS[0]))
        plots.append(_plot(panels, f"channel {channel}", _title(contents, channel),
                           paths + _limit_lines(contents, channel)))
    return plots


def _plan_plots(panels: dict, contents: Contents) -> list[str]:
    # A path of its own for x: seconds from the moment at which the plan was made.
    return [_plot(panels, f"plan {channel}", f"plan of {_title(contents, channel)}",
                  [_path(f"{plan_topic(channel)}.rows[:].value", "plan", _COLORS[2])],
                  xAxisVal="currentCustom", isSynced=False,
                  xAxisPath={"value": f"{plan_topic(channel)}.rows[:].ahead", "enabled": True},
                  xAxisLabel="seconds ahead") for channel in contents.channels]


def _sensor_plots(panels: dict, contents: Contents) -> list[str]:
    return [_plot(panels, group, group, _paths(group, contents.groups[group]))
            for group in contents.sensors]


def _quality_plots(panels: dict, contents: Contents) -> list[str]:
    plots = []
    if LATENCY in contents.groups:
        plots.append(_plot(panels, LATENCY, "latency, ms",
                           _paths(LATENCY, contents.groups[LATENCY])))
    if any(limits.velocity for limits in contents.limits.values()):
        plots.append(_plot(panels, SPEED, "speed of commands, as a share of the limit",
                           [*_paths(SPEED, contents.channels), _line(1.0, "limit")]))
    if contents.channels:
        plots += [_plot(panels, JUMP, "jump at a seam", _paths(JUMP, contents.channels)),
                  _plot(panels, BEND, "bend at a seam, per second",
                        _paths(BEND, contents.channels))]
    return plots


def _title(contents: Contents, channel: str) -> str:
    limits = contents.limits.get(channel)
    return f"{channel}, {limits.unit}" if limits else channel


def _limit_lines(contents: Contents, channel: str) -> list[dict]:
    limits = contents.limits.get(channel)
    ends = [(limits.low, "low"), (limits.high, "high")] if limits else []
    return [_line(value, name) for value, name in ends if value is not None]


def _line(value: float, label: str) -> dict:
    """Return a horizontal line: a path that is a number."""
    return _path(f"{value:.10g}", label, _LIMIT_COLOR)


def _paths(group: str, names: list[str]) -> list[dict]:
    return [_path(value_path(group, name), name, _COLORS[i % len(_COLORS)])
            for i, name in enumerate(names)]


def _path(value: str, label: str, color: str) -> dict:
    return {"value": value, "label": label, "enabled": True, "timestampMethod": "receiveTime",
            "color": color}


def _plot(panels: dict, name: str, title: str, paths: list[dict], **more) -> str:
    return _add(panels, f"Plot!{name}", {
        "foxglovePanelTitle": title, "paths": paths, "showXAxisLabels": True,
        "showYAxisLabels": True, "showLegend": True, "legendDisplay": "floating",
        "showPlotValuesInLegend": True, "isSynced": True, "xAxisVal": "timestamp",
        "sidebarDimension": 240, **more})


def _add(panels: dict, key: str, config: dict) -> str:
    panels[key] = config
    return key


def _split(direction: str, parts: list, first_share: float):
    return {"direction": direction, "first": parts[0], "second": parts[1],
            "splitPercentage": round(100 * first_share)}


def _row(parts: list):
    """Return panels side by side, each as wide as the others; None without any."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return _split("row", [parts[0], _row(parts[1:])], 1 / len(parts))


def _stack(parts: list, weights: tuple[float, ...]):
    """Return panels below each other, as high as their weights."""
    if len(parts) < 2:
        return parts[0]
    return _split("column", [parts[0], _stack(parts[1:], weights[1:])],
                  weights[0] / sum(weights))


def _grid(parts: list):
    columns = math.ceil(math.sqrt(len(parts)))
    rows = [_row(parts[i:i + columns]) for i in range(0, len(parts), columns)]
    return _stack(rows, (1.0,) * len(rows))
