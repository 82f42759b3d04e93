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

"""Conditional 1-D U-Net over an action chunk, after Chi et al. 2023 (Diffusion Policy)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.policy.model.condition import AttendedCondition, Condition, vector_of

GROUPS = 8
STEP_DIM = 64
HEAD_DIM = 64
# Of linear layers at the start: the output then has unit scale from the first step.
LINEAR_GAIN = 0.5


class StepEmbedding(nn.Module):
    """Sinusoidal embedding of the diffusion step, then a two-layer perceptron."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(STEP_DIM, 2 * STEP_DIM), nn.SiLU(),
                                    nn.Linear(2 * STEP_DIM, STEP_DIM))

    def forward(self, step: torch.Tensor) -> torch.Tensor:
        """Map (B,) int64 to (B, STEP_DIM)."""
        half = STEP_DIM // 2
        scale = math.log(10000.0) / (half - 1)
        rates = torch.exp(torch.arange(half, device=step.device) * -scale)
        angles = step[:, None].float() * rates
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))


class ConditionedBlock(nn.Module):
    """Two convolutions along time with FiLM from the condition between them, and a skip."""

    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int):
        super().__init__()
        pad = kernel // 2
        self.first = nn.Sequential(nn.Conv1d(inputs, outputs, kernel, padding=pad),
                                   nn.GroupNorm(GROUPS, outputs), nn.SiLU())
        self.second = nn.Sequential(nn.Conv1d(outputs, outputs, kernel, padding=pad),
                                    nn.GroupNorm(GROUPS, outputs), nn.SiLU())
        self.film = nn.Sequential(nn.SiLU(), nn.Linear(condition, 2 * outputs))
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Map (B, inputs, T) and (B, condition) to (B, outputs, T)."""
        scale, shift = self.film(condition)[:, :, None].chunk(2, dim=1)
        hidden = self.first(x) * (1.0 + scale) + shift
        return self.second(hidden) + self.skip(x)


class CrossAttention(nn.Module):
    """Let every place of a chunk attend to hidden states of the encoder.

    The gate is zero at first (as in Flamingo, Alayrac et al. 2022): training starts as without.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.heads = max(1, channels // HEAD_DIM)
        self.norm, self.norm_tokens = nn.LayerNorm(channels), nn.LayerNorm(width)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(width, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.gate = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, T), (B, L, width) and (B, L) bool to (B, channels, T)."""
        along = x.transpose(1, 2)
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (
            self.query(self.norm(along)), *self.key_value(self.norm_tokens(tokens)).chunk(2, -1)))
        found = F.scaled_dot_product_attention(query, key, value, mask[:, None, None])
        found = self.out(found.transpose(1, 2).flatten(2))
        return x + (self.gate * found).transpose(1, 2)


class CommittedRows(nn.Module):
    """What the rows that a chunk begins with say about where the arm will be.

    Args:
        rows: most rows that are given.
        channels: action channels.
        condition_dim: size of the condition vector.
    """

    def __init__(self, rows: int, channels: int, condition_dim: int):
        super().__init__()
        self.rows = rows
        self.layers = nn.Sequential(nn.Linear(rows * (channels + 1), condition_dim), nn.SiLU(),
                                    nn.Linear(condition_dim, condition_dim))

    def forward(self, condition: Condition, known: torch.Tensor, mask: torch.Tensor) -> Condition:
        """Add to (B, condition_dim) what (B, T, channels) rows say, where (B, T, 1) is 1."""
        given = torch.cat([known * mask, mask], dim=2)[:, :self.rows].flatten(1)
        vector = vector_of(condition) + self.layers(given)
        return condition._replace(vector=vector) \
            if isinstance(condition, AttendedCondition) else vector


class ConditionalUnet1d(nn.Module):
    """Denoise an action chunk given a condition.

    Args:
        channels: action channels.
        condition_dim: size of the condition vector.
        widths: channels at full, half and quarter time resolution.
        kernel: odd kernel size.
        token_dim: width of the hidden states to attend to, None for a condition without.
        committed_rows: most rows that are given clean; 0 for none.
    """

    def __init__(self, channels: int, condition_dim: int, widths: tuple[int, int, int],
                 kernel: int, token_dim: int | None = None, committed_rows: int = 0):
        super().__init__()
        a, b, c = widths
        condition = condition_dim + STEP_DIM
        self.step = StepEmbedding()
        # Rows that are given come with a mark.
        self.down_full = ConditionedBlock(channels + bool(committed_rows), a, condition, kernel)
        self.to_half = nn.Conv1d(a, a, 3, stride=2, padding=1)
        self.down_half = ConditionedBlock(a, b, condition, kernel)
        self.to_quarter = nn.Conv1d(b, b, 3, stride=2, padding=1)
        self.middle = ConditionedBlock(b, c, condition, kernel)
        self.from_quarter = nn.ConvTranspose1d(c, b, 4, stride=2, padding=1)
        self.up_half = ConditionedBlock(2 * b, b, condition, kernel)
        self.from_half = nn.ConvTranspose1d(b, a, 4, stride=2, padding=1)
        self.up_full = ConditionedBlock(2 * a, a, condition, kernel)
        # Linear over channels: fan-out scaling of a 1x1 convolution to so few outputs would start
        # with a standard deviation of 5.
        self.head = nn.Linear(a, channels)
        self.attend = CrossAttention(c, token_dim) if token_dim else None
        self.committed = CommittedRows(committed_rows, channels, condition_dim) \
            if committed_rows else None
        initialize_head(self)

    def forward(self, noisy: torch.Tensor, step: torch.Tensor,
                condition: Condition) -> torch.Tensor:
        """Predict the quantity that ``DiffusionConfig.prediction`` names.

        Args:
            noisy: (B, horizon, channels) noisy actions, normalized; where rows can be given, they
                are clean, and one more channel is 1 for them and 0 for the others.
            step: (B,) int64 diffusion steps.
            condition: of B observations.

        Returns:
            (B, horizon, channels).
        """
        attended = condition if isinstance(condition, AttendedCondition) else None
        condition = torch.cat([vector_of(condition), self.step(step)], dim=1)
        full = self.down_full(noisy.transpose(1, 2), condition)
        half = self.down_half(self.to_half(full), condition)
        deep = self.middle(self.to_quarter(half), condition)
        if attended is not None:
            deep = self.attend(deep, attended.tokens, attended.mask)
        half = self.up_half(torch.cat([self.from_quarter(deep), half], 1), condition)
        full = self.up_full(torch.cat([self.from_half(half), full], 1), condition)
        return self.head(full.transpose(1, 2))


def initialize_head(module: nn.Module) -> None:
    """Initialize a denoiser in place.

    Linear layers: Xavier uniform with gain 0.5 (Glorot & Bengio 2010). 1-D convolutions: Kaiming
    normal, fan-out (He et al. 2015). All biases zero; normalization layers keep scale 1, shift 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=LINEAR_GAIN)
        elif isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="linear")
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def initialize_as_torch(module: nn.Module) -> None:
    """Initialize a denoiser in place as torch does by itself (Kaiming uniform, a = sqrt 5)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            layer.reset_parameters()
