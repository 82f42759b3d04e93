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

"""DDPM and DDIM as LeRobot runs them, with every random number handed in.

diffusers' own steps draw the noise of DDPM themselves. Here it is an argument, so that it can be
seeded by the observation's stamp; the clean sample is in reach, so that chunks can continue a
plan.
"""

from __future__ import annotations

import torch

from tinyvla_ros.policy.config import DiffusionConfig
from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig
from tinyvla_ros.policy.noise_schedule import NoiseSchedule

LEAST_VARIANCE = 1e-20  # diffusers' bound


class Sampler:
    """A noise schedule and one step back in it.

    Args:
        model: scheduler, betas and clipping.
        diffusion: prediction, schedule and number of steps.
    """

    def __init__(self, model: LeRobotDiffusionConfig, diffusion: DiffusionConfig):
        self._draws = model.noise_scheduler_type == "DDPM"
        self._epsilon = diffusion.prediction == "epsilon"
        self.limit = model.clip_sample_range if model.clip_sample else float("inf")
        self._train_steps = diffusion.train_steps
        self._kept = NoiseSchedule(diffusion, model.beta_start, model.beta_end).kept
        self.set_steps(diffusion.sample_steps)

    def set_steps(self, steps: int) -> None:
        """Choose how many steps lead from noise to actions."""
        self._stride = self._train_steps // steps
        # diffusers' "leading" spacing, LeRobot's.
        self.timesteps = [i * self._stride for i in reversed(range(steps))]

    @property
    def draws(self) -> int:
        """Normal numbers per element of the trajectory: the start, and one per step of DDPM."""
        return 1 + len(self.timesteps) if self._draws else 1

    def step(self, predicted: torch.Tensor, t: int, noisy: torch.Tensor, noise: torch.Tensor,
             known: torch.Tensor | None, weights: torch.Tensor | None) -> torch.Tensor:
        """Go one step back (DDPM: Ho et al. 2020, eq. 6, 7; DDIM: Song et al. 2021, eq. 12).

        Args:
            predicted: (B, horizon, channels), the network's output.
            t: diffusion step, one of ``timesteps``.
            noisy: (B, horizon, channels) it was computed from.
            noise: (B, horizon, channels) standard normal; DDIM has no use for it.
            known: (B, horizon, channels) normalized actions to continue, or None.
            weights: (B, horizon, 1) how far: 1 replaces, 0 leaves free.
        """
        kept, before = self._kept[t], t - self._stride
        kept_before = self._kept[before] if before >= 0 else torch.tensor(1.0)
        lost, lost_before = 1 - kept, 1 - kept_before
        if self._epsilon:
            clean, drift = (noisy - lost ** 0.5 * predicted) / kept ** 0.5, predicted
        else:
            clean, drift = predicted, (noisy - kept ** 0.5 * predicted) / lost ** 0.5
        clean = clean.clamp(-self.limit, self.limit)
        if known is not None:
            held = torch.lerp(clean, known, weights)
            clean = torch.where(weights > 0, held, clean)
            drift = torch.where(weights > 0, (noisy - kept ** 0.5 * clean) / lost ** 0.5, drift)
        if not self._draws:
            return kept_before ** 0.5 * clean + lost_before ** 0.5 * drift
        beta = 1 - kept / kept_before
        mean = (kept_before ** 0.5 * beta / lost * clean
                + (kept / kept_before) ** 0.5 * lost_before / lost * noisy)
        if t == 0:
            return mean
        return mean + (lost_before / lost * beta).clamp(min=LEAST_VARIANCE) ** 0.5 * noise
