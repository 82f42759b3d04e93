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

"""The layouts for Foxglove and PlotJuggler name what there is: topics, fields, panels."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from harness.ros_messages import STORE

ROOT = Path(__file__).resolve().parents[3]
FOXGLOVE = ROOT / "config" / "viewers" / "foxglove-tinyvla.json"
PLOTJUGGLER = ROOT / "config" / "viewers" / "plotjuggler-tinyvla.xml"
TOPICS = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
TYPES = {"joint_states": "sensor_msgs/msg/JointState", "ee_pose": "geometry_msgs/msg/PoseStamped",
         "action_chunk": "trajectory_msgs/msg/JointTrajectory",
         "episode": "diagnostic_msgs/msg/DiagnosticStatus", "instruction": "std_msgs/msg/String",
         "diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
# Panel types as Foxglove writes them before the "!" of a panel's name.
PANELS = {"Image", "Plot", "StateTransitions", "DiagnosticSummary", "RawMessages"}


def check_topic(topic: str) -> None:
    assert topic.startswith("/")
    name = topic[1:].replace("/camera_info", "/image_raw")  # they come in pairs
    known = re.search(rf"(?<!\w){re.escape(name)}(?![\w/])", TOPICS)
    assert known, f"docs/topics.md does not know {topic}"


def check_fields(topic: str, fields: list[str]) -> None:
    kind = TYPES[topic[1:]]
    for field in fields:
        known = dict(STORE.fielddefs[kind][1])
        assert field in known, f"{topic}: {kind} has no field {field}"
        node, inner = known[field]
        while str(node.name) in ("ARRAY", "SEQUENCE"):
            node, inner = inner[0]
        kind = inner if isinstance(inner, str) else ""


def foxglove_paths(config: dict) -> list[str]:
    return [p["value"] for p in config.get("paths", [])] + (
        [config["topicPath"]] if "topicPath" in config else [])


def panels_in(node) -> list[str]:
    if isinstance(node, str):
        return [node]
    assert node["direction"] in ("row", "column")
    assert 0 < node["splitPercentage"] < 100
    return panels_in(node["first"]) + panels_in(node["second"])


def test_foxglove_layout_names_what_there_is():
    layout = json.loads(FOXGLOVE.read_text(encoding="utf-8"))
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig",
                           "layout"}
    placed = panels_in(layout["layout"])
    assert sorted(placed) == sorted(layout["configById"])
    assert {p.split("!")[0] for p in placed} == PANELS
    for config in layout["configById"].values():
        topics = [*config.get("imageMode", {}).values(), *filter(None, [
            config.get("topicToRender")])]
        for path in foxglove_paths(config):
            plain = re.sub(r"\[[^\]]*\]|\{[^}]*\}", "", path)
            topic, *fields = plain.split(".")
            topics.append(topic)
            check_fields(topic, fields)
        assert topics
        for topic in topics:
            check_topic(topic)


def test_plotjuggler_layout_names_what_there_is():
    root = ElementTree.parse(PLOTJUGGLER).getroot()
    curves = root.findall("tabbed_widget/Tab/Container/DockSplitter/DockArea/plot/curve")
    assert len(curves) > 10
    for curve in curves:
        topic, *fields = re.sub(r"\[\d+\]", "", curve.attrib["name"][1:]).split("/")
        check_topic(f"/{topic}")
        if topic == "joint_states":  # shown by the joints' names: /joint_states/<name>/position
            assert fields[1:] == ["position"]
        else:
            check_fields(f"/{topic}", fields)
    for splitter in root.iter("DockSplitter"):
        assert len(splitter) == int(splitter.attrib["count"])
        sizes = [float(s) for s in splitter.attrib["sizes"].split(";")]
        assert len(sizes) == len(splitter)
        assert sum(sizes) == pytest.approx(1.0, abs=1e-3)
