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

"""Whether a policy can do what a sequence asks of it."""

from __future__ import annotations

from pathlib import Path

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import MONITOR
from tinyvla_ros.monitor.monitor_file import MonitorFile
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from tinyvla_ros.sequence.steps import Sequence


def check_sequence(sequence: Sequence, checkpoint: str | Path, watches: bool = True) -> None:
    """Check a sequence against a checkpoint directory.

    Args:
        sequence: to run.
        checkpoint: of the policy.
        watches: whether the monitor of the checkpoint is used.

    Raises:
        InputError: the policy cannot take an instruction, or lacks the monitor for an end
            condition.
    """
    config = PolicyConfig.load(checkpoint)
    for step in sequence.steps:
        config.check_instruction(step.instruction)
    asking = next((step for step in sequence.steps if step.until.needs_monitor), None)
    if asking is None:
        return
    if not watches:
        raise InputError(f"Step {asking.label!r} ends by {asking.until.topic}, and monitor is "
                         "off; leave it at report.")
    if MonitorFile.of(SavedCheckpoint.read(checkpoint)) is None:
        raise InputError(f"Step {asking.label!r} ends by {asking.until.topic}, and checkpoint "
                         f"{checkpoint} has no {MONITOR} that says it; type 'tinyvla monitor "
                         f"calibrate {checkpoint} BAG...', or give seconds or a topic.")
