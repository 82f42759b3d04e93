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
from tinyvla_ros.monitor.interface import MonitorAction
from tinyvla_ros.monitor.monitor_file import MonitorFile
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from tinyvla_ros.sequence.steps import Sequence


def check_sequence(sequence: Sequence, checkpoint: str | Path,
                   monitor: MonitorAction = "report") -> None:
    """Check a sequence against a checkpoint directory.

    Args:
        sequence: to run.
        checkpoint: of the policy.
        monitor: what the monitor of the checkpoint does.

    Raises:
        InputError: the policy cannot take an instruction, or lacks the monitor for a condition.
    """
    config = PolicyConfig.load(checkpoint)
    for step in sequence.steps:
        config.check_instruction(step.instruction)
    asking = [(f"{field} of step {step.label!r} asks {condition.topic}", condition)
              for step in sequence.steps for field, condition in step.conditions.items()
              if condition.needs_monitor]
    if not asking:
        return
    for asks, condition in asking:
        if monitor == "off" or (monitor == "hold" and condition.asks_for_alarm):
            raise InputError(f"{asks}, and monitor is {monitor}" + (
                ", so that the arm is held before the try is given up" if monitor == "hold"
                else "") + "; leave it at report.")
    asks = asking[0][0]
    if MonitorFile.of(SavedCheckpoint.read(checkpoint)) is None:
        raise InputError(f"{asks}, and checkpoint "
                         f"{checkpoint} has no {MONITOR} that says it; type 'tinyvla monitor "
                         f"calibrate {checkpoint} BAG...', or ask another topic.")
