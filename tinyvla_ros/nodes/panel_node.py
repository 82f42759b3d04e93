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

"""The operator's page as a node: what a browser shows of an arm, and what it may do."""

from __future__ import annotations

import ctypes
import os

from rclpy.node import Node

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.nodes.panel.panel_parameters import PanelParameters
from tinyvla_ros.nodes.panel.panel_robot import PanelRobot
from tinyvla_ros.nodes.panel.panel_view import PanelView
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import OK, Diagnostics, run_node
from tinyvla_ros.panel.access import TOKEN
from tinyvla_ros.panel.joy_layout import TOPIC
from tinyvla_ros.panel.pictures import Pictures
from tinyvla_ros.panel.server import Address, PanelServer
from tinyvla_ros.policy.config import PolicyConfig

# Options of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


class PanelNode(Node):
    """Serves the page; the web server has a thread of its own.

    Attributes:
        exit_code: set to end the process.
    """

    def __init__(self):
        super().__init__("panel_node")
        self.exit_code: int | None = None
        p = declare_parameters(self, PanelParameters)
        self._guard = RunGuard(self, p.run, TOPIC, topics=(TOPIC,))
        contract = RobotContract.load(p.robot or default_robot())
        config = PolicyConfig.load(p.checkpoint) if p.checkpoint else None
        pictures = Pictures(tuple(contract.cameras))
        self._view = PanelView(self, contract, p.driver, pictures, p.picture_rate)
        self._robot = PanelRobot(self, self._view, contract, config, p.driver, p.run)
        self._server = PanelServer(
            self._robot, pictures, Address(p.host, p.port, p.certificate, p.key),
            os.environ.get(TOKEN, ""), p.page_timeout, self._fail)
        self._diagnostics = Diagnostics(self, "page", "", self._describe)
        # Not through the logger: /rosout would tell the token to everybody.
        print(f"open {self._server.url}", flush=True)

    def close(self) -> None:
        """Let the driver go and abort what is recorded; called when the process ends."""
        self._server.close()
        self._robot.close()
        self._view.close()
        self._guard.release()

    def _fail(self, text: str) -> None:
        """End the node because the page cannot be served any more; called by the server."""
        self.get_logger().fatal(text)
        self.exit_code = 1

    def _describe(self):
        return OK, "serving", {"viewers": self._view.viewers}


def keep_freed_memory() -> None:
    """Have the C library keep memory of the size of images that is freed, for the next image.

    Otherwise it is given back to the kernel, which clears it page by page for every image: more
    processor time than all else that is done with one. Only glibc knows this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 1 << 26),
                              (_TRIM_THRESHOLD, 1 << 28)):
            mallopt(option, value)


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros panel_node``."""
    keep_freed_memory()
    return run_node(PanelNode)
