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

"""Training curves: TensorBoard always, Weights & Biases if asked for."""

from __future__ import annotations

import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from tinyvla_ros.core.errors import InputError


def require_wandb(project: str | None):
    """Return the module ``wandb`` if a project is given.

    Raises:
        InputError: it is not installed.
    """
    if not project:
        return None
    try:
        import wandb
    except ImportError:
        raise InputError(f"Weights & Biases (project {project!r}) is not installed; type "
                         "'pip install wandb', or leave --wandb out.") from None
    return wandb


class RunLog:
    """Where a run's figures go.

    Args:
        run: the run's directory; events go to ``run/tensorboard``.
        step: the step the run continues from; events beyond it are hidden.
        wandb: project to log to as well, None for none.
        config: what Weights & Biases shows as the run's configuration.

    Raises:
        InputError: ``wandb`` is asked for and not installed.
    """

    def __init__(self, run: Path, step: int = 0, wandb: str | None = None,
                 config: dict | None = None):
        self._wandb = None
        if wandb:
            self._wandb = require_wandb(wandb).init(
                project=wandb, name=run.name, dir=str(run), config=config,
                id=run.resolve().name, resume="allow")
        self._tensorboard = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error) -> None:
        self._tensorboard.close()
        if self._wandb is not None:
            self._wandb.finish()

    def add(self, step: int, figures: dict[str, float]) -> None:
        """Note the figures of a step; those that are not finite are left out."""
        finite = {f"train/{k}": v for k, v in figures.items() if math.isfinite(v)}
        for name, value in finite.items():
            self._tensorboard.add_scalar(name, value, step)
        if step == 1 or "train/validation_loss" in finite:
            self._tensorboard.flush()  # an explosion shows at once, a save has its curves
        if self._wandb is not None:
            self._wandb.log(finite, step=step)
