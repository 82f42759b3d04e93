# SPDX-License-Identifier: Apache-2.0
"""A TinyVLA-style diffusion policy as a ROS 2 node.

This package is the runtime. Everything in it except the nodes (``*_node``, ``ros_*``) is free of
ROS and may be imported on a machine that has none.
"""

__version__ = "0.1.0"
