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

"""What came of trials, a line each as soon as it was judged.

::

    OUT/settings.json    what is tried, to go on with the same
    OUT/trials.jsonl     a line per judged trial
    OUT/episodes/        a bag per trial, judged or not
    OUT/logs/            what the nodes printed
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import begin_or_go_on

TRIALS, EPISODES, LOGS = "trials.jsonl", "episodes", "logs"
Outcome = Literal["success", "partial", "failure"]


class JudgedTrial(Config):
    """A line of ``trials.jsonl``.

    Attributes:
        number, scene, instruction, card: see ``Trial``.
        checkpoint: digest.
        outcome: the operator's judgment.
        seconds: from the start to the judgment.
        note: the operator's words.
        episode: name of the bag below ``episodes``; empty if none was recorded.
        date: when it was judged, ISO 8601.
    """

    number: int = Field(ge=1)
    scene: int = Field(ge=1)
    instruction: str
    card: str
    checkpoint: str
    outcome: Outcome
    seconds: float = Field(ge=0.0)
    note: str = ""
    episode: str = ""
    date: str


class TrialLog:
    """The directory of a series of trials; made, or gone on with.

    Attributes:
        out: the directory.
        trials: those that were judged, by number.

    Args:
        out: new, empty, or of a series with the same settings.
        settings: what is tried, plain data.

    Raises:
        InputError: it is of other trials, damaged, or cannot be written.
    """

    def __init__(self, out: Path, settings: dict):
        self.out = out
        begin_or_go_on(out, settings)
        self.trials = self._read()

    def add(self, trial: JudgedTrial) -> None:
        """Write a line; it is on the disk when this returns."""
        try:
            with (self.out / TRIALS).open("a", encoding="utf-8") as file:
                file.write(trial.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as err:
            raise InputError(f"{self.out / TRIALS} cannot be written ({err.strerror}); make room "
                             f"and go on with the same command: trial {trial.number} was "
                             f"{trial.outcome!r}, and comes again.") from None
        self.trials[trial.number] = trial

    def _read(self) -> dict[int, JudgedTrial]:
        file = self.out / TRIALS
        if not file.is_file():
            return {}
        text = file.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            last = text[text.rfind("\n") + 1:]
            try:
                JudgedTrial.model_validate_json(last)
                text += "\n"  # as some editors leave it
            except ValidationError:  # killed while it was written: that trial comes again
                text = text.removesuffix(last)
            part = file.with_name(file.name + ".part")
            part.write_text(text, encoding="utf-8")
            os.replace(part, file)
        trials = {}
        for number, line in enumerate(text.splitlines(), 1):
            try:
                trial = JudgedTrial.model_validate_json(line)
            except ValidationError as err:
                where = ".".join(map(str, err.errors()[0]["loc"])) or "the line"
                raise InputError(f"{file}, line {number}: {where}: "
                                 f"{err.errors()[0]['msg'].lower()}; mend the line, or delete it "
                                 "to repeat that trial.") from None
            trials[trial.number] = trial
        return trials
