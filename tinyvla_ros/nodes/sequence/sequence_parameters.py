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

"""Parameters of ``sequence_node``."""

from __future__ import annotations

from pydantic import Field, model_validator

from tinyvla_ros.core.ros.run_claims import RunMember


class SequenceParameters(RunMember):
    """Parameters of ``sequence_node``."""

    file: str = Field("", description="Sequence that ~/start begins, a YAML file "
                      "(docs/sequences.md).")
    robot: str = Field("", description="Robot contract, for the topic of the instruction; empty "
                       "for the arm that sim_bridge_node simulates.")
    checkpoint: str = Field("", description="Checkpoint of the policy: an instruction that it "
                            "cannot take is refused before the arm moves; empty if it is not "
                            "known.")
    start: bool = Field(False, description="Begin with the file at once, and end the node with "
                        "its end: exit code 0 if it succeeded, else 1.")
    episodes: bool = Field(False, description="Make an episode of each try, for a recorder.")

    @model_validator(mode="after")
    def _has_something_to_start(self):
        if self.start and not self.file:
            raise ValueError("start is true, and file is empty; give the sequence that begins")
        return self
