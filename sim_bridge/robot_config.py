# SPDX-License-Identifier: Apache-2.0
"""The simulated robot's configuration: cameras and instructions (``config/metaworld.yaml``)."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import Field

from tinyvla_ros.configuration import Config, parse, read_yaml
from tinyvla_ros.errors import InputError, unknown
from tinyvla_ros.resources import share_directory


class CameraPose(Config):
    """A MuJoCo free camera: where it looks from and how large its image is."""

    lookat: tuple[float, float, float]
    distance: float = Field(gt=0.0, le=10.0)
    azimuth: float = Field(ge=-360.0, le=360.0)
    elevation: float = Field(ge=-90.0, le=90.0)
    width: int = Field(ge=16, le=1920)
    height: int = Field(ge=16, le=1080)


class RobotConfig(Config):
    """What the simulated robot shows on its topics."""

    fovy: float = Field(gt=1.0, lt=170.0)
    camera_every: int = Field(ge=1, le=80)
    cameras: dict[str, CameraPose] = Field(min_length=1)
    instructions: dict[str, str] = Field(min_length=1)

    @classmethod
    def load(cls, path: str | Path | None = None) -> RobotConfig:
        """Read a configuration file; without a path, the one shipped with the package."""
        path = Path(path) if path else share_directory() / "config" / "metaworld.yaml"
        return parse(cls, read_yaml(path), str(path))

    def instruction(self, task: str) -> str:
        """Return the words for a task, or raise ``InputError`` listing the known tasks."""
        if task not in self.instructions:
            raise InputError(unknown("task", task, self.instructions))
        return self.instructions[task]

    def intrinsics(self, camera: str) -> tuple[float, float, float]:
        """Return (focal length, cx, cy) in pixels of the pinhole model MuJoCo renders."""
        pose = self.cameras[camera]
        focal = pose.height / (2.0 * math.tan(math.radians(self.fovy) / 2.0))
        return focal, pose.width / 2.0, pose.height / 2.0
