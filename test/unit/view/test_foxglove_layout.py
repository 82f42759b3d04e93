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

"""The layout for Foxglove, which needs no Foxglove to be made."""

from __future__ import annotations

import json

from harness.bags import CHANNELS
from tinyvla_ros.view.foxglove.foxglove_layout import foxglove_layout
from tinyvla_ros.view.viewer import COMMAND, LATENCY, MEASURED, Contents, Limits


def panels_in(node) -> list[str]:
    """Return the names of the panels in a part of a layout."""
    if isinstance(node, str):
        return [node]
    return [*panels_in(node["first"]), *panels_in(node["second"])]


def test_the_layout_places_every_panel_once():
    contents = Contents(["front", "wrist"], list(CHANNELS), {"dx": Limits("m", -1.0, 1.5, 0.3)},
                        {"joints": ["a", "b"], MEASURED: ["dx"], COMMAND: ["dx"],
                         LATENCY: ["image to chunk"]})
    layout = json.loads(json.dumps(foxglove_layout(contents)))
    configs = layout["configById"]
    tabs = configs["Tab!values"]["tabs"]
    placed = panels_in(layout["layout"]) + [p for tab in tabs for p in panels_in(tab["layout"])]
    assert sorted(placed) == sorted(configs)
    assert [tab["title"] for tab in tabs] == ["Channels", "Plan ahead", "Sensors",
                                              "Latency, speed, seams"]
    lines = [(p["label"], p["value"]) for p in configs["Plot!channel dx"]["paths"]]
    assert lines[-2:] == [("low", "-1"), ("high", "1.5")]


def test_a_layout_of_nothing_has_states_and_events():
    layout = foxglove_layout(Contents())
    assert sorted(panels_in(layout["layout"])) == sorted(layout["configById"])
