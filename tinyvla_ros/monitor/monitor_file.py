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

"""The file ``monitor.onnx`` of a checkpoint: what it says about itself, and whether it fits."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from tinyvla_ros.core.configuration import Config, parse
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import MONITOR
from tinyvla_ros.policy.backends.compiled_file import read_metadata
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

# Of outputs and metadata; another one is refused.
FORMAT = 1
ABOUT = "monitor"
PROGRESS, DONE, NOVELTY = "progress", "done", "novelty"


class Calibration(Config):
    """When a score is one that successes do not have.

    Attributes:
        format: of the file.
        digest: of the checkpoint that the file was made of.
        window: the novelty is averaged over so long, s.
        pause: after so long without an observation an episode begins, s.
        scale: an averaged novelty of 1.
        times: since the beginning of an episode, s, rising.
        sums: the novelty summed up until then that is 1, unit s; the last holds for good.
        threshold: the score, the larger of both, that counts as an alarm.
        false_alarms: the share wanted, of successes like those it was calibrated with.
        successes: episodes that it was calibrated with.
        checks: what was measured on episodes that nothing was learned from, name -> value.
    """

    format: int
    digest: str
    window: float = Field(gt=0.0)
    pause: float = Field(gt=0.0)
    scale: float = Field(gt=0.0)
    times: tuple[float, ...] = Field(min_length=1)
    sums: tuple[float, ...] = Field(min_length=1)
    threshold: float = Field(gt=0.0)
    false_alarms: float = Field(gt=0.0, lt=1.0)
    successes: int
    checks: dict[str, float] = {}


class MonitorFile:
    """A monitor on disk.

    Attributes:
        path: the file.
        calibration: what it says about itself.

    Args:
        path: the file.

    Raises:
        CheckpointError: it is damaged, or of another format.
    """

    def __init__(self, path: Path):
        self.path = path
        again = "make it again with 'tinyvla monitor calibrate'"
        try:
            about = json.loads(read_metadata(path.read_bytes())[ABOUT])
            if about.get("format") != FORMAT:
                raise CheckpointError(f"{path} has format {about.get('format')!r}, this version "
                                      f"reads {FORMAT}; {again}.")
            self.calibration = parse(Calibration, about, str(path))
        except CheckpointError:
            raise
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError,
                InputError) as err:
            raise CheckpointError(f"{path} is damaged or was not made by 'tinyvla monitor "
                                  f"calibrate' ({type(err).__name__}: {err}); {again}.") from None

    @classmethod
    def of(cls, checkpoint: SavedCheckpoint, is_needed: bool = False) -> MonitorFile | None:
        """Return the monitor of a checkpoint; None if it has none.

        Args:
            checkpoint: of the policy.
            is_needed: whether none is an error.

        Raises:
            CheckpointError: it is damaged, or was made of other weights.
            InputError: there is none, and it is needed.
        """
        path = checkpoint.path / MONITOR
        if not path.is_file():
            if is_needed:
                raise InputError(
                    f"Checkpoint {checkpoint.path} has no {MONITOR}, and an alarm of it shall "
                    f"hold the arm; type 'tinyvla monitor calibrate {checkpoint.path} BAG...', or "
                    "leave monitor at report.")
            return None
        file = cls(path)
        if file.calibration.digest != checkpoint.digest:
            raise CheckpointError(
                f"{path} was calibrated for checkpoint {file.calibration.digest}, and the one "
                f"beside it is {checkpoint.digest}; remove it, or type: tinyvla monitor calibrate "
                f"{checkpoint.path}.")
        return file
