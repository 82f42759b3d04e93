# SPDX-License-Identifier: Apache-2.0
"""MetaWorld as a robot: a ROS-free environment adapter and the nodes around it."""
