# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint in MetaWorld over real ROS 2 topics.

ros2 launch tinyvla_ros sim_eval.launch.py tasks:="reach-v3 pick-place-v3" episodes:=5
"""

from launch import LaunchDescription

from tinyvla_ros.start.graph import SimEvalOptions, sim_eval_graph
from tinyvla_ros.start.launch_graph import describe_graph


def generate_launch_description() -> LaunchDescription:
    """Bridge, policy and evaluation; the launch ends with the evaluation."""
    return describe_graph(SimEvalOptions, sim_eval_graph, "sim_eval.launch.py")
