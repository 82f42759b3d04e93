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

"""Which scenes of MetaWorld a simulation has: one option for all commands and nodes."""

from __future__ import annotations

from typing import Literal

Scenes = Literal["standard", "shared", "chained"]
# Empty for what the configuration of the simulated robot says.
ScenesOption = Literal["", "standard", "shared", "chained"]
EPISODE_SCENES = ("shared: two tasks begin with the same image, only words differ; chained: every "
                  "other episode begins where the expert of the other task has ended; empty for "
                  "the configuration's, standard.")
ROBOT_SCENES = ("shared: two tasks begin with the same image; chained: two tasks can follow each "
                "other, and simulation/success/... tells which is done; empty for the "
                "configuration's, standard.")
