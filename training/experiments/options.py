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

"""What evaluations and studies take; imports nothing heavy, so that the help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim_bridge.protocol import check_scenes
from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.scenes import EPISODE_SCENES, ScenesOption
from tinyvla_ros.policy.backends.backend import BackendName
from tinyvla_ros.start.graph import SimEvalOptions
from tinyvla_ros.start.node_description import directory_of_now
from training.jobs.options import RayAddress, WorkerCount

PromptCondition = Literal["right", "unseen", "other", "twin", "none"]
PROMPT_CONDITIONS = {
    "right": "its instruction", "unseen": "a wording never trained on",
    "other": "another task's instruction",
    "twin": "the instruction of the task that looks like it", "none": "no instruction"}
# Asked where nothing else is said; not all tasks have a twin.
USUAL_CONDITIONS = tuple(name for name in PROMPT_CONDITIONS if name != "twin")
Tasks = Annotated[tuple[str, ...], Flag(metavar="TASK")]
Scenes = Annotated[ScenesOption, Field(description=EPISODE_SCENES.removesuffix("."))]
Settings = Annotated[tuple[str, ...], Flag("--set", metavar="KEY=VALUE", repeated=True)]
DataSources = Annotated[tuple[str, ...], Flag(metavar="DIR[=WEIGHT]")]
ImageCache = Annotated[Path | None, Field(
    description="directory for decoded images; default: beside each dataset, as DIR.cache")]

STUDY_WORKERS = 2  # on this machine


class EvaluationOptions(Config):
    """Options of ``tinyvla evaluate``: those of ``tinyvla sim-eval``, without time and topics."""

    tasks: Tasks = SimEvalOptions.model_fields["tasks"]
    episodes: int = SimEvalOptions.model_fields["episodes"]
    seed: int = SimEvalOptions.model_fields["seed"]
    checkpoint: str = SimEvalOptions.model_fields["checkpoint"]
    out: Path = Field(default_factory=lambda: Path(directory_of_now("evaluate")),
                      description="directory for results and images; default: "
                                  "results/evaluate-TIME")
    backend: BackendName = SimEvalOptions.model_fields["backend"]
    device: str = SimEvalOptions.model_fields["device"]
    horizon: int = SimEvalOptions.model_fields["horizon"]
    protocol: str = SimEvalOptions.model_fields["protocol"]
    config: str = Field("", description="Configuration of the simulated robot, a file like "
                        "config/so101.yaml, for other cameras or another table; empty for that "
                        "of the tasks' arm")
    workers: WorkerCount = None
    ray: RayAddress = None
    scenes: Scenes = ""

    @model_validator(mode="after")
    def _protocols_have_standard_scenes(self):
        check_scenes(self.protocol, self.scenes)
        return self

    @model_validator(mode="after")
    def _protocols_have_their_robot(self):
        if self.protocol and self.config:
            raise ValueError(f"--config {self.config} is given, and the protocol {self.protocol} "
                             "is of the robot that comes with the package; leave one of them out")
        return self

    @model_validator(mode="after")
    def _ray_on_cpus(self):
        if self.ray is not None and self.device != "cpu":
            raise ValueError(f"--device is {self.device}; with --ray every episode has one CPU, "
                             "give --device cpu")
        return self


class StudyOptions(Config):
    """Options of every study."""

    out: Path = Field(description="directory for results; the same command again continues")
    workers: int | None = Field(None, ge=1, description="processes, one thread each; default: "
                                f"{STUDY_WORKERS}, or with --ray the CPUs of the cluster")
    ray: RayAddress = None


class AblationOptions(StudyOptions):
    """Options of ``tinyvla ablate``."""

    old_names = {"execute_steps": "n_action_steps"}

    data: DataSources = Field(description="LeRobotDataset directories, mixed by weight")
    cache: ImageCache = None
    bad: Path | None = Field(
        None, description="recipe to start from; default: config/train/exploding.yaml")
    good: Path | None = Field(
        None, description="recipe to arrive at; default: config/train/stable.yaml")
    reference: Path | None = Field(
        None, description="another recipe with the same budget, reported apart")
    settings: Settings = Field(
        (), description="replace a setting in all of these recipes, e.g. for smaller images")
    samples: int = Field(description="observations every run trains on; steps = samples / batch "
                         "size")
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Flag(metavar="SEED")] = Field(
        (0, 1, 2), description="seeds of the runs of each recipe")
    tasks: Tasks = Field((), description="MetaWorld tasks to evaluate on")
    episodes: int = Field(10, ge=0, description="episodes per task and run; 0 for no evaluation")
    eval_seed: int = Field(20000, description="seed of the first episode of every task")
    n_action_steps: int | None = Field(
        None, ge=1, description="actions executed per chunk in the evaluation; default: the "
        "recipe's")

    @model_validator(mode="after")
    def _each_seed_once(self):
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"--seeds is {' '.join(map(str, self.seeds))}; give each seed once")
        return self

    @model_validator(mode="after")
    def _tasks_to_evaluate(self):
        if self.episodes and not self.tasks:
            raise ValueError(f"--episodes is {self.episodes} without tasks; give --tasks, or "
                             "--episodes 0")
        return self


class LossStudyOptions(StudyOptions):
    """Options of ``tinyvla loss-vs-success``."""

    old_names = {"execute_steps": "n_action_steps"}

    directory: Annotated[Path, Flag(metavar="RUN", positional=True)] = Field(
        description="run directory; its snapshots (optimization.snapshot_every) are evaluated")
    data: DataSources = Field(
        (), description="the run's data, where they are now; default: where they were")
    cache: ImageCache = None
    tasks: Tasks = Field(description="MetaWorld tasks")
    episodes: int = Field(20, ge=1, description="episodes per task and snapshot")
    seed: int = Field(30000, description="seed of the first episode of every task")
    n_action_steps: int | None = Field(
        None, ge=1, description="actions executed per chunk; default: the checkpoint's")


class LatencyStudyOptions(StudyOptions):
    """Options of ``tinyvla latency-vs-success``."""

    checkpoint: Path | None = Field(
        None, description="checkpoint directory; default: the shipped one")
    tasks: Tasks = Field(("reach-v3", "button-press-v3", "pick-place-v3"),
                         description="MetaWorld tasks")
    joins: tuple[ChunkBlending, ...] = Field(
        ("replace", "auto"), description="ways of blending chunks, see docs/arm.md")
    paces: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Flag(metavar="PACE")] = \
        Field((1.0, 0.0), description="paces of the execution; 0 for the robot's own setting")
    settings: Annotated[tuple[str, ...], Flag(metavar="SETTINGS")] = Field(
        ("",), description="further fields of the robot contract's execution, such as "
        "catch_up=0,takeover=1; an empty one for the robot's own")
    latencies: Annotated[tuple[Annotated[float, Field(ge=0, le=10000)], ...],
                         Flag(metavar="MS")] = Field(
        (0, 50, 100, 200), description="from image to chunk, simulated time")
    dropped: Annotated[tuple[Annotated[float, Field(ge=0, lt=100)], ...],
                       Flag(metavar="PERCENT")] = Field(
        (), description="images lost, in percent, at the latency --at")
    jitters: Annotated[tuple[Annotated[float, Field(ge=0, le=10000)], ...],
                       Flag(metavar="MS")] = Field(
        (), description="largest latency that an inference adds to --at at random")
    camera_rates: Annotated[tuple[Annotated[float, Field(gt=0, le=80)], ...],
                            Flag(metavar="HZ")] = Field(
        (), description="images per second, at the latency --at")
    at: Annotated[float, Flag(metavar="MS")] = Field(
        50, ge=0, le=10000, description="latency while the others vary")
    episodes: int = Field(20, ge=1, description="episodes per task and cell")
    seed: int = Field(40000, description="seed of the first episode of every task")


class LanguageStudyOptions(StudyOptions):
    """Options of ``tinyvla language-vs-success``."""

    checkpoint: Path | None = Field(
        None, description="checkpoint directory; default: the shipped one for MT10")
    tasks: Tasks = Field(
        (), description="MetaWorld tasks; default: all that the wordings file names")
    wordings: Annotated[Path | None, Flag(metavar="FILE")] = Field(
        None, description="YAML: task -> wordings never trained on; default: "
        "config/mt10_unseen_wordings.yaml, or shared_unseen_wordings.yaml")
    scenes: Scenes = ""
    told: tuple[PromptCondition, ...] = Field(
        USUAL_CONDITIONS,
        description="; ".join(f"{k}: {v}" for k, v in PROMPT_CONDITIONS.items()))
    episodes: int = Field(10, ge=1, description="episodes per task and row")
    seed: int = Field(50000, description="seed of the first episode of every task")
