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

"""Encoder ``vision``: a pretrained image backbone under the layers of our own encoder."""

from __future__ import annotations

import inspect
import math

import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import base_model
from tinyvla_ros.policy.model.backbone import (
    Backbone,
    check_patches,
    resize,
    trained_size,
    try_out,
)
from tinyvla_ros.policy.model.condition import join_layers
from tinyvla_ros.policy.model.instruction import make_instruction_embedding
from tinyvla_ros.policy.model.tiny_encoder import SHARPNESS, ResidualBlock, spatial_softmax
from tinyvla_ros.policy.model_config import VisionEncoderConfig
from tinyvla_ros.policy.pretrained import BaseModelSource


class ImageBackbone(Backbone):
    """A backbone of transformers or timm as a map of features.

    Args:
        settings: of the encoder.
        source: where the model comes from.

    Raises:
        InputError: the model is unavailable, cannot be loaded, or takes no images.
    """

    def __init__(self, settings: VisionEncoderConfig, source: BaseModelSource):
        path = base_model.find(settings, source)
        if settings.library == "timm":
            model = base_model.load_timm(settings, path, source.weights)
            about = model.pretrained_cfg
            super().__init__(model, path, about["mean"], about["std"])
            size, self.patch = about["input_size"][-1], None
            self.prefix = getattr(model, "num_prefix_tokens", 0)
        else:
            model = base_model.load_transformers(settings, path, source.weights)
            model = getattr(model, "vision_model", model)  # without the text tower
            if model.main_input_name != "pixel_values":
                raise InputError(
                    f"The vision model {path} is a {model.config.model_type} model, which takes "
                    f"{model.main_input_name} and no images alone; give an image backbone such as "
                    "SigLIP, DINOv2 or CLIP, or use the encoder kind 'vlm'.")
            super().__init__(model, path, *base_model.image_statistics(path))
            size, self.patch = trained_size(model.config)
        self.library, self.size = settings.library, settings.image_size or size
        check_patches(self.size, self.patch, path)
        self._options = {}
        if self.size != size and _interpolates(model):
            self._options = {"interpolate_pos_encoding": True}
        self.train_as(settings, [n for n, _ in self.model.named_parameters()])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) in [-1, 1] to features (B, channels, h, w) float32."""
        if self.size:
            image = resize(image, self.size)
        pixels = self.normalized(image)
        trains = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        with torch.set_grad_enabled(trains):
            if self.library == "timm":
                features = self.model.forward_features(pixels)
                if features.ndim == 4 and getattr(self.model, "output_fmt", "NCHW") == "NHWC":
                    features = features.permute(0, 3, 1, 2)
            else:
                features = self.model(pixels, **self._options).last_hidden_state
        # torch 2.13 crashes in GroupNorm's backward pass on the CPU where the channels come last
        # and no gradient is asked for, which is what a frozen backbone gives.
        return self._as_map(features.float()).contiguous()

    def _as_map(self, features: torch.Tensor) -> torch.Tensor:
        """Arrange tokens (B, N, C), those of the image last, as (B, C, h, w)."""
        if features.ndim == 4:
            return features
        count = features.shape[1]
        if self.patch:
            side = self.size // self.patch
        else:
            side = math.isqrt(count - (self.prefix if self.library == "timm" else 0))
        if side * side > count:
            raise InputError(f"The vision model {self.path} gives {count} features for an image "
                             f"of {self.size} x {self.size}, which are no map; give a backbone "
                             "with one feature per patch.")
        return features[:, count - side * side:].transpose(1, 2).unflatten(2, (side, side))


class FeatureHead(nn.Module):
    """One camera's features and the instruction to a vector.

    Args:
        channels: of the backbone.
        width: of the vector, keypoints apart.
        keypoints: 0 for none.
        instruction_dim: size of the instruction's vector.
    """

    def __init__(self, channels: int, width: int, keypoints: int, instruction_dim: int):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.project = nn.Conv2d(channels, width, 1)
        self.block = ResidualBlock(width, instruction_dim)
        self.heatmaps = nn.Conv2d(width, keypoints, 1) if keypoints else None
        if keypoints:
            self.heatmaps.weight.data.mul_(SHARPNESS)
        self.features = width + 2 * keypoints

    def forward(self, features: torch.Tensor, instruction: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, h, w) and (B, instruction_dim) to (B, features)."""
        merged = self.block(F.relu(self.project(self.norm(features))), instruction)
        mean = merged.float().mean((2, 3))
        if self.heatmaps is None:
            return mean
        return torch.cat([spatial_softmax(self.heatmaps(merged)), mean], dim=1)


class VisionEncoder(nn.Module):
    """All cameras through one backbone, the state and the instruction, combined as in ``tiny``.

    Args:
        config: with an encoder of kind ``vision``.
        source: where the base model comes from.

    Raises:
        InputError: the model is unavailable or does not fit.
    """

    def __init__(self, config: PolicyConfig, source: BaseModelSource):
        super().__init__()
        model, settings = config.model, config.model.encoder
        self.camera_names = tuple(config.cameras)
        self.instruction = make_instruction_embedding(config)
        self.backbone = ImageBackbone(settings, source)
        channels = 0
        for name, camera in config.cameras.items():
            channels = try_out(
                self.backbone, f"Camera {name} of {camera.width} x {camera.height} by the vision "
                f"model {settings.model}", torch.zeros(1, 3, camera.height, camera.width)).shape[1]
        self.cameras = nn.ModuleList(
            FeatureHead(channels, 2 * model.image_channels,
                        model.keypoints if settings.pool == "keypoints" else 0,
                        model.instruction_dim) for _ in self.camera_names)
        width = sum(c.features for c in self.cameras) + len(config.state) + model.instruction_dim
        self.join = join_layers(width, model.condition_dim)

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                instruction: torch.Tensor) -> torch.Tensor:
        """Encode a batch; as ``TinyEncoder.forward``."""
        words = self.instruction(instruction)
        if len({image.shape for image in images}) == 1:  # one pass for all cameras
            maps = self.backbone(torch.cat(images)).chunk(len(images))
        else:
            maps = [self.backbone(image) for image in images]
        parts = [camera(features, words)
                 for camera, features in zip(self.cameras, maps, strict=True)]
        return self.join(torch.cat([*parts, state, words], dim=1))


def _interpolates(model: nn.Module) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
