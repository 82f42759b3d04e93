# SPDX-License-Identifier: Apache-2.0
"""A graph as a launch description; imported by the files in ``launch/`` only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import validate, value_type
from tinyvla_ros.start.graph import PACKAGE, NodeDescription


def describe_graph(options: type[Config],
                   graph: Callable[[Config], Sequence[NodeDescription]],
                   source: str) -> LaunchDescription:
    """Declare one argument per option, then start the nodes of the graph.

    Nodes of a graph end together. A single node may be part of a larger launch, with the robot's
    driver in it, and does not end it.

    Args:
        options: fields without a default are required arguments; tuples are separated by blanks.
        graph: makes nodes of the options.
        source: name of the launch file, for messages.
    """
    arguments = []
    for name, field in options.model_fields.items():
        several, text = value_type(field)[1], field.description
        default = None if field.is_required() else \
            " ".join(field.default) if several else str(field.default)
        arguments.append(DeclareLaunchArgument(
            name, default_value=default,
            description=f"{text} Separated by blanks." if several else text))
    return LaunchDescription([*arguments, OpaqueFunction(
        function=lambda context: _start(context, options, graph, source))])


def _start(context, options, graph, source: str) -> list:
    values = {}
    for name, field in options.model_fields.items():
        value = LaunchConfiguration(name).perform(context)
        values[name] = tuple(value.split()) if value_type(field)[1] else value
    nodes = graph(validate(options, values, lambda name: f"{source}: {name}"))
    actions = []
    for node in nodes:
        process = Node(package=PACKAGE, executable=node.executable, name=node.executable,
                       parameters=[dict(node.parameters)], output="screen")
        actions.append(process)
        if len(nodes) > 1:
            actions.append(RegisterEventHandler(OnProcessExit(
                target_action=process, on_exit=partial(_ended, node=node))))
    return actions


def _ended(event, context, node: NodeDescription) -> list:
    if context.is_shutdown:
        return []  # launch stops it: Ctrl-C, or another node ended the run
    if node.ends_run and event.returncode == 0:
        return [EmitEvent(event=Shutdown(reason="the run is complete"))]
    # launch itself stops on an exception with a non-zero exit code.
    return [EmitEvent(event=Shutdown(
        reason=f"{node.executable} ended with exit code {event.returncode}")),
        OpaqueFunction(function=_fail, args=[node.executable, event.returncode])]


def _fail(context, name: str, code: int) -> None:
    raise RuntimeError(f"{name} ended with exit code {code}")
