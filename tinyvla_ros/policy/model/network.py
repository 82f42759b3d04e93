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

"""Encoder and denoiser together, with the DDPM loss and the DDIM sampler."""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model.condition import Condition
from tinyvla_ros.policy.model.denoiser import ConditionalUnet1d
from tinyvla_ros.policy.model.encoders import make_encoder
from tinyvla_ros.policy.noise_schedule import NoiseSchedule
from tinyvla_ros.policy.pretrained import BaseModelSource


class PolicyNetwork(nn.Module):
    """A diffusion policy over normalized tensors; raw inputs are ``policy.Policy``'s job.

    Args:
        config: what it is.
        source: where the base model of a pretrained encoder comes from.

    Raises:
        InputError: that model is unavailable or does not fit.
    """

    def __init__(self, config: PolicyConfig, source: BaseModelSource = BaseModelSource()):
        super().__init__()
        self.config = config
        self.encoder = make_encoder(config, source)
        self.denoiser = ConditionalUnet1d(
            len(config.action.channels), config.model.condition_dim,
            config.model.denoiser_channels, config.model.kernel_size,
            getattr(self.encoder, "token_dim", None), config.model.committed_rows)
        self._schedule = NoiseSchedule(config.diffusion)
        # Where the network is: a copy from the CPU at every step would not go into a CUDA graph.
        self.register_buffer("_kept", self._schedule.kept, persistent=False)
        self.set_sample_steps(config.diffusion.sample_steps)

    def set_sample_steps(self, steps: int) -> None:
        """Choose the number of DDIM steps, from 1 to the length of the noise schedule."""
        # Plain numbers, so that an export sees a fixed sequence of steps.
        self._sample_timesteps = self._schedule.timesteps(steps)
        self._stride = self.config.diffusion.train_steps // steps

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one chunk takes, without the batch."""
        return (self.config.action.horizon, len(self.config.action.channels))

    def encode(self, images: list[torch.Tensor], state: torch.Tensor,
               instruction: torch.Tensor) -> Condition:
        """Encode a batch; see ``TinyEncoder.forward`` and ``VlmEncoder.forward``."""
        return self.encoder(images, state, instruction)

    def errors(self, condition: Condition, actions: torch.Tensor, noise: torch.Tensor,
               step: torch.Tensor, quantity: str | None = None,
               known: torch.Tensor | None = None, given: torch.Tensor | None = None
               ) -> torch.Tensor:
        """Squared denoising error, never clipped (DDPM, Ho et al. 2020).

        Args:
            condition: of B observations, as ``encode`` returns it.
            actions: (B, horizon, channels) normalized clean actions.
            noise: (B, horizon, channels) standard normal.
            step: (B,) int64 diffusion steps.
            quantity: what to compare, a value of ``DiffusionConfig.prediction``; default: what
                the network predicts, which is what training minimizes.
            known: (B, horizon, channels) normalized actions that were executed.
            given: (B, horizon, 1) 1 for the rows of ``known`` that the network is given, whose
                error means nothing, 0 for the others; None for none.

        Returns:
            (B, horizon), mean over channels.
        """
        own = self.config.diffusion.prediction
        signal, spread = self._shares(step)
        noisy = signal * actions + spread * noise
        if self.denoiser.committed is not None:
            if given is None:
                known, given = actions, torch.zeros_like(actions[..., :1])
            condition = self.denoiser.committed(condition, known.clamp(-1.0, 1.0), given)
            predicted = self._denoise(noisy, step, condition, known.clamp(-1.0, 1.0), given)
        else:
            predicted = self.denoiser(noisy, step, condition)
        predicted = predicted.float()
        if quantity not in (None, own):
            predicted = self._convert(predicted, noisy, step, own, quantity)
        target = {"sample": lambda: actions, "epsilon": lambda: noise,
                  "v_prediction": lambda: signal * noise - spread * actions}
        return (predicted - target[quantity or own]()).square().mean(-1)

    def _denoise(self, noisy, step, condition, known, given) -> torch.Tensor:
        """Denoise with the given rows clean and marked; they are also in the condition."""
        rows = torch.cat([torch.lerp(noisy, known, given), given], dim=2)
        return self.denoiser(rows, step, condition)

    def _shares(self, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the (B, 1, 1) factors of a clean sample and of the noise at a step each."""
        kept = self._kept[step].view(-1, 1, 1)
        return kept.sqrt(), (1.0 - kept).sqrt()

    def _convert(self, predicted, noisy, step, own: str, wanted: str) -> torch.Tensor:
        """Express a prediction of ``own`` as one of ``wanted``: all three name the same point."""
        signal, spread = self._shares(step)
        if own == "sample":
            sample, noise = predicted, (noisy - signal * predicted) / spread
        elif own == "epsilon":
            sample, noise = (noisy - spread * predicted) / signal, predicted
        else:
            sample = signal * noisy - spread * predicted
            noise = spread * noisy + signal * predicted
        return {"sample": sample, "epsilon": noise,
                "v_prediction": signal * noise - spread * sample}[wanted]

    def _inpaint(self, predicted, noisy, step, known, weights) -> torch.Tensor:
        own = self.config.diffusion.prediction
        clean = self._convert(predicted, noisy, step, own, "sample").clamp(-1.0, 1.0)
        held = self._convert(torch.lerp(clean, known, weights), noisy, step, "sample", own)
        return torch.where(weights > 0, held, predicted)  # free rows stay as they are, exactly

    @torch.no_grad()
    def sample(self, condition: Condition, noise: torch.Tensor,
               known: torch.Tensor | None = None,
               weights: torch.Tensor | None = None) -> torch.Tensor:
        """Draw action chunks with deterministic DDIM (Song et al. 2021).

        Args:
            condition: of B observations, as ``encode`` returns it.
            noise: (B, horizon, channels) standard normal: the only randomness.
            known: (B, horizon, channels) normalized actions to continue, or None. A network that
                was trained for it gets the rows of weight 1. Otherwise the clean chunk that every
                step predicts is replaced by them (inpainting, as in RePaint, Lugmayr et al. 2022,
                but of the clean sample, so that it stays deterministic).
            weights: (B, horizon, 1) how far: 1 replaces, 0 leaves free.

        Returns:
            (B, horizon, channels) normalized actions in [-1, 1].
        """
        given = None
        if known is not None:
            known = known.clamp(-1.0, 1.0)
        if (committed := self.denoiser.committed) is not None:
            if known is None:
                known, weights = torch.zeros_like(noise), torch.zeros_like(noise[..., :1])
            row = torch.arange(noise.shape[1], device=noise.device)[None, :, None]
            given = ((weights >= 1.0) & (row < committed.rows)).to(noise.dtype)
            condition = committed(condition, known, given)
        chunk = noise
        for step in self._sample_timesteps:
            steps = torch.full((len(chunk),), step, device=chunk.device)
            predicted = self.denoiser(chunk, steps, condition) if given is None else \
                self._denoise(chunk, steps, condition, known, given)
            if known is not None:
                predicted = self._inpaint(predicted, chunk, steps, known, weights)
            chunk = self._schedule.step_back(predicted, step, step - self._stride, chunk)
        return chunk
