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

"""``tinyvla collect`` and ``tinyvla data``: make and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sim_bridge.protocol import check_scenes
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.tables import markdown_table
from training.experiments.options import Scenes, Settings, Tasks
from training.jobs.options import RayAddress, WorkerCount


class CollectArguments(Config):
    """Options of ``tinyvla collect``."""

    tasks: Tasks = Field(
        (), description="MetaWorld tasks; mt10, mt50 and its groups mt50-easy, -medium, "
        "-hard and -very-hard stand for theirs, scenes for the eight of --scenes shared and "
        "chained; default: the protocol's")
    episodes: int | None = Field(None, ge=1, description="episodes per task; default: the "
                                 "demonstrations of the protocol")
    protocol: str = Field("", description="collect what this protocol allows a policy, a name in "
                          "config/protocols or a file; fewer tasks, episodes and cameras may be "
                          "given")
    seed: int = Field(0, ge=0, description="seed of the first episode of every task")
    out: Path = Field(description="new LeRobotDataset directory")
    scenes: Scenes = ""
    cameras: tuple[str, ...] = Field(
        (), description="cameras of config/metaworld.yaml to record; default: the protocol's, "
        "or side, front and wrist")
    noise: float = Field(
        1.0, description="largest amplitude of the pushes that disturb the expert")
    stretch: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field(
        (1,), min_length=1, description="control steps that an action takes; each demonstration "
        "draws one of them: 1 is the expert's own pace, 2 half of it")
    plan_rows: int = Field(
        24, ge=0, le=256, description="record with every frame so many control steps that the "
        "expert would take undisturbed, which chunks are learned from; 0 for none")
    policy: Path | None = Field(
        None, description="checkpoint that drives the first part of every episode, while the "
        "expert's actions are recorded (DAgger; in 14 tasks an expert that takes hold of "
        "an object again, docs/mt50.md), and in chained scenes of drawer, window and "
        "door does the task and undoes it before; default: the expert drives all of it")
    policy_steps: int = Field(
        100, ge=4, le=500, description="control steps after which the expert takes over from "
        "--policy at the latest; each episode draws a number up to it")
    workers: WorkerCount = None
    ray: RayAddress = None

    @model_validator(mode="after")
    def _tasks_and_episodes_or_a_protocol(self):
        missing = [name for name in ("tasks", "episodes") if not getattr(self, name)]
        if missing and not self.protocol:
            raise ValueError(f"--{missing[0]} is missing; give --tasks and --episodes, or "
                             "--protocol")
        if self.policy is None and "policy_steps" in self.model_fields_set:
            raise ValueError(f"--policy-steps {self.policy_steps} is given without --policy; give "
                             "both, or neither")
        check_scenes(self.protocol, self.scenes)
        return self


def collect(options: CollectArguments) -> int:
    """Collect demonstrations."""
    from sim_bridge.protocol import Protocol
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    from sim_bridge.task_suites import expand_tasks
    from training.data.collect import Driver
    from training.data.collect import collect as collect_demonstrations
    from training.jobs.episodes import PolicySource

    robot = SimulatedRobotConfig.load(scenes=options.scenes)
    tasks, episodes, cameras = expand_tasks(options.tasks), options.episodes, options.cameras
    if options.protocol:
        protocol = Protocol.load(options.protocol)
        protocol.check_demonstrations(tasks, episodes or 1, cameras)
        tasks, cameras = tasks or protocol.tasks, cameras or protocol.cameras
        episodes = episodes or protocol.demonstrations
    if cameras:
        robot = robot.with_cameras(cameras)
    attempts = collect_demonstrations(
        list(tasks), episodes, options.seed, options.out,
        options.noise, options.workers, robot, stretch=options.stretch,
        plan_rows=options.plan_rows, ray=options.ray, driver=None if options.policy is None else
        Driver(PolicySource(options.policy), options.policy_steps))
    print(markdown_table(
        ("task", "demonstrations", "tried", "the disturbed expert succeeded"),
        [(task, len(found.seeds), found.tried, rate_text([True] * len(found.seeds) + [False] * (
            found.tried - len(found.seeds)))) for task, found in attempts.items()]))
    print(f"demonstrations: {options.out}")
    return 0


class DataCheckArguments(Config):
    """Options of ``tinyvla data check``."""

    directory: Annotated[Path, Flag(positional=True)] = Field(
        description="LeRobotDataset v3.0 directory")
    out: Path | None = Field(
        None, description="directory for report.json and the contact sheets; default: "
        "results/data_check/<name of the dataset>")
    config: Path | None = Field(
        None, description="recipe, YAML: check also what training with it would ask")
    settings: Settings = Field(
        (), description="replace a setting of the recipe, e.g. action.dt=0.05")

    @model_validator(mode="after")
    def _settings_have_a_recipe(self):
        if self.settings and self.config is None:
            raise ValueError(f"--set {self.settings[0]} changes a recipe; give --config as well")
        return self


def check(options: DataCheckArguments) -> int:
    """Check a dataset and print the report; 1 if there are errors, not for warnings alone."""
    from training.data_check.check import check_dataset, report_text

    wanted = None
    if options.config is not None:
        from training.data.checks.declarations import Wanted
        from training.learning.recipe import Recipe

        recipe = Recipe.load(options.config, options.settings)
        wanted = Wanted(recipe.cameras, recipe.state, recipe.action)
    report, out = check_dataset(options.directory, options.out, wanted)
    print(report_text(report))
    print(f"\nreport and {len(report['contact_sheets'])} contact sheet(s): {out}")
    return 1 if report["errors"] else 0
