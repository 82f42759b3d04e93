# SPDX-License-Identifier: Apache-2.0
"""What stands between a policy and a physical arm, without ROS.

- ``contract``: one file that says how the robot is wired and what it may be told.
- ``contract_check``: does a checkpoint fit it?
- ``streams``: which inputs arrive, how old they are, whether a camera is frozen.
- ``joining``: how a new chunk takes over from the one being executed.
- ``safety``: limits on every value before it leaves.
- ``supervisor``: the states (waiting, running, holding, stopped) and what leads to them.

None of it is safety-rated. See docs/arm.md.
"""
