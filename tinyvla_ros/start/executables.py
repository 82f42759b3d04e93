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

"""The entry point of every node: it ends with who started it, and quietly while it still loads."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.core.output import print_any_text
from tinyvla_ros.core.parent import terminate_with_parent
from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.start.ros_environment import check_ros_environment

# Name of the executable -> package of the module with its ``main``.
PACKAGES = {
    "policy_node": "tinyvla_ros.nodes",
    "sim_bridge_node": "sim_bridge.nodes",
    "sim_robot_node": "sim_bridge.nodes",
    "scripted_operator_node": "sim_bridge.nodes",
    "eval_node": "sim_bridge.nodes",
    "episode_recorder_node": "tinyvla_ros.nodes",
    "dry_run_arm_node": "tinyvla_ros.nodes",
    "dry_run_report_node": "tinyvla_ros.nodes",
    "teleop_node": "tinyvla_ros.nodes",
    "panel_node": "tinyvla_ros.nodes",
    "sequence_node": "tinyvla_ros.nodes",
}
# Name of the executable -> extras of the package that it needs beside ROS.
EXTRAS = {node: ["sim"] for node in (
    "sim_bridge_node", "sim_robot_node", "scripted_operator_node")} | {"panel_node": ["panel"]}
# Environment variable with the process id of what started the node, and ends it by ending itself.
PARENT = "TINYVLA_PARENT"


def main() -> int:
    """Run the node that this process is named after, or that its first argument names."""
    name = Path(sys.argv[0]).name
    return run(name if name in PACKAGES else sys.argv.pop(1))


def run(name: str) -> int:
    """Import a node's module and run its ``main``."""
    print_any_text()
    # Importing torch takes seconds; Ctrl-C then must not print a traceback from inside it.
    signal.signal(signal.SIGINT, _end_at_once)
    # Those who start a node block it, because Python itself cannot be interrupted quietly.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with_parent()
    try:
        use_middleware_profile()
        require(name, "ros", *EXTRAS.get(name, []))
        check_ros_environment()  # rclpy ends the process when it is imported without a middleware
        module = importlib.import_module(f"{PACKAGES[name]}.{name}")
    except InputError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)
        return 2
    return module.main()


def _end_with_parent() -> None:
    """Have the kernel end this node with what started it; ``ros2 launch`` may be ended as well."""
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    terminate_with_parent()
    try:
        os.kill(int(parent), 0)
    except ProcessLookupError:  # it ended before the line above
        sys.exit(0)
    except PermissionError:
        pass  # it is there, and another user's


def _end_at_once(number: int, frame) -> None:
    """End this process and those that libraries start while they load, as glfw does.

    They would write to a pipe that nobody reads any more, and print a traceback. The exit code is
    that of a running node after Ctrl-C: ``ros2 launch`` reports any other as a death.
    """
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpgrp(), signal.SIGTERM)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
