# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Between a policy and a physical arm, without ROS.

- ``contract``, ``contract_inputs``, ``contract_outputs``, ``contract_states``,
  ``contract_streams``: the robot contract, one file per robot.
- ``contract_check``: whether a checkpoint fits a contract.
- ``observation``: messages to observations, by stamp; stale streams, frozen cameras, clocks that
  were set.
- ``blending``: how a new chunk takes over from the one being executed.
- ``safety``: the limits of every command.
- ``supervisor``, ``plan``: the states of the arm, and the commands to send in each.
- ``chunk_follower``: executes chunks by time, for the simulated arm.

None of it is safety-rated. See docs/arm.md.
"""
