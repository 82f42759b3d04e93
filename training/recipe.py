# SPDX-License-Identifier: Apache-2.0
"""The training configuration (``config/train/*.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tinyvla_ros.configuration import Config, parse, read_yaml
from tinyvla_ros.policy_config import (
    ActionSpec,
    CameraSpec,
    DiffusionConfig,
    ModelConfig,
    PolicyConfig,
)


class Optimisation(Config):
    """How the weights are found.

    Attributes:
        steps: optimiser steps.
        batch_size: observations per step.
        noise_samples: noise draws per observation; the encoder, which costs most, runs once.
        learning_rate: peak of the schedule.
        warmup_steps: linear warm-up, then cosine to ``final_fraction`` of the peak.
        final_fraction: last learning rate as a fraction of the peak.
        weight_decay: AdamW's.
        gradient_norm: gradients are clipped to this norm; the loss never is.
        ema_decay: decay of the averaged weights, which are the ones saved.
        shift_pixels: random image shift.
        precision: ``auto`` uses bfloat16 where the processor or GPU has it.
        future_weight: weight of the auxiliary loss that predicts later states of the episode.
        future_frames: frames ahead it predicts (clamped to the end of the episode).
        validation_fraction: share of episodes held out.
        save_every: steps between saved checkpoints.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(64, ge=1)
    noise_samples: int = Field(4, ge=1)
    learning_rate: float = Field(5e-4, gt=0.0, le=1.0)
    warmup_steps: int = Field(500, ge=0)
    final_fraction: float = Field(0.02, ge=0.0, le=1.0)
    weight_decay: float = Field(1e-4, ge=0.0)
    gradient_norm: float = Field(1.0, gt=0.0)
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    shift_pixels: int = Field(3, ge=0, le=32)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    future_weight: float = Field(0.5, ge=0.0)
    future_frames: tuple[int, ...] = (2, 4, 8, 16)
    validation_fraction: float = Field(0.04, ge=0.0, lt=1.0)
    save_every: int = Field(2000, ge=1)


class Recipe(Config):
    """A training configuration: what the policy sees and does, and how it is trained."""

    cameras: dict[str, CameraSpec] = Field(min_length=1)
    state: tuple[str, ...] = Field(min_length=1)
    action: ActionSpec
    model: ModelConfig = ModelConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    optimisation: Optimisation
    seed: int = Field(0, ge=0)

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a YAML file."""
        return parse(cls, read_yaml(path), str(path))

    def policy_config(self, instructions: tuple[str, ...]) -> PolicyConfig:
        """Return the ``config.json`` of the policy this recipe trains."""
        return PolicyConfig(cameras=self.cameras, state=self.state, action=self.action,
                            instructions=instructions, model=self.model,
                            diffusion=self.diffusion)
