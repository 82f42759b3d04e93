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

"""``tinyvla compare``: evaluations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag


class CompareOptions(Config):
    """Options of ``tinyvla compare``."""

    results: Annotated[tuple[Path, ...], Flag(metavar="RESULT", positional=True)] = Field(
        description="directories that sim-eval or evaluate wrote, or their results.json, or "
        "checkpoints for their evaluation.json")
    despite: tuple[str, ...] = Field(
        (), description="conditions that may differ, e.g. horizon; without it results of unlike "
        "protocols are refused")
    horizon: int | None = Field(
        None, ge=1, le=500, description="count success within so many control steps; with it, "
        "results of longer episodes go beside those of shorter ones")


def compare(options: CompareOptions) -> int:
    """Print tables of results, and tests on the episodes that they share."""
    from sim_bridge.results.comparison import compare as side_by_side
    from sim_bridge.results.saved import SavedResults

    print(side_by_side([SavedResults.read(path) for path in options.results], options.despite,
                       options.horizon))
    return 0
