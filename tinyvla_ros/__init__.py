# SPDX-License-Identifier: Apache-2.0
"""A TinyVLA-style diffusion policy as a ROS 2 node.

This package is the runtime. Nodes and the modules marked (ROS) need rclpy; everything else may be
imported on a machine that has none.

Where to look:

- the policy: ``policy``, ``model``, ``normalizer``, ``images``, ``checkpoint``,
  ``policy_config``, ``types``
- on an arm: ``arm`` (contract, safety, joining, states); ``policy_node`` (lifecycle, services),
  ``policy_inputs`` (subscriptions), ``policy_loop`` (the two threads), ``outputs``
  (publishers), all ROS; ``assembly`` (pairing by stamp), ``worker``
- ``tinyvla dry-run``: ``dry_run``; ``tinyvla robot check``: ``robot_check``, ``live_check`` (ROS)
- messages to arrays: ``messages``; a simulated robot's controller: ``chunk_follower``
- starting things: ``graph`` (which nodes), ``local_launch``, ``launch_graph`` (ROS),
  ``executables``, ``ros_node``, ``ros_parameters`` (ROS), ``cli``
- files and words: ``configuration``, ``errors``, ``files``, ``resources``, ``results``,
  ``pictures``
"""

__version__ = "0.1.0"
