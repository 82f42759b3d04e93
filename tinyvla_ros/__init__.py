# SPDX-License-Identifier: Apache-2.0
"""A TinyVLA-style diffusion policy as a ROS 2 node.

A folder tells what its modules may import; docs/architecture.md shows the folders, and where to
add what. Only ``nodes`` needs rclpy; everything else may be imported on a machine without ROS.
"""

__version__ = "0.1.0"
