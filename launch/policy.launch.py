# SPDX-License-Identifier: Apache-2.0
"""Run a policy on a robot that runs already. It commands nothing until it is enabled.

ros2 launch tinyvla_ros policy.launch.py robot:=config/robots/ur5e.yaml checkpoint:=DIR
ros2 service call /policy_node/enable std_srvs/srv/SetBool "{data: true}"
"""

import runpy
from pathlib import Path

from launch import LaunchDescription

SHARED = runpy.run_path(str(Path(__file__).with_name("describe_graph.py")))


def generate_launch_description() -> LaunchDescription:
    """Return the policy alone."""
    return SHARED["describe_graph"]("policy")
