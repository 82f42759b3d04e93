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

"""What nodes and graphs say of the monitor: an option, and names of topics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

MonitorAction = Annotated[Literal["off", "report", "hold"], Field(
    description="What the monitor of the checkpoint does, if it has one. report: tell progress "
    "and alarms; hold: hold the arm from an alarm on, until ~/enable is called or a person takes "
    "over; off: nothing.")]

# What it publishes, below the name of the policy's node.
PROGRESS_TOPIC, DONE_TOPIC, SCORE_TOPIC = "progress", "done", "failure_score"
