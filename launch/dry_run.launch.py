# SPDX-License-Identifier: Apache-2.0
"""Run a policy on a kinematic arm in place of the robot, before touching hardware.

ros2 launch tinyvla_ros dry_run.launch.py robot:=config/robots/ur5e.yaml checkpoint:=DIR
"""

import runpy
from pathlib import Path

from launch import LaunchDescription

SHARED = runpy.run_path(str(Path(__file__).with_name("describe_graph.py")))


def generate_launch_description() -> LaunchDescription:
    """Return the policy, enabled, and the dry-run arm."""
    return SHARED["describe_graph"]("dry_run")
