# SPDX-License-Identifier: Apache-2.0
"""Run a policy on a kinematic arm in place of the robot, before touching hardware.

ros2 launch tinyvla_ros dry_run.launch.py robot:=config/robots/ur5e.yaml checkpoint:=DIR
"""

from launch import LaunchDescription

from tinyvla_ros.start.graph import DryRunOptions, dry_run_graph
from tinyvla_ros.start.launch_graph import describe_graph


def generate_launch_description() -> LaunchDescription:
    """Return the policy, enabled, and the dry-run arm."""
    return describe_graph(DryRunOptions, dry_run_graph, "dry_run.launch.py")
