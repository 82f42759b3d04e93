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

"""``tinyvla recipe``, ``tinyvla train`` and ``tinyvla diagnose``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from tinyvla_ros.cli.common import STOPPED, wait_passively
from tinyvla_ros.core.commented_yaml import open_lines
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from training.experiments.options import DataSources, ImageCache, Settings


class RecipeWritingArguments(Config):
    """Options of ``tinyvla recipe``."""

    sources: Annotated[tuple[Path, ...], Flag("--from", metavar="DIR")] = Field(
        min_length=1, description="LeRobotDataset directories of one robot")
    robot: Path | None = Field(
        None, description="robot contract, for the units, limits and inputs of the arm; default: "
        "what the data tell")
    out: Path = Field(Path("recipe.yaml"), description="new file")


def recipe(options: RecipeWritingArguments) -> int:
    """Write a recipe for a user's own data; 2 if none would be of use."""
    from training.recipe_writing.write import write_recipe

    written = write_recipe(options.sources, options.out, options.robot)
    for note in written.notes:
        print(f"note: {note}")
    marked = open_lines(options.out.read_text(encoding="utf-8"))
    if marked:
        numbers = ", ".join(str(line.number) for line in marked)
        print(f"note: line(s) {numbers} of {options.out} are marked TODO; a checkpoint keeps the "
              "units, and a robot contract with others is refused.")
    data = " ".join(str(path) for path in options.sources)
    print(f"{options.out}: {len(written.recipe.cameras)} camera(s), {len(written.recipe.state)} "
          f"state(s), {len(written.recipe.action.channels)} action(s); read it, then\n"
          f"  tinyvla diagnose --config {options.out} --data {data}\n"
          f"  tinyvla train --config {options.out} --data {data} --out runs/mine")
    return 0


class RecipeArguments(Config):
    """Recipe and data."""

    config: Path | None = Field(None, description="recipe, YAML")
    settings: Settings = Field(
        (), description="replace a setting of the recipe, e.g. optimization.steps=100")
    data: DataSources = Field(
        (), description="LeRobotDataset directories, mixed by weight")
    cache: ImageCache = None

    def recipe(self):
        """Read ``--config`` with ``--set`` applied."""
        from training.learning.recipe import Recipe

        return Recipe.load(self.config, self.settings)


class TrainArguments(RecipeArguments):
    """Options of ``tinyvla train``."""

    out: Path | None = Field(None, description="new run directory")
    resume: Annotated[Path | None, Flag(metavar="RUN")] = Field(
        None, description="go on with this run instead; takes recipe and data from it, with "
        "--data from where they are now")
    init: Path | None = Field(None, description="checkpoint to start from (fine-tuning)")
    device: str | None = Field(None, description="torch device; default: cpu")
    threads: int | None = Field(
        None, ge=1, description="CPU threads per process; default: cores / processes")
    processes: int = Field(1, ge=1, description="processes on this machine that share each "
                           "batch; on two CPU cores, two are faster than two threads")
    wandb: Annotated[str | None, Flag(metavar="PROJECT")] = Field(
        None, description="log to Weights & Biases as well")

    @model_validator(mode="after")
    def _new_run_or_resumed_one(self):
        fields = {"config": "config", "settings": "set", "out": "out", "init": "init",
                  "wandb": "wandb"}
        if self.resume is not None:
            mixed = [flag for name, flag in fields.items() if getattr(self, name)]
            if mixed:
                raise ValueError(f"--resume {self.resume} takes everything from the run; leave "
                                 f"--{mixed[0]} out")
            weighted = next((d for d in self.data if "=" in d and not Path(d).exists()), None)
            if weighted:
                raise ValueError(f"--data {weighted} gives a weight, and --resume takes it from "
                                 "the run; give the directory alone")
        else:
            missing = [n for n in ("config", "data", "out") if not getattr(self, n)]
            if missing:
                raise ValueError(f"--{missing[0]} is missing; give --config, --data and --out, "
                                 "or --resume RUN")
        return self


def train(options: TrainArguments) -> int:
    """Train from the start or go on with a run; 143 if it was stopped."""
    wait_passively()
    if options.resume is None:
        options.recipe()  # before anything heavy is imported
    from training.jobs.child import run_to_its_end
    from training.learning.mixture import parse_sources
    from training.learning.run_directory import RunDirectory
    from training.learning.train import RunOptions, begun_run, check_run, resume
    from training.learning.train import train as train_policy

    run, sources = options.resume or options.out, parse_sources(options.data)
    places = [path for path, _ in sources]
    if options.resume is not None:
        recipe, run_options = begun_run(run, options.device, options.threads, options.cache,
                                        places)
    else:
        if "WORLD_SIZE" not in os.environ:  # the first process of several makes it
            RunDirectory.check_new(run)
        recipe, run_options = options.recipe(), RunOptions(
            sources, options.device or "cpu", options.threads, options.init, options.wandb,
            options.cache)
    if options.processes > 1 and "WORLD_SIZE" not in os.environ:
        # Here once, so that what is wrong is said once, and the images are decoded once.
        check_run(recipe, run_options, options.processes)
        # This command again, once in every process.
        code, was_stopped = run_to_its_end(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
             str(options.processes), "-m", "tinyvla_ros.cli", *sys.argv[1:]])
        return STOPPED if was_stopped else code
    if options.resume is not None:
        complete = resume(run, options.device, options.threads, options.cache, places)
    else:
        complete = train_policy(recipe, run_options, run)
    if not complete:
        print(f"stopped, all saved; go on with: tinyvla train --resume {run}")
        return STOPPED
    print(f"run: {run}; checkpoints: {run}/best, {run}/last")
    return 0


class DiagnoseArguments(RecipeArguments):
    """Options of ``tinyvla diagnose``."""

    old_names = {"utilisation": "utilization"}

    checkpoint: Path | None = Field(
        None, description="checkpoint directory, in place of --config")
    gpu_gb: float = Field(6.0, gt=0, allow_inf_nan=False, description="memory of the GPU the "
                          "largest batch is computed for, 10^9 bytes")
    utilization: float = Field(
        0.65, gt=0, le=1, description="share of it that training may take; the rest is the "
        "driver's, the libraries' workspace and what fragments")
    device: str = Field("cpu", description="torch device")
    steps: int = Field(150, ge=1, description="steps of the one-batch overfit check")
    out: Path | None = Field(None, description="report as JSON, a new file")

    @model_validator(mode="after")
    def _recipe_or_checkpoint(self):
        if bool(self.config) == bool(self.checkpoint):
            given = "Both --config and --checkpoint are" if self.config else \
                "Neither --config nor --checkpoint is"
            raise ValueError(f"{given} given; give one of them")
        if self.checkpoint and self.settings:
            raise ValueError(f"--set {self.settings[0]} changes a recipe; leave it out with "
                             "--checkpoint")
        if self.out and self.out.exists():
            raise ValueError(f"Output {self.out} exists; choose a new file, nothing was "
                             "overwritten")
        return self


def diagnose(options: DiagnoseArguments) -> int:
    """Diagnose and print a report; 1 if there are problems, not for warnings alone."""
    wait_passively()
    # Read when torch is loaded: its profiler does not report on stderr that it starts and stops.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch

    from tinyvla_ros.core.files import write_json
    from training.diagnose.diagnosis import Subject, checkpoint_subject
    from training.diagnose.diagnosis import diagnose as diagnose_subject
    from training.diagnose.report import report_data, report_text
    from training.learning.mixture import parse_sources

    # A small batch: on cores that others use too, two threads would mostly wait for each other.
    torch.set_num_threads(1)
    subject = checkpoint_subject(options.checkpoint) if options.checkpoint else \
        Subject(str(options.config), options.recipe())
    diagnosis = diagnose_subject(subject, parse_sources(options.data), options.device,
                                 options.steps, options.gpu_gb, options.utilization,
                                 options.cache)
    print(report_text(diagnosis))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, report_data(diagnosis))
        print(f"report: {options.out}")
    return 1 if any(f.error for f in diagnosis.findings) else 0
