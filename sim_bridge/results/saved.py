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

"""Results of an evaluation, read again: ``results.json`` and the episodes beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError, model_validator

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError


class TaskResult(BaseModel):
    """Of one task.

    Attributes:
        episodes: that were run.
        successes: of them.
        successes_within: the same by a number of control steps, where the protocol asks for it.
    """

    episodes: int = Field(ge=1)
    successes: int = Field(ge=0)
    successes_within: dict[int, int] = {}

    @model_validator(mode="after")
    def _check_successes(self):
        for successes in (self.successes, *self.successes_within.values()):
            if not 0 <= successes <= self.episodes:
                raise ValueError(f"{successes} successes of {self.episodes} episodes")
        return self


class _Protocol(BaseModel):
    """What is read of a protocol beyond single values."""

    seeds: tuple[int, int] | None = None
    cameras: dict[str, dict] | None = None
    versions: dict | None = None


class _File(BaseModel):
    protocol: _Protocol
    tasks: dict[str, TaskResult] = Field(min_length=1)


class _Line(BaseModel):
    task: str
    seed: int
    success: bool
    steps: int | None = None


@dataclass(frozen=True)
class SavedResults:
    """An evaluation.

    Attributes:
        path: that was read.
        protocol: how it was made, as ``results.protocol`` describes it.
        tasks: counts by task.
        outcomes: success by task and seed; empty where episodes were not kept.
        steps: control steps by task and seed, of the same.
    """

    path: Path
    protocol: dict
    tasks: dict[str, TaskResult]
    outcomes: dict[tuple[str, int], bool]
    steps: dict[tuple[str, int], int]

    @classmethod
    def read(cls, path: str | Path) -> SavedResults:
        """Read a directory of results, or a file such as a checkpoint's ``evaluation.json``.

        Raises:
            InputError: it cannot be read, is cut off, or contradicts itself.
        """
        path = Path(path)
        file = path / "results.json" if path.is_dir() else path
        if path.is_dir() and not file.exists() and (path / "evaluation.json").exists():
            file = path / "evaluation.json"
        try:
            content = read_json(file)
            tasks = _File.model_validate(content).tasks
        except ValidationError as err:
            where = ".".join(map(str, err.errors()[0]["loc"])) or "it"
            raise InputError(f"{file} holds no results of an evaluation ({where}: "
                             f"{err.errors()[0]['msg'].lower()}); give a directory that sim-eval "
                             "or evaluate wrote, or its results.json.") from None
        lines = _episodes(file.with_name("episodes.jsonl"))
        outcomes = {key: line.success for key, line in lines.items()}
        for task, result in tasks.items():
            mine = [success for (t, _), success in outcomes.items() if t == task]
            if outcomes and (len(mine), sum(mine)) != (result.episodes, result.successes):
                raise InputError(
                    f"{file} says {result.successes} of {result.episodes} for {task}, and "
                    f"episodes.jsonl beside it has {sum(mine)} of {len(mine)}; one of them is "
                    "of another run.")
        return cls(path, content["protocol"], tasks, outcomes, {
            key: line.steps for key, line in lines.items() if line.steps is not None})

    def within(self, horizon: int) -> SavedResults:
        """Return the results as they would be had episodes ended after fewer control steps.

        Raises:
            InputError: they ended earlier, or the results do not tell.
        """
        known = self.protocol.get("horizon")
        if horizon == known:
            return self
        if not isinstance(known, int) or horizon > known:
            raise InputError(f"Episodes of {self.path} ended after {known or 'unknown'} steps; "
                             f"--horizon {horizon} needs results of at least as many.")
        outcomes = {key: success and self.steps[key] <= horizon for key, success
                    in self.outcomes.items()} if self.outcomes.keys() == self.steps.keys() else {}
        tasks = {}
        for task, result in self.tasks.items():
            count = result.successes_within.get(horizon)
            if outcomes:
                count = sum(success for (t, _), success in outcomes.items() if t == task)
            if count is None:
                raise InputError(f"{self.path} does not tell which episodes succeeded within "
                                 f"{horizon} steps; give a directory that has episodes.jsonl.")
            tasks[task] = TaskResult(episodes=result.episodes, successes=count)
        return replace(self, protocol=self.protocol | {"horizon": horizon}, tasks=tasks,
                       outcomes=outcomes)


def _episodes(path: Path) -> dict[tuple[str, int], _Line]:
    """Return lines by task and seed, empty without the file."""
    if not path.exists():
        return {}
    lines: dict[tuple[str, int], _Line] = {}
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise InputError(f"{path} cannot be read: {err}; run the evaluation again.") from None
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = _Line.model_validate(json.loads(text))
        except (json.JSONDecodeError, ValidationError):
            raise InputError(f"{path}, line {number}, is cut off or no episode "
                             f"({text[:60]!r}); run the evaluation again.") from None
        lines[line.task, line.seed] = line
    return lines
