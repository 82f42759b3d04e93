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

"""A graph as a launch description; imports only the standard library and launch.

``arguments.json`` beside this file is written by ``make reference``.
"""

from __future__ import annotations

import json
import os
import runpy
from functools import partial
from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit, OnShutdown
from launch.events import Shutdown, matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).parent
RESPAWN_DELAY_S = 2.0
STOP_TIMEOUT_S = "15"


def describe_graph(name: str) -> LaunchDescription:
    """Declare the arguments of a graph, then start its nodes.

    Args:
        name: of the launch file, without its ending.
    """
    arguments = json.loads((HERE / "arguments.json").read_text(encoding="utf-8"))[name]
    return LaunchDescription([
        *(DeclareLaunchArgument(a["name"], default_value=a["default"],
                                choices=a["choices"] or None, description=a["description"])
          for a in arguments),
        OpaqueFunction(function=_start, args=[name, arguments])])


def _start(context, name: str, arguments: list[dict]) -> list:
    values = {a["name"]: LaunchConfiguration(a["name"]).perform(context) for a in arguments}
    # One that is typed counts as given even at its default: enabled:=false must win over a
    # parameter file. Of those that an including file passes on, launch does not tell.
    typed = {text.partition(":=")[0] for text in context.argv or []}
    values = {a["name"]: values[a["name"]] for a in arguments
              if a["name"] in typed or values[a["name"]] != a["default"]}
    # Of a group that this file is included in.
    outer = context.launch_configurations.get("ros_namespace", "").rstrip("/")
    namespace = values.get("namespace", "")
    if outer and not namespace.startswith("/"):
        values["namespace"] = f"{outer}/{namespace}".rstrip("/")
    graph = runpy.run_path(str(HERE / "environment_python.py"))["Graph"](name, values)
    respawn = graph.on_exit == "respawn"
    processes = [Node(
        package="tinyvla_ros", executable=node["executable"], name=node["executable"],
        exec_name=node["executable"],  # what log lines begin with
        namespace=node["namespace"] or None, ros_arguments=node["ros_arguments"],
        # The script's own Python may be that of ROS. Ctrl-C waits until the node has a handler:
        # while Python itself starts, it would print a traceback and count as a death.
        prefix=f"env --block-signal=INT '{graph.python}'", output="screen",
        # `ros2 launch` leaves its processes behind when it is ended by SIGTERM; ours end with it.
        additional_env={"TINYVLA_PARENT": str(os.getpid())},
        # The policy brings its arm to rest; a busy machine takes long to end a process with torch.
        sigterm_timeout=LaunchConfiguration("sigterm_timeout", default=STOP_TIMEOUT_S),
        # One that is done must not begin anew.
        respawn=respawn and not node["ends_run"],
        respawn_delay=RESPAWN_DELAY_S if respawn else None)
        for node in graph.nodes]
    handlers = [RegisterEventHandler(OnProcessExit(
        target_action=process, on_exit=partial(_ended, node=node, graph=graph,
                                               others=[p for p in processes if p is not process])))
        for process, node in zip(processes, graph.nodes, strict=True)
        if node["ends_run"] or not respawn]
    return [*processes, *handlers]


def _ended(event, context, node: dict, graph, others: list[Node]) -> list:
    """Return what to do when a node ended by itself."""
    if context.is_shutdown:
        return []  # launch stops it: Ctrl-C, or another node ended the run
    name, code = node["executable"], event.returncode
    if code == 0 and node["ends_run"]:
        return [EmitEvent(event=Shutdown(reason="the run is complete"))]
    # With 0, an operator shut it down; a run is not complete then, anything else is.
    failed = code != 0 or any(n["ends_run"] for n in graph.nodes)
    message = f"{name} ended with exit code {code}"
    if graph.on_exit == "shutdown":
        return [EmitEvent(event=Shutdown(reason=message)),
                *([OpaqueFunction(function=_fail, args=[message])] if failed else [])]
    # A larger launch, with the robot's driver in it, goes on, and reports the failure at its end.
    return [*(EmitEvent(event=ShutdownProcess(process_matcher=matches_action(p))) for p in others),
            *([RegisterEventHandler(OnShutdown(
                on_shutdown=lambda event, context: _fail(context, message)))] if failed else [])]


def _fail(context, message: str) -> None:
    # launch itself stops on an exception with a non-zero exit code.
    raise RuntimeError(message)
