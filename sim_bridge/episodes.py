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

"""Which episodes an evaluation runs, and when in simulation time; no simulator imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator, model_validator

from sim_bridge.arms import (
    LONGEST_HORIZON,
    METAWORLD,
    SimulatedArm,
    arm_of,
    checked_horizon,
)
from sim_bridge.protocol import Protocol, check_scenes
from sim_bridge.simulated_robot import check_camera_rate
from sim_bridge.task_suites import expand_tasks
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.core.scenes import EPISODE_SCENES, ScenesOption

POLICY_SEED = 0  # of the sampler's noise, where nothing else is given


@dataclass(frozen=True)
class EpisodeSpec:
    """One episode of an evaluation.

    Attributes:
        index: position in the run; decides the simulation time at which it starts.
        task: name of the task.
        seed: decides goal and object position.
        slot_ns: simulation time reserved for an episode.
    """

    index: int
    task: str
    seed: int
    slot_ns: int = METAWORLD.slot_ns

    @property
    def start_ns(self) -> int:
        """Simulation time of the first observation; never 0, which means "unstamped"."""
        return (self.index + 1) * self.slot_ns


def plan_episodes(tasks: list[str], episodes: int, seed: int) -> list[EpisodeSpec]:
    """List the episodes of a run: all of the first task, then the next.

    Raises:
        InputError: no task, a task twice, tasks of several arms, episodes below 1, or a seed
            out of range.
    """
    if not tasks or len(set(tasks)) != len(tasks):
        raise InputError(f"Tasks are {', '.join(tasks) or 'none'}; name at least one, each once, "
                         "for example reach-v3.")
    if episodes < 1:
        raise InputError(f"Episodes is {episodes}; give a number of at least 1.")
    if not 0 <= seed < 1_000_000_000:
        raise InputError(f"Seed is {seed}; give a number from 0 to 999999999.")
    slot_ns = arm_of(tasks).slot_ns
    return [EpisodeSpec(t * episodes + e, task, seed + e, slot_ns)
            for t, task in enumerate(tasks) for e in range(episodes)]


class RunParameters(RunMember):
    """ROS parameters that describe a run; the bridge and the evaluation node share them."""

    tasks: tuple[str, ...] = Field(("reach-v3",), description="MetaWorld tasks, in order; mt10, "
                                   "mt50 and its groups mt50-easy, -medium, -hard and -very-hard "
                                   "stand for theirs, scenes for the eight of "
                                   "shared and chained scenes.")
    episodes: int = Field(10, ge=1, le=100000, description="Episodes per task.")
    seed: int = Field(0, ge=0, le=999999999, description="Seed of the first episode of a task.")
    mode: Literal["lockstep", "realtime"] = Field(
        "lockstep", description="lockstep: reproducible, as fast as the machine allows; "
        "realtime: on the wall clock.")
    camera_rate: float = Field(0.0, ge=0.0, le=80.0, description="Images a second of each camera "
                               "in real time, 80 divided by a whole number; 0 for the "
                               "configuration's, which is 20.")

    horizon: int = Field(0, ge=0, le=LONGEST_HORIZON, description="Control steps after which an "
                         "episode ends without success; 0 for the tasks' own: 500, of "
                         "so101-pick-place 1500.")
    scenes: ScenesOption = Field("", description=EPISODE_SCENES)
    protocol: str = Field("", description="Protocol that the run is of, wholly or in part: a name "
                          "in config/protocols or a file; empty for none.")

    @field_validator("tasks")
    @classmethod
    def _expand(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        return expand_tasks(tasks)

    @model_validator(mode="after")
    def _check_camera_rate(self):
        check_camera_rate(self.camera_rate, self.mode, self.arm)
        return self

    @model_validator(mode="after")
    def _check_horizon(self):
        checked_horizon(self.tasks, self.horizon)
        return self

    @model_validator(mode="after")
    def _check_protocol(self):
        if self.protocol:
            check_scenes(self.protocol, self.scenes)
            Protocol.load(self.protocol).check_run(self.tasks, self.episodes, self.most_steps)
        return self

    @property
    def arm(self) -> SimulatedArm:
        """The arm of the tasks."""
        return arm_of(self.tasks)

    @property
    def most_steps(self) -> int:
        """The horizon in control steps."""
        return checked_horizon(self.tasks, self.horizon)

    def plan(self) -> list[EpisodeSpec]:
        """List the episodes."""
        return plan_episodes(list(self.tasks), self.episodes, self.seed)
