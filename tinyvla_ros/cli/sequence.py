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

"""``tinyvla run-sequence``."""

from __future__ import annotations

from tinyvla_ros.start.local_launch import run_graph
from tinyvla_ros.start.sequence_graph import SequenceOptions, sequence_graph


def run_sequence(options: SequenceOptions) -> int:
    """Run a sequence to its end; 0 if it succeeded, 1 if not, 130 after Ctrl-C."""
    return run_graph(sequence_graph(options))
