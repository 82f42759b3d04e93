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

"""The configuration of a simulated robot (``config/metaworld.yaml``): cameras, instructions.

No simulator is imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sim_bridge.arms import ARMS, METAWORLD, ArmName, SimulatedArm, arm_of
from tinyvla_ros.core.configuration import Config, parse, read_yaml
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.core.scenes import Scenes

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def check_camera_rate(rate: float, mode: str, arm: SimulatedArm = METAWORLD) -> None:
    """Refuse a rate of the cameras, Hz, that control steps cannot give; 0 is the usual one.

    Raises:
        InputError: it is not the control rate divided by a whole number, or time stands still.
    """
    if not rate:
        return
    if mode != "realtime":
        raise InputError(f"The camera rate is {rate:g} Hz, and in lock-step images come with each "
                         "observation; leave it out, or choose the mode realtime.")
    most = 1.0 / arm.control_dt
    if abs(most / rate - round(most / rate)) > 1e-3 or rate > most:
        raise InputError(f"The camera rate is {rate:g} Hz; give {most:g} divided by a whole "
                         f"number, for example {most:g}, {most / 2:g} or {most / 4:g}.")


class CameraPose(Config):
    """A simulated camera: a free one with a pose, or one that the MuJoCo model carries.

    Attributes:
        width: columns of its images.
        height: rows.
        lookat: point a free camera looks at, world frame, m.
        distance: of a free camera from that point, m.
        azimuth: of a free camera, degrees.
        elevation: of a free camera, degrees.
        model_camera: name of a camera of the model, in place of the four above.
        fovy: vertical field of view of a model's camera, degrees.
        position: of a model's camera in its body's frame, m, in place of the model's.
        upside_down: a model's camera hangs upside down; its images are turned by half a turn.
        recorded: rows and columns of its images in demonstrations.
    """

    width: int = Field(ge=16, le=1920)
    height: int = Field(ge=16, le=1080)
    lookat: tuple[float, float, float] | None = None
    distance: float | None = Field(None, gt=0.0, le=10.0)
    azimuth: float | None = Field(None, ge=-360.0, le=360.0)
    elevation: float | None = Field(None, ge=-90.0, le=90.0)
    model_camera: str | None = None
    fovy: float | None = Field(None, gt=1.0, lt=170.0)
    position: tuple[float, float, float] | None = None
    upside_down: bool = False
    recorded: int = Field(96, ge=16, le=1080)

    @model_validator(mode="after")
    def _check_free_or_model_camera(self):
        free = [v is not None for v in (self.lookat, self.distance, self.azimuth, self.elevation)]
        of_model = [v is not None for v in (self.model_camera, self.fovy)]
        if (all(free), any(of_model)) != (True, False) and \
                (any(free), all(of_model)) != (False, True):
            raise ValueError("give lookat, distance, azimuth and elevation, or else model_camera "
                             "and fovy")
        if self.model_camera is None and (self.position is not None or self.upside_down):
            raise ValueError("position and upside_down are of a model_camera; give that too")
        return self


class Surroundings(Config):
    """What is around the arm; None for what the model has. Of the SO-101 alone.

    Attributes:
        table_color: red, green and blue of the table, 0 to 1.
        cube_mass: kg.
    """

    table_color: tuple[Share, Share, Share] | None = None
    cube_mass: float | None = Field(None, gt=0.0, le=1.0)


class SimulatedRobotConfig(Config):
    """Cameras and instructions of the simulated robot; its joints are those of the model.

    Attributes:
        name: of the arm.
        fovy: vertical field of view of the free cameras, degrees.
        camera_every: control steps between two camera frames.
        cameras: camera name -> pose.
        more_cameras: the same, of those that are rendered for who asks for them by name.
        instructions: task -> instruction.
        shared_instructions: task -> instruction in shared scenes.
        surroundings: table and objects, where they are not those of the model.
        scenes: ``shared`` for scenes in which only the instruction distinguishes two tasks,
            ``chained`` for those in which one follows the other
            (``sim_bridge.metaworld.shared_scenes``).
    """

    name: ArmName = "metaworld"
    fovy: float = Field(gt=1.0, lt=170.0)
    camera_every: int = Field(ge=1, le=80)
    cameras: dict[str, CameraPose] = Field(min_length=1)
    more_cameras: dict[str, CameraPose] = {}
    instructions: dict[str, str] = Field(min_length=1)
    shared_instructions: dict[str, str] = {}
    surroundings: Surroundings = Surroundings()
    scenes: Scenes = "standard"

    @model_validator(mode="after")
    def _surroundings_of_an_arm_that_has_them(self):
        if self.name == "metaworld" and self.surroundings != Surroundings():
            raise ValueError("surroundings are of the SO-101; leave them out for metaworld")
        return self

    @classmethod
    def load(cls, path: str | Path | None = None, scenes: str = ""
             ) -> SimulatedRobotConfig:
        """Read a configuration file; without a path, the one shipped with the package.

        Args:
            path: YAML file.
            scenes: in place of the value in the file; empty for that.
        """
        path = Path(path) if path else share_directory() / "config" / "metaworld.yaml"
        data = read_yaml(path)
        if scenes and isinstance(data, dict):
            data = data | {"scenes": scenes}
        return parse(cls, data, str(path))

    @classmethod
    def of(cls, tasks: Iterable[str], scenes: str = "") -> SimulatedRobotConfig:
        """Read the file shipped for the arm of some tasks; raises as ``arm_of``."""
        name = arm_of(tasks).name
        return cls.load(share_directory() / "config" / f"{name}.yaml", scenes)

    @classmethod
    def for_tasks(cls, tasks: Iterable[str], path: str | Path = "", scenes: str = ""
                  ) -> SimulatedRobotConfig:
        """Read a file, or without one that of the tasks' arm; ``scenes`` as in ``load``.

        Raises:
            InputError: it cannot be read, or is of another arm.
        """
        if not path:
            return cls.of(tasks, scenes)
        robot, arm = cls.load(path, scenes), arm_of(tasks)
        if robot.arm is not arm:
            raise InputError(f"{path} describes the arm {robot.name}, and the tasks are of "
                             f"{arm.name}; give tasks of one arm and its configuration.")
        return robot

    @property
    def arm(self) -> SimulatedArm:
        """What is fixed about the arm."""
        return ARMS[self.name]

    @model_validator(mode="after")
    def _check_names(self):
        if both := self.cameras.keys() & self.more_cameras.keys():
            raise ValueError(f"{', '.join(sorted(both))} is in cameras and in more_cameras; give "
                             "every camera one place")
        if self.name != "metaworld" and self.scenes != "standard":
            raise ValueError(f"scenes is {self.scenes}, and {self.name} has the standard ones "
                             "alone; leave it out")
        used = [p.model_camera for p in self.cameras.values() if p.model_camera is not None]
        if twice := {name for name in used if used.count(name) > 1}:
            raise ValueError(f"model_camera {', '.join(sorted(twice))} is used twice; a camera of "
                             "the model has one place and one field of view")
        return self

    def with_cameras(self, names: Sequence[str]) -> SimulatedRobotConfig:
        """Return the robot with these of all its cameras; raises ``InputError`` for others."""
        known = self.cameras | self.more_cameras
        for name in names:
            if name not in known:
                raise InputError(unknown("camera", name, known))
        chosen = {name: known[name] for name in names}
        return self.model_copy(update={"cameras": chosen, "more_cameras": {
            name: pose for name, pose in known.items() if name not in chosen}})

    def described(self, task: str, cameras: Sequence[str]) -> dict[str, object]:
        """Return what a policy is shown and told, as JSON has it; raises as ``with_cameras``."""
        shown = self.with_cameras(cameras)
        return {**shown.model_dump(mode="json", include={
            "fovy", "camera_every", "scenes", "surroundings"}),
                "instruction": self.instruction(task),
                "cameras": {name: pose.model_dump(mode="json", exclude={"recorded"})
                            for name, pose in shown.cameras.items()}}

    def steps_between_images(self, rate: float = 0.0) -> int:
        """Return the control steps from one camera frame to the next, for a rate in Hz."""
        return round(1.0 / (self.arm.control_dt * rate)) if rate else self.camera_every

    def instruction(self, task: str) -> str:
        """Return the instruction of a task; raises ``InputError`` for an unknown one."""
        known = self.instructions if self.scenes == "standard" else self.shared_instructions
        if task not in known:
            raise InputError(unknown("task", task, known))
        return known[task]

    def intrinsics(self, camera: str) -> tuple[float, float, float]:
        """Return (focal length, cx, cy) in pixels of the pinhole model MuJoCo renders."""
        pose = self.cameras[camera]
        focal = pose.height / (2.0 * math.tan(math.radians(pose.fovy or self.fovy) / 2.0))
        return focal, pose.width / 2.0, pose.height / 2.0
