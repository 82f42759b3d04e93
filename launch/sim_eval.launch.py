# SPDX-License-Identifier: Apache-2.0
"""Evaluate a checkpoint in MetaWorld over real ROS 2 topics.

ros2 launch tinyvla_ros sim_eval.launch.py tasks:="reach-v3 pick-place-v3" episodes:=5
"""

import runpy
from pathlib import Path

from launch import LaunchDescription

SHARED = runpy.run_path(str(Path(__file__).with_name("describe_graph.py")))


def generate_launch_description() -> LaunchDescription:
    """Bridge, policy and evaluation; the launch ends with the evaluation."""
    return SHARED["describe_graph"]("sim_eval")
