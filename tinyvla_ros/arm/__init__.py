# SPDX-License-Identifier: Apache-2.0
"""Between a policy and a physical arm, without ROS.

- ``contract``, ``contract_outputs``, ``contract_streams``: the robot contract, one file per robot.
- ``contract_check``: whether a checkpoint fits a contract.
- ``observation_assembler``, ``stamp_matching``: messages to observations, by stamp.
- ``liveness``: stale streams, frozen cameras, clocks that were set.
- ``blending``: how a new chunk takes over from the one being executed.
- ``safety``: the limits of every command.
- ``supervisor``, ``plan``: the states of the arm, and the commands to send in each.
- ``chunk_follower``: executes chunks by time, for the simulated arm.

None of it is safety-rated. See docs/arm.md.
"""
