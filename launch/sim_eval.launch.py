# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint in MetaWorld over real ROS 2 topics.

ros2 launch tinyvla_ros sim_eval.launch.py tasks:="reach-v3 pick-place-v3" episodes:=5
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tinyvla_ros.configuration import parse
from tinyvla_ros.graph import PACKAGE, SimEvalOptions, sim_eval_graph


def generate_launch_description() -> LaunchDescription:
    """Declare one argument per option, then start the nodes of the graph."""
    arguments = []
    for name, field in SimEvalOptions.model_fields.items():
        default = " ".join(field.default) if name == "tasks" else str(field.default)
        arguments.append(DeclareLaunchArgument(name, default_value=default,
                                               description=field.description))
    return LaunchDescription([*arguments, OpaqueFunction(function=_nodes)])


def _nodes(context):
    values = {name: LaunchConfiguration(name).perform(context)
              for name in SimEvalOptions.model_fields}
    values["tasks"] = tuple(values["tasks"].split())
    options = parse(SimEvalOptions, values, "sim_eval.launch.py")
    actions = []
    for node in sim_eval_graph(options):
        process = Node(package=PACKAGE, executable=node.executable, name=node.executable,
                       parameters=[dict(node.parameters)], output="screen")
        actions += [process, RegisterEventHandler(OnProcessExit(
            target_action=process,
            on_exit=lambda event, context, node=node: _ended(event, context, node)))]
    return actions


def _ended(event, context, node):
    if context.is_shutdown:
        return []  # stopped by launch: Ctrl-C, or another node ended the run
    if node.ends_run and event.returncode == 0:
        return [EmitEvent(event=Shutdown(reason="the run is complete"))]
    # launch itself stops on an exception with a non-zero exit code.
    return [EmitEvent(event=Shutdown(
        reason=f"{node.executable} ended with exit code {event.returncode}")),
        OpaqueFunction(function=_fail, args=[node.executable, event.returncode])]


def _fail(context, name, code):
    raise RuntimeError(f"{name} ended with exit code {code}")
