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

"""How the page is served, as parameters of ``panel_node`` and options of ``tinyvla panel``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config

PAGE_TIMEOUT = Field(0.06, ge=0.04, le=5.0, description="Seconds without a message of the page "
                     "that drives, after which the arm holds; more for a slow network.")


class ServingOptions(Config):
    """Where the page is served, and whose state it shows."""

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
    page_timeout: float = PAGE_TIMEOUT
