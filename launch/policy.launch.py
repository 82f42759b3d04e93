# SPDX-License-Identifier: Apache-2.0
"""Run a policy on a robot that runs already. It commands nothing until it is enabled.

ros2 launch tinyvla_ros policy.launch.py robot:=config/robots/ur5e.yaml checkpoint:=DIR
ros2 service call /policy_node/enable std_srvs/srv/SetBool "{data: true}"
"""

from launch import LaunchDescription

from tinyvla_ros.start.graph import PolicyOptions, policy_graph
from tinyvla_ros.start.launch_graph import describe_graph


def generate_launch_description() -> LaunchDescription:
    """Return the policy alone."""
    return describe_graph(PolicyOptions, policy_graph, "policy.launch.py")
