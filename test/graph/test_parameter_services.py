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

"""ROS tools list, get, describe and set the parameters of every node; none of them ends it."""

from __future__ import annotations

import pytest
from rcl_interfaces.msg import ParameterValue
from rclpy.parameter import Parameter

from harness.left_over import new_context
from harness.node_parameters import MODELS, OF_RCLPY
from harness.parameters import ParameterTool
from harness.processes import Output, start, stop
from tinyvla_ros.core.options import settable
from tinyvla_ros.core.resources import default_robot, robot_file
from tinyvla_ros.dry_run.untrained import INSTRUCTION
from tinyvla_ros.start.executables import PACKAGES
from tinyvla_ros.start.graph import DryRunOptions, dry_run_graph
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

# Robots of their own, so in namespaces of their own.
NAMESPACES = {"sim_bridge_node": "/sim", "eval_node": "/sim", "sim_robot_node": "/so101",
              "scripted_operator_node": "/so101", "teleop_node": "/so101"}
TYPES = {bool: "BOOL", int: "INTEGER", float: "DOUBLE", str: "STRING", list: "STRING_ARRAY"}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, tiny_checkpoint):
    """All nodes, running: name -> its process with ``output`` and ``given``."""
    place = tmp_path_factory.mktemp("run")
    graph = dry_run_graph(DryRunOptions())
    graph += [NodeDescription("dry_run_report_node", {"seconds": 0}),
              NodeDescription("episode_recorder_node", {"out": str(place / "episodes"),
                                                        "topics": ["/joint_states"]}),
              NodeDescription("sim_bridge_node", {"start_timeout": 600, "tasks": ["reach-v3"]}),
              NodeDescription("eval_node", {"checkpoint": str(tiny_checkpoint),
                                            "out": str(place / "results"), "episodes": 3}),
              NodeDescription("sim_robot_node"), NodeDescription("scripted_operator_node"),
              NodeDescription("teleop_node", {"robot": str(robot_file("so101"))}),
              NodeDescription("panel_node", {"port": 0}), NodeDescription("sequence_node")]
    processes = {}
    for node in graph:
        place_of = NAMESPACES.get(node.executable)
        namespace = ["-r", f"__ns:={place_of}"] if place_of else []
        processes[node.executable] = process = start(*node_command(node), *namespace)
        process.output, process.given = Output(process), dict(node.parameters)
    assert set(processes) == set(PACKAGES)
    yield processes
    for name, process in processes.items():
        # The report of a dry run may be a failure.
        assert stop(process) in (0, 1), f"{name}: {process.output.text}"
        assert "Traceback" not in process.output.text


@pytest.fixture(scope="module")
def tools(nodes):
    context = new_context()
    made = {name: ParameterTool(f"{NAMESPACES.get(name, '')}/{name}", context=context)
            for name in nodes}
    yield made
    for tool in made.values():
        tool.close()
    context.try_shutdown()


@pytest.fixture(params=list(MODELS))
def case(request, nodes, tools):
    """A node: its tool, its model, and its process, which must outlive the test."""
    process = nodes[request.param]
    assert process.poll() is None, process.output.text
    yield tools[request.param], MODELS[request.param], process
    assert process.poll() is None, process.output.text


def test_list_get_and_types_have_every_parameter(case):
    tool, model, process = case
    names = list(model.model_fields)
    assert set(tool.list()) == {*names, *OF_RCLPY}
    values = dict(zip(names, tool.get(*names), strict=True))
    for name in values.keys() & process.given.keys():
        assert values[name] == process.given[name]
    assert [t.name for t in tool.types(*names)] == [TYPES[type(v)] for v in values.values()]
    assert tool.get("use_sim_time") == [False]


def test_describe_has_text_range_and_what_can_be_set(case):
    tool, model, _ = case
    names = list(model.model_fields)
    for described, (name, field) in zip(tool.describe(*names), model.model_fields.items(),
                                        strict=True):
        assert described.name == name and described.description == field.description
        assert described.read_only == (settable(field) is None)
        ranges = [*described.floating_point_range, *described.integer_range]
        for limit in ranges:
            assert limit.from_value <= tool.get(name)[0] <= limit.to_value
        assert bool(ranges) == (described.type in (Parameter.Type.DOUBLE.value,
                                                   Parameter.Type.INTEGER.value))
        assert "-p " + name in described.additional_constraints or \
            "can be set" in described.additional_constraints


def test_setting_what_is_read_only_is_answered_with_what_to_do(case):
    tool, model, _ = case
    names = list(model.model_fields)
    before = tool.get(*names)
    given = {n: v for n, v in zip(names, before, strict=True)
             if settable(model.model_fields[n]) is None}
    for name, value in given.items():
        result = tool.set(**{name: value})[0]
        assert not result.successful
        assert f"'{name}' is read-only" in result.reason and f"-p {name}:=" in result.reason
    if given:
        assert not tool.set_atomically(**given).successful
    assert tool.get(*names) == before


def test_what_no_node_has_or_can_take_is_refused(case):
    tool, model, _ = case
    name = list(model.model_fields)[-1]
    for result in (*tool.set(**{name[:-1]: 1}), tool.set_atomically(**{name[:-1]: 1})):
        assert not result.successful
        assert f"'{name[:-1]}'" in result.reason and f"Did you mean '{name}'?" in result.reason
    for value in (ParameterValue(), ParameterValue(type=200)):
        assert not tool.set(**{name: value})[0].successful
    assert tool.get(name, name[:-1]) == tool.describe(name[:-1]) == []


@pytest.mark.parametrize(("node", "name", "values"), [
    ("policy_node", "extra_latency", [1, 0.0]),
    ("sim_bridge_node", "chunk_timeout", [30, 60.0]),
    ("dry_run_arm_node", "instruction", [INSTRUCTION, ""]),
    ("episode_recorder_node", "policy_join", ["rtc", ""]),
    ("episode_recorder_node", "robot", [str(default_robot()), ""]),
])
def test_what_can_be_set_is_set(nodes, tools, node, name, values):
    for value in values:
        assert tools[node].set(**{name: value})[0].successful
        assert tools[node].get(name) == [value]
    shown = float(values[0]) if isinstance(values[0], int) else values[0]
    nodes[node].output.wait_for(f"'{name}' is now {shown!r}")


@pytest.mark.parametrize(("node", "name", "value", "named"), [
    ("policy_node", "extra_latency", 11, "from 0 to 10"),
    ("policy_node", "join", "rtc", "-p join:=VALUE"),
    ("policy_node", "enabled", False, "~/enable"),
    ("sim_bridge_node", "chunk_timeout", 0, "from 0.1 to 3600"),
    ("dry_run_arm_node", "instruction", "make coffee", INSTRUCTION),
    ("episode_recorder_node", "robot", "/nowhere.yaml", "/nowhere.yaml"),
    ("episode_recorder_node", "checkpoint", "/nowhere", "/nowhere"),
])
def test_a_value_that_does_not_fit_is_refused(nodes, tools, node, name, value, named):
    before = tools[node].get(name)
    nodes["policy_node"].output.wait_for("ready")
    for result in (tools[node].set(**{name: value})[0],
                   tools[node].set_atomically(**{name: value})):
        assert not result.successful
        assert f"{value}" in result.reason or f"'{name}'" in result.reason
        assert named in result.reason
    assert tools[node].get(name) == before
