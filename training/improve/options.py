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

"""Options of ``tinyvla improve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from training.experiments.options import (
    DataSources,
    EvaluationOptions,
    ImageCache,
    Settings,
    Tasks,
)
from training.improve.rules import RuleName
from training.jobs.options import WorkerCount


class ImproveOptions(Config):
    """A checkpoint, what it and people did on the arm, and how they become a better one."""

    checkpoint: Annotated[Path, Flag(metavar="CHECKPOINT", positional=True)] = Field(
        description="checkpoint directory; it is only read")
    bags: Annotated[tuple[Path, ...], Flag(metavar="BAG", positional=True)] = Field(
        min_length=1, description="recorded episodes, or folders of them")
    data: DataSources = Field(
        min_length=1, description="LeRobotDataset directories that it was trained with, mixed by "
        "weight")
    out: Path = Field(description="directory for everything that is made; the same command again "
                                  "continues")
    rule: RuleName = Field(
        "human", description="what is learned of the episodes; human: what people did in "
        "takeovers and demonstrations; mixed: that, and what the policy did right, in successful "
        "episodes and not just before a takeover; success: successful episodes as they are, "
        "whoever commanded")
    share: float = Field(
        0.5, gt=0, lt=1, allow_inf_nan=False, description="share of every batch that comes from "
        "the episodes; the rest comes from --data")
    lead_up: Annotated[float, Flag(metavar="S")] = Field(
        1.0, ge=0, le=60, allow_inf_nan=False, description="with rule mixed: so much of what the "
        "policy did before a takeover is left out, s")
    steps: int = Field(1000, ge=1, description="optimizer steps")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="its peak; default: a third of the recipe's own")
    settings: Settings = Field(
        (), description="replace a setting of the checkpoint's recipe, e.g. "
        "optimization.batch_size=32")
    robot: Path | None = Field(None, description="robot contract; default: the one in each bag")
    tolerance: float | None = Field(
        None, ge=0, le=1, description="see 'tinyvla bag export'; default: as in --data, where "
        "these were exported from bags")
    tasks: Tasks = Field(
        (), description="simulated tasks on which both checkpoints are evaluated; without them "
        "the new one is not judged")
    episodes: int = Field(50, ge=1, le=100000, description="episodes per task of that evaluation")
    seed: int = Field(30000, ge=0, description="seed of the first of them; take others than for "
                      "the episodes")
    horizon: int = Field(0, ge=0, description="control steps after which one ends; 0 for the "
                         "tasks' own")
    config: str = EvaluationOptions.model_fields["config"]
    processes: int = Field(1, ge=1, description="processes that train, see 'tinyvla train'")
    threads: int | None = Field(None, ge=1, description="CPU threads of each; default: cores / "
                                "processes")
    device: str = Field("cpu", description="torch device of the training")
    workers: WorkerCount = None
    cache: ImageCache = None

    @field_validator("settings")
    @classmethod
    def _settings_without_an_option(cls, settings: tuple[str, ...]) -> tuple[str, ...]:
        for name in ("steps", "learning_rate"):
            if any(s.startswith(f"optimization.{name}=") for s in settings):
                raise ValueError(f"give --{name.replace('_', '-')} in place of "
                                 f"optimization.{name}")
        return settings

    @model_validator(mode="after")
    def _lead_up_where_it_counts(self):
        if self.rule != "mixed" and "lead_up" in self.model_fields_set:
            raise ValueError(f"--lead-up is for rule mixed, and --rule is {self.rule}; leave it "
                             "out")
        return self
