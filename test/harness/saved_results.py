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

"""Results of evaluations as files, without running any."""

from __future__ import annotations

from pathlib import Path

from sim_bridge.results.writing import EpisodeRecord, ResultsWriter

PROTOCOL = {"mode": "lockstep", "horizon": 500, "state": ["ee_x"], "seeds": [0, 3],
            "demonstrations": 50, "cameras": {"side": {"width": 96}},
            "versions": {"mujoco": "3.3.0"}}


def write_results(path: Path, successes: dict[str, list[bool]], **changes) -> Path:
    """Write the results of an evaluation: task -> success by seed, from 0 on."""
    writer = ResultsWriter(path)
    for task, outcomes in successes.items():
        for seed, success in enumerate(outcomes):
            writer.add(EpisodeRecord(task, seed, success, 50, 1.0, 1, (3.0,)))
    writer.finish(PROTOCOL | changes)
    return path
