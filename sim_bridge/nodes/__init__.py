# SPDX-License-Identifier: Apache-2.0
"""The simulated robot and the evaluation as ROS 2 nodes."""
