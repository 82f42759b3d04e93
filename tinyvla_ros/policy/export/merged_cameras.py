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

"""The encoder ``tiny`` in fewer operations: all cameras side by side, scales and shifts as one.

For one observation, a chunk's time is the number of operations as much as their size. Cameras
whose images have one size have layers of one shape, which grouped convolutions compute together;
what normalization and instruction multiply and add is one product of the instruction.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model.tiny_encoder import (
    GROUPS,
    CameraEncoder,
    ResidualBlock,
    TinyEncoder,
    spatial_softmax,
)


def merged_encoder(network: nn.Module, config: PolicyConfig) -> MergedTinyEncoder | None:
    """Return what computes as a network's encoder in fewer operations, None if nothing does."""
    encoder = getattr(network, "encoder", None)
    sizes = {(camera.height, camera.width) for camera in config.cameras.values()}
    return MergedTinyEncoder(encoder) if isinstance(encoder, TinyEncoder) and len(sizes) == 1 \
        else None


class MergedTinyEncoder(nn.Module):
    """Computes what a ``TinyEncoder`` computes whose cameras have images of one size.

    Args:
        encoder: it.
    """

    def __init__(self, encoder: TinyEncoder):
        super().__init__()
        cameras = list(encoder.cameras)
        self.instruction = encoder.instruction
        # Groups of three channels each would take twice as long as convolutions of their own.
        self.stems = nn.ModuleList(c.stem[0][0] for c in cameras)
        self.stem_norm = _side_by_side([c.stem[0][1] for c in cameras])
        self.fine = _MergedBlock([c.fine for c in cameras])
        self.down = _side_by_side([c.down[0] for c in cameras])
        self.coarse = _MergedBlock([c.coarse for c in cameras])
        self.lateral = _side_by_side([c.lateral for c in cameras])
        self.heatmaps = _side_by_side([c.heatmaps for c in cameras])
        self.film = _linear(*(torch.cat([getattr(block.film, name).detach()
                                         for block in (self.fine, self.coarse)])
                              for name in ("weight", "bias")))
        self.join = nn.Sequential(_reordered(encoder.join[0], cameras), *encoder.join[1:])

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                instruction: torch.Tensor) -> torch.Tensor:
        """Encode a batch; as ``TinyEncoder.forward``."""
        words = self.instruction(instruction)
        channels = self.fine.channels, self.coarse.channels
        scale_fine, shift_fine, scale_coarse, shift_coarse = self.film(words)[:, :, None, None] \
            .split([c for c in channels for _ in range(2)], dim=1)
        stems = [stem(image) for stem, image in zip(self.stems, images, strict=True)]
        fine = self.fine(F.relu(self.stem_norm(torch.cat(stems, 1))), scale_fine, shift_fine)
        coarse = self.coarse(F.relu(self.down(fine)), scale_coarse, shift_coarse)
        merged = fine + F.interpolate(self.lateral(coarse), size=fine.shape[2:])
        points = spatial_softmax(self.heatmaps(F.relu(merged)))
        return self.join(torch.cat([points, coarse.mean((2, 3)), state, words], dim=1))


class _MergedBlock(nn.Module):
    """Residual blocks side by side.

    ``film`` gives scales and shifts of an instruction, with those of the normalization.
    """

    def __init__(self, blocks: Sequence[ResidualBlock]):
        super().__init__()
        self.first = _side_by_side([b.first[0] for b in blocks])
        self.second = _side_by_side([b.second for b in blocks])
        self.channels, self.groups = self.first.out_channels, GROUPS * len(blocks)
        scale = torch.cat([b.first[1].weight for b in blocks]).detach()
        shift = torch.cat([b.first[1].bias for b in blocks]).detach()
        # Scale (1 + s) and shift (1 + s) + t, where the instruction gives s and t.
        (weight_s, weight_t), (bias_s, bias_t) = (
            [torch.cat(halves) for halves in zip(*(
                getattr(b.film, name).detach().chunk(2) for b in blocks), strict=True)]
            for name in ("weight", "bias"))
        self.film = _linear(
            torch.cat([scale[:, None] * weight_s, shift[:, None] * weight_s + weight_t]),
            torch.cat([scale * (1 + bias_s), shift * (1 + bias_s) + bias_t]))

    def forward(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Map (B, channels, H, W) and two (B, channels, 1, 1) to (B, channels, H, W)."""
        hidden = F.group_norm(self.first(x), self.groups)
        return F.relu(x + self.second(F.relu(hidden * scale + shift)))


def _side_by_side(modules: Sequence[nn.Module]) -> nn.Module:
    """Return a module that maps the channels of all inputs, in turn, to those of all outputs."""
    first, count = modules[0], len(modules)
    if isinstance(first, nn.Sequential):
        return nn.Sequential(*(_side_by_side(layers) for layers in zip(*modules, strict=True)))
    if isinstance(first, nn.GroupNorm):
        merged = nn.GroupNorm(first.num_groups * count, first.num_channels * count)
    else:
        merged = nn.Conv2d(first.in_channels * count, first.out_channels * count,
                           first.kernel_size, first.stride, first.padding, groups=count)
    merged.load_state_dict({name: torch.cat([m.state_dict()[name] for m in modules])
                            for name in first.state_dict()})
    return merged


def _reordered(layer: nn.Linear, cameras: Sequence[CameraEncoder]) -> nn.Linear:
    """Return a layer that takes all x, all y, and all means of cameras, then the rest."""
    points, sizes = cameras[0].heatmaps.out_channels, []
    for camera in cameras:
        sizes += [points, points, camera.features - 2 * points]
    parts = layer.weight.detach().split([*sizes, layer.in_features - sum(sizes)], dim=1)
    return _linear(torch.cat([*parts[0:-1:3], *parts[1:-1:3], *parts[2:-1:3], parts[-1]], dim=1),
                   layer.bias.detach())


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
