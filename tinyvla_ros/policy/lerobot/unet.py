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

"""LeRobot's conditional 1-D U-Net, with its parameter names.

Not the one of ``tinyvla_ros.policy.model``: two blocks per level, any number of levels, other
names.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig

LAST_GROUPS = 8  # of the last block, whatever n_groups is


class SinusoidalEmbedding(nn.Module):
    """Sines and cosines of the diffusion step."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, step: torch.Tensor) -> torch.Tensor:
        """Map (B,) int64 to (B, size)."""
        half = self.size // 2
        rates = torch.exp(torch.arange(half, device=step.device)
                          * -(math.log(10000) / (half - 1)))
        angles = step[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class ConvBlock(nn.Module):
    """Convolution along time, group normalization, Mish."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int):
        super().__init__()
        self.block = nn.Sequential(nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2),
                                   nn.GroupNorm(groups, outputs), nn.Mish())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, T) to (B, outputs, T)."""
        return self.block(x)


class ConditionalResidualBlock(nn.Module):
    """Two ``ConvBlock`` with FiLM from the condition between them, and a skip."""

    def __init__(self, inputs: int, outputs: int, condition: int,
                 config: LeRobotDiffusionConfig):
        super().__init__()
        self._scales = config.use_film_scale_modulation
        self.conv1 = ConvBlock(inputs, outputs, config.kernel_size, config.n_groups)
        self.cond_encoder = nn.Sequential(
            nn.Mish(), nn.Linear(condition, 2 * outputs if self._scales else outputs))
        self.conv2 = ConvBlock(outputs, outputs, config.kernel_size, config.n_groups)
        self.residual_conv = (nn.Conv1d(inputs, outputs, 1) if inputs != outputs
                              else nn.Identity())

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, T) and (B, condition) to (B, outputs, T)."""
        hidden, film = self.conv1(x), self.cond_encoder(condition)[:, :, None]
        if self._scales:
            scale, shift = film.chunk(2, dim=1)
            hidden = scale * hidden + shift
        else:
            hidden = hidden + film
        return self.conv2(hidden) + self.residual_conv(x)


class ConditionalUnet(nn.Module):
    """Denoise an action trajectory given a condition.

    Args:
        config: of the network.
        channels: action channels.
        condition: size of the condition vector.
    """

    def __init__(self, config: LeRobotDiffusionConfig, channels: int, condition: int):
        super().__init__()
        size, dims = config.diffusion_step_embed_dim, config.down_dims
        condition += size

        def block(inputs: int, outputs: int) -> ConditionalResidualBlock:
            return ConditionalResidualBlock(inputs, outputs, condition, config)

        self.diffusion_step_encoder = nn.Sequential(
            SinusoidalEmbedding(size), nn.Linear(size, 4 * size), nn.Mish(),
            nn.Linear(4 * size, size))
        self.down_modules = nn.ModuleList(
            nn.ModuleList([block(inputs, outputs), block(outputs, outputs),
                           nn.Conv1d(outputs, outputs, 3, 2, 1) if level < len(dims) - 1
                           else nn.Identity()])
            for level, (inputs, outputs) in enumerate(
                zip((channels, *dims[:-1]), dims, strict=True)))
        self.mid_modules = nn.ModuleList(block(dims[-1], dims[-1]) for _ in range(2))
        self.up_modules = nn.ModuleList(
            nn.ModuleList([block(2 * inputs, outputs), block(outputs, outputs),
                           nn.ConvTranspose1d(outputs, outputs, 4, 2, 1)])
            for inputs, outputs in zip(dims[:0:-1], dims[-2::-1], strict=True))
        self.final_conv = nn.Sequential(
            ConvBlock(dims[0], dims[0], config.kernel_size, LAST_GROUPS),
            nn.Conv1d(dims[0], channels, 1))

    def forward(self, noisy: torch.Tensor, step: torch.Tensor,
                condition: torch.Tensor) -> torch.Tensor:
        """Predict noise or clean actions.

        Args:
            noisy: (B, horizon, channels) normalized.
            step: (B,) int64 diffusion steps.
            condition: (B, condition).

        Returns:
            (B, horizon, channels).
        """
        x = noisy.transpose(1, 2)
        condition = torch.cat([self.diffusion_step_encoder(step), condition], dim=-1)
        skips = []
        for first, second, down in self.down_modules:
            x = second(first(x, condition), condition)
            skips.append(x)
            x = down(x)
        for block in self.mid_modules:
            x = block(x, condition)
        for first, second, up in self.up_modules:
            x = torch.cat([x, skips.pop()], dim=1)
            x = up(second(first(x, condition), condition))
        return self.final_conv(x).transpose(1, 2)
