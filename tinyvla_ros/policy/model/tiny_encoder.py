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

"""Images, state and instruction in; one conditioning vector out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model.condition import join_layers
from tinyvla_ros.policy.model.instruction import make_instruction_embedding
from tinyvla_ros.policy.pretrained import BaseModelSource

GROUPS = 4
SHARPNESS = 8.0


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, (kernel - stride + 1) // 2),
                         nn.GroupNorm(GROUPS, outputs))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip, modulated per channel by the instruction (FiLM)."""

    def __init__(self, channels: int, instruction_dim: int):
        super().__init__()
        self.first = _conv(channels, channels, 3)
        self.second = _conv(channels, channels, 3)
        self.film = nn.Linear(instruction_dim, 2 * channels)

    def forward(self, x: torch.Tensor, instruction: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) and (B, instruction_dim) to (B, C, H, W)."""
        scale, shift = self.film(instruction)[:, :, None, None].chunk(2, dim=1)
        hidden = F.relu(self.first(x) * (1.0 + scale) + shift)
        return F.relu(x + self.second(hidden))


def spatial_softmax(heatmaps: torch.Tensor) -> torch.Tensor:
    """Expected image coordinates of every heat map (Finn et al. 2016).

    Args:
        heatmaps: (B, K, H, W) logits.

    Returns:
        (B, 2 * K) coordinates in [-1, 1]: all x, then all y.
    """
    height, width = heatmaps.shape[2:]
    weights = heatmaps.float().flatten(2).softmax(-1)
    ys, xs = torch.meshgrid(torch.linspace(-1.0, 1.0, height, device=heatmaps.device),
                            torch.linspace(-1.0, 1.0, width, device=heatmaps.device),
                            indexing="ij")
    # One matrix product, in float32: bfloat16 would round positions to 1/256 of the image.
    with torch.autocast(heatmaps.device.type, enabled=False):
        points = weights @ torch.stack([xs.flatten(), ys.flatten()], 1)
    return points.transpose(1, 2).flatten(1)


class CameraEncoder(nn.Module):
    """Convolutions for one camera: keypoints at 1/4 resolution with 1/8 context.

    Keypoints on a 24x24 map (96x96 images) locate a goal several times better than on 12x12,
    and position is what the tasks turn on.
    """

    def __init__(self, channels: int, keypoints: int, instruction_dim: int):
        super().__init__()
        wide = 2 * channels
        # One overlapping step to 1/4 resolution: full-size feature maps would be half the cost.
        self.stem = nn.Sequential(_conv(3, channels, 8, 4), nn.ReLU())
        self.fine = ResidualBlock(channels, instruction_dim)
        self.down = nn.Sequential(_conv(channels, wide, 3, 2), nn.ReLU())
        self.coarse = ResidualBlock(wide, instruction_dim)
        self.lateral = nn.Conv2d(wide, channels, 1)
        self.heatmaps = nn.Conv2d(channels, keypoints, 1)
        # Torch's own scale makes nearly flat maps, with every keypoint in the middle of the image
        # and hardly a gradient: sharper ones halve the error of what they locate early on.
        self.heatmaps.weight.data.mul_(SHARPNESS)
        self.features = 2 * keypoints + wide

    def forward(self, image: torch.Tensor, instruction: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) in [-1, 1] and (B, instruction_dim) to (B, features)."""
        fine = self.fine(self.stem(image), instruction)
        coarse = self.coarse(self.down(fine), instruction)
        merged = fine + F.interpolate(self.lateral(coarse), size=fine.shape[2:])
        points = spatial_softmax(self.heatmaps(F.relu(merged)))
        return torch.cat([points, coarse.float().mean((2, 3))], dim=1)


class TinyEncoder(nn.Module):
    """Encoder ``tiny``: cameras, state and instruction, combined by a two-layer perceptron.

    Args:
        config: what it is.
        source: as the other encoders take it; this one has no base model.
    """

    def __init__(self, config: PolicyConfig, source: BaseModelSource | None = None):
        super().__init__()
        model = config.model
        self.camera_names = tuple(config.cameras)
        self.instruction = make_instruction_embedding(config)
        self.cameras = nn.ModuleList(
            CameraEncoder(model.image_channels, model.keypoints, model.instruction_dim)
            for _ in self.camera_names)
        width = sum(c.features for c in self.cameras) + len(config.state) + model.instruction_dim
        self.join = join_layers(width, model.condition_dim)

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                instruction: torch.Tensor) -> torch.Tensor:
        """Encode a batch.

        Args:
            images: one (B, 3, H, W) float tensor in [-1, 1] per camera, in config order.
            state: (B, len(state)) normalized.
            instruction: (B,) int64 rows of the config's wordings, -1 for none, or (B, dim)
                embeddings of others.

        Returns:
            (B, condition_dim) float.
        """
        words = self.instruction(instruction)
        parts = [camera(image, words) for camera, image in zip(self.cameras, images, strict=True)]
        return self.join(torch.cat([*parts, state, words], dim=1))
