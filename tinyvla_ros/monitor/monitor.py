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

"""The monitor of a running policy: a network beside its own, and a score over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.monitor.monitor_file import DONE, NOVELTY, PROGRESS, MonitorFile
from tinyvla_ros.monitor.score import NoveltyTrace, novelty_ratios
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.backends.compiled_inputs import CompiledInputs
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

UNFAMILIAR = "this looks unlike the successes that the monitor was calibrated with"
LATE = "this takes longer than successes did"


@dataclass(frozen=True)
class MonitorReading:
    """What the monitor says of one observation.

    Attributes:
        progress: of the task, 0 to 1.
        done: how sure it is that the task is done, 0 to 1.
        score: of the episode so far; 1 and more is an alarm.
        reason: what raised an alarm; empty if there is none.
    """

    progress: float
    done: float
    score: float
    reason: str


class Monitor:
    """Judges observations of a policy, one after the other.

    Args:
        file: of the policy's checkpoint.
        config: of the policy.
        threads: CPU threads.

    Raises:
        CheckpointError: the file cannot be run.
        InputError: there is no onnxruntime.
    """

    def __init__(self, file: MonitorFile, config: PolicyConfig, threads: int = 1):
        try:  # a backend's package need not be the one that is installed
            from tinyvla_ros.policy.backends.onnxruntime_backend import open_session
        except ImportError as err:
            raise InputError(f"The monitor {file.path} needs onnxruntime ({err}); type 'pip "
                             "install onnxruntime', or set monitor to off.") from None
        self.calibration = file.calibration
        self._session = open_session(file.path, threads, "calibrate the monitor again with "
                                                         "'tinyvla monitor calibrate'")
        self._inputs = CompiledInputs(config)
        self._names = [i.name for i in self._session.get_inputs()]
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._instruction = ""
        self._trace = NoveltyTrace(self.calibration.window, self.calibration.pause)

    @classmethod
    def of(cls, checkpoint: SavedCheckpoint, threads: int = 1, is_needed: bool = False
           ) -> Monitor | None:
        """Return the monitor of a checkpoint; arguments and errors as ``MonitorFile.of``."""
        file = MonitorFile.of(checkpoint, is_needed)
        return None if file is None else cls(file, checkpoint.config, threads)

    def look(self, inputs: NetworkInputs, stamp_ns: int, instruction: str,
             begins: bool = False) -> MonitorReading:
        """Judge an observation.

        Args:
            inputs: what the policy computed a chunk of.
            stamp_ns: of the observation. Another instruction, a long pause, and an older stamp
                than the last one begin an episode.
            instruction: of the observation.
            begins: whether an episode begins in any case.
        """
        feed = self._inputs(inputs)
        found = dict(zip(self._outputs, self._session.run(
            self._outputs, {name: feed[name] for name in self._names}), strict=True))
        novelty = float(found[NOVELTY][0])
        if not np.isfinite(novelty):
            raise CheckpointError("The monitor's novelty is not finite; calibrate it again with "
                                  "'tinyvla monitor calibrate'.")
        trace = self._trace
        if begins or instruction != self._instruction or not trace.continues(stamp_ns):
            trace = NoveltyTrace(self.calibration.window, self.calibration.pause)
        self._instruction = instruction
        level, self._trace = trace.add(stamp_ns, novelty), trace
        unfamiliar, late = (r / self.calibration.threshold
                            for r in novelty_ratios(level, self.calibration))
        score = max(unfamiliar, late)
        reason = "" if score < 1.0 else UNFAMILIAR if unfamiliar >= late else LATE
        return MonitorReading(float(found[PROGRESS][0]), float(found[DONE][0]), score, reason)
