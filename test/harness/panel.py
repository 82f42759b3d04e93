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

"""A real panel_node beside a person's rig, and its page in a browser."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from harness.teleop_rig import PAUSE_S, TeleopRig

URL = re.compile(r"open (https?://\S+)")


def start_panel(rig: TeleopRig, **parameters) -> str:
    """Start the node and return the address that it prints."""
    before = len(rig.log("panel_node"))
    rig.start("panel_node", robot=str(rig.path), checkpoint=str(rig.checkpoint), driver=rig.driver,
              **{"port": 0, "page_timeout": PAUSE_S, **parameters})
    rig.wait(lambda: URL.search(rig.log("panel_node")[before:]), "the address")
    return URL.search(rig.log("panel_node")[before:])[1]


def panel_rig(place: Path, **parameters) -> TeleopRig:
    """Return an arm that a policy drives, and from which the page may take it."""
    return TeleopRig(place, driver="policy_node", takeover="joy", mapping="panel", enabled=True,
                     remappings={"joy": "panel_joy"}, **parameters)


def open_connections(port: int, number: int) -> list[socket.socket]:
    """Open connections that say nothing; those that are refused are left out."""
    sockets = []
    for _ in range(number):
        connection = socket.socket()
        connection.settimeout(10.0)
        try:
            connection.connect(("127.0.0.1", port))
            sockets.append(connection)
        except OSError:
            connection.close()
    return sockets
