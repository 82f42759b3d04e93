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

"""One image in, a feature vector out: LeRobot's ``DiffusionRgbEncoder`` at inference."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.policy.lerobot.resnet import resnet_trunk
from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig


class SpatialSoftmax(nn.Module):
    """Keypoints of a feature map (Finn et al. 2016), from a 1x1 convolution's heat maps."""

    def __init__(self, channels: int, height: int, width: int, keypoints: int):
        super().__init__()
        self.nets = nn.Conv2d(channels, keypoints, 1)
        # By numpy, as LeRobot does: torch.linspace rounds differently.
        xs, ys = np.meshgrid(np.linspace(-1.0, 1.0, width), np.linspace(-1.0, 1.0, height))
        grid = np.stack([xs.ravel(), ys.ravel()], 1).astype(np.float32)
        self.register_buffer("pos_grid", torch.from_numpy(grid))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, height, width) to (B, 2 * keypoints): x and y of each in turn."""
        attention = self.nets(features).flatten(2).softmax(-1)
        return (attention @ self.pos_grid).flatten(1)


class RgbEncoder(nn.Module):
    """Resize, crop, ResNet, keypoints and a linear layer.

    Args:
        config: of the network.
        height: rows of the images.
        width: columns of the images.
    """

    def __init__(self, config: LeRobotDiffusionConfig, height: int, width: int):
        super().__init__()
        self._resize, self._crop = config.resize_shape, config.crop_shape
        self.backbone, channels = resnet_trunk(config.vision_backbone, config.use_group_norm)
        height, width = config.crop_shape or config.resize_shape or (height, width)
        keypoints = config.spatial_softmax_num_keypoints
        # Five halvings, each rounded up.
        self.pool = SpatialSoftmax(channels, math.ceil(height / 32), math.ceil(width / 32),
                                   keypoints)
        self.out = nn.Linear(2 * keypoints, 2 * keypoints)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, height, width) normalized images to (B, features)."""
        if self._resize is not None and tuple(images.shape[2:]) != self._resize:
            images = F.interpolate(images, self._resize, mode="bilinear", align_corners=False,
                                   antialias=True)
        if self._crop is not None:
            (height, width), (rows, columns) = images.shape[2:], self._crop
            top, left = round((height - rows) / 2), round((width - columns) / 2)
            images = images[..., top:top + rows, left:left + columns]
        return F.relu(self.out(self.pool(self.backbone(images))))
