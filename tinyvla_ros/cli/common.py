# SPDX-License-Identifier: Apache-2.0
"""What several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag

STOPPED = 143  # what a shell reports for a process ended by SIGTERM

Scenes = Literal["standard", "shared"]


def scenes_field():
    """Return the field ``--scenes``."""
    return Field("standard", description="shared: two tasks begin with the same image, only "
                 "words differ")


def workers_field():
    """Return the field ``--workers`` of commands that use all cores."""
    return Field(None, ge=1, description="processes; default: cores")


class RecipeArguments(Config):
    """Recipe and data."""

    config: Path | None = Field(None, description="recipe, YAML")
    settings: Annotated[tuple[str, ...], Flag("--set", metavar="KEY=VALUE", repeated=True)] = \
        Field((), description="replace a setting of the recipe, e.g. optimization.steps=100")
    data: Annotated[tuple[str, ...], Flag(metavar="DIR[=WEIGHT]")] = Field(
        (), description="LeRobotDataset directories, mixed by weight")

    def recipe(self):
        """Read ``--config`` with ``--set`` applied."""
        from training.learning.recipe import Recipe

        return Recipe.load(self.config, self.settings)


def wait_passively() -> None:
    """Let threads that wait leave the cores to others; must be called before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
