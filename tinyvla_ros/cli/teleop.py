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

"""``tinyvla teleop``: a person drives an arm."""

from __future__ import annotations

import os
import sys

from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.start.local_launch import require_rclpy, run_graph
from tinyvla_ros.start.operator_graphs import KEYS_TOPIC, TeleopOptions, teleop_graph

HELP = """\
space  hold on / off (the dead man)      Esc  off       Ctrl-C  end
q a  w s  e d  r f  t g  y h  u j        joints 1 to 7, + and -
m  joints or end effector: w s away/back, a d left/right, r f up/down, q e yaw, i k pitch, u j roll
] [  open, close the gripper
Enter  start   up  success   down  failure   left  discard   right  next"""


def teleop(options: TeleopOptions) -> int:
    """Run until Ctrl-C."""
    if options.input == "leader" and not options.mapping and sys.stdin.isatty():
        options = options.model_copy(update={"mapping": "keyboard"})
    nodes = teleop_graph(options)
    if not options.uses_keys:
        return run_graph(nodes)
    require_rclpy()
    from tinyvla_ros.nodes.teleop.key_publisher import published_keys
    # As the nodes that run_graph starts.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    use_middleware_profile()
    with published_keys(KEYS_TOPIC, options.absolute_namespace):
        print(HELP, flush=True)
        return run_graph(nodes)
