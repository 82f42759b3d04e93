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

"""The operator's page, alone or beside the nodes of another graph."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.joy_layout import TOPIC
from tinyvla_ros.panel.serving import PAGE_TIMEOUT, ServingOptions
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.start.device_options import DeviceOptions, device_parameters
from tinyvla_ros.start.node_description import (
    NodeDescription,
    NodeSettings,
    describe_nodes,
    given_options,
)

# The mapping of the page's joystick, and remapping for who listens to it.
PAGE_MAPPING, PAGE_TOPIC = "panel", {"joy": TOPIC}
# Of the page as a device: whoever is killed must be missed within 100 ms.
PAGE_INPUT_TIMEOUT_S = 0.07


class PageOptions(Config):
    """Arguments of graphs that may have a page."""

    panel: bool = Field(False, description="Serve a page as well that shows the arm in a browser, "
                        "see docs/panel.md.")
    panel_host: str = Field("127.0.0.1", description="Address that the page is served at; another "
                            "one than this machine's own needs a token, which is printed.")
    panel_port: int = Field(8088, ge=0, le=65535, description="Port of the page; 0 for a free "
                                                              "one.")
    page_timeout: float = PAGE_TIMEOUT


def page_node(options: PageOptions, driver: str, robot: str, checkpoint: str = "",
              use_sim_time: bool = False) -> list[NodeDescription]:
    """Return the page's node, if it is wanted.

    Args:
        options: of the graph.
        driver: node that commands the arm.
        robot: file of the contract.
        checkpoint: directory; empty for none.
        use_sim_time: take the time from the run's clock.
    """
    if not options.panel:
        return []
    return [NodeDescription("panel_node", {
        "driver": driver, "robot": robot, "checkpoint": checkpoint, "host": options.panel_host,
        "port": options.panel_port, "page_timeout": options.page_timeout,
        "use_sim_time": use_sim_time}, remappings={"/clock": "clock"} if use_sim_time else {})]


def page_device(options: DeviceOptions) -> tuple[dict[str, object], dict[str, str]]:
    """Return a node's parameters and remappings with the page as a person's device.

    Raises:
        InputError: the options have another device's mapping.
    """
    if options.mapping not in ("", PAGE_MAPPING):
        raise InputError(f"mapping {options.mapping} is not that of the page, whose controls have "
                         "their own; leave mapping out.")
    devices = device_parameters(options.model_copy(update={"mapping": PAGE_MAPPING}))
    return devices | {"input_timeout": PAGE_INPUT_TIMEOUT_S}, PAGE_TOPIC


class PanelOptions(NodeSettings, ServingOptions):
    """Options of ``tinyvla panel``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")


def panel_graph(options: PanelOptions) -> list[NodeDescription]:
    """Return the page for nodes that run already.

    Raises:
        InputError: contract or checkpoint cannot be read.
    """
    RobotContract.load(options.robot)
    if options.checkpoint:
        PolicyConfig.load(options.checkpoint)
    files = {name: str(Path(value).resolve())
             for name in ("robot", "checkpoint", "certificate", "key")
             if (value := getattr(options, name))}
    return describe_nodes(options, NodeDescription("panel_node", {
        **files, **given_options(options, "driver", "host", "port", "page_timeout")}),
        one_run=False)
