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

"""Parameters of ``panel_node``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyvla_ros.core.ros.run_claims import RunMember


class PanelParameters(RunMember):
    """Parameters of ``panel_node``."""

    robot: str = Field("", description="Robot contract, a file like those in config/robots; empty "
                       "for the arm that sim_bridge_node simulates.")
    checkpoint: str = Field("", description="Checkpoint directory, whose known instructions the "
                            "page offers; empty for none.")
    driver: Literal["policy_node", "teleop_node"] = Field(
        "policy_node", description="What commands the arm: its state is shown, and its services "
        "are called.")
    host: str = Field("127.0.0.1", description="Address to listen at; another one than this "
                      "machine's own needs a token, which is printed, or taken from environment "
                      "variable TINYVLA_PANEL_TOKEN.")
    port: int = Field(8088, ge=0, le=65535, description="Port to listen at; 0 for a free one.")
    certificate: str = Field("", description="PEM file with a certificate, for TLS.")
    key: str = Field("", description="PEM file with the certificate's key.")
    picture_rate: float = Field(15.0, ge=0.5, le=60.0, description="Pictures of each camera a "
                                "second, at most.")
    page_timeout: float = Field(0.08, ge=0.04, le=5.0, description="Seconds without a message of "
                                "the page that drives, after which the arm holds.")
