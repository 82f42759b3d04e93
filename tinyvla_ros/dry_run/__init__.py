# SPDX-License-Identifier: Apache-2.0
"""A kinematic arm, to run the whole node graph without hardware (docs/arm.md).

- ``trajectory``: follows JointTrajectory by the rules of joint_trajectory_controller.
- ``followers``: follows arrays of positions, and twists.
- ``arm``: all outputs of a robot contract together, and the states that they move.
- ``sketch``: the images of its cameras.
- ``untrained``: start position, and a checkpoint for users who have none.
- ``summary``: what happened in a run.
"""
