# SPDX-License-Identifier: Apache-2.0
"""A kinematic arm to run the whole graph with before touching hardware.

- ``trajectory``: follows JointTrajectory by the rules of joint_trajectory_controller.
- ``followers``: the same for arrays of positions and for twists.
- ``arm``: all outputs of a robot contract together, and the states they drive.
- ``pictures``: what the arm's cameras see.
- ``untrained``: where the arm starts, and a checkpoint for users who have none.
- ``dry_run_arm_node``, ``dry_run_report_node``: the ROS side.
- ``command``: ``tinyvla dry-run``.
"""
