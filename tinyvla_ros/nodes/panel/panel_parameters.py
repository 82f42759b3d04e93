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

from pydantic import Field

from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.panel.serving import ServingOptions


class PanelParameters(RunMember, ServingOptions):
    """Parameters of ``panel_node``."""

    robot: str = Field("", description="Robot contract, a file like those in config/robots; empty "
                       "for the arm that sim_bridge_node simulates.")
    picture_rate: float = Field(15.0, ge=0.5, le=60.0, description="Pictures of each camera a "
                                "second, at most.")
