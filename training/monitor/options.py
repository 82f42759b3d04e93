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

"""Options of ``tinyvla monitor calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag


class CalibrateOptions(Config):
    """A checkpoint, and recorded episodes of its policy."""

    checkpoint: Annotated[Path, Flag(metavar="CHECKPOINT", positional=True)] = Field(
        description="checkpoint directory; monitor.onnx is written there")
    bags: Annotated[tuple[Path, ...], Flag(metavar="BAG", positional=True)] = Field(
        min_length=1, description="recorded episodes of this policy, with their outcome, or "
        "folders of them; the threshold comes from the successes")
    data: Annotated[tuple[Path, ...], Flag(metavar="DIR")] = Field(
        (), description="LeRobotDataset directories of demonstrations, for the heads of progress "
        "and done beside the episodes")
    false_alarms: float = Field(
        0.05, ge=0.01, le=0.5, description="share of successes that may raise an alarm")
    robot: Path | None = Field(None, description="robot contract; default: the one in each bag")
    out: Path | None = Field(None, description="file to write; default: monitor.onnx in the "
                                               "checkpoint, where it is used")
