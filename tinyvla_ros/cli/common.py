# SPDX-License-Identifier: Apache-2.0
"""What several commands share."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from training.experiments.options import DataSources, Settings

STOPPED = 143  # what a shell reports for a process ended by SIGTERM


class RecipeArguments(Config):
    """Recipe and data."""

    config: Path | None = Field(None, description="recipe, YAML")
    settings: Settings = Field(
        (), description="replace a setting of the recipe, e.g. optimization.steps=100")
    data: DataSources = Field(
        (), description="LeRobotDataset directories, mixed by weight")

    def recipe(self):
        """Read ``--config`` with ``--set`` applied."""
        from training.learning.recipe import Recipe

        return Recipe.load(self.config, self.settings)


def wait_passively() -> None:
    """Let threads that wait leave the cores to others; must be called before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
