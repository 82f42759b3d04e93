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

"""The images of a batch: read and shifted on the host, or on the GPU that holds all of them.

Colors are changed where the network is, in one matrix product a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from training.learning.mixture import Mixture

# Of the memory of a GPU that a training step leaves free, what images may take.
SHARE = 0.9
# Frames that go to the GPU at once.
FRAMES = 2048
# Shares of red, green and blue in how bright a color looks (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])


def shift_images(images: np.ndarray, offsets: np.ndarray, shift: int) -> np.ndarray:
    """Shift every image on its own, repeating the border (DrQ, Yarats et al. 2021).

    Args:
        images: (B, cameras, H, W, 3).
        offsets: (B, cameras, 2) rows and columns, 0 to ``2 * shift``; ``shift`` is none.
        shift: largest shift in pixels.

    Returns:
        (B, cameras, H, W, 3).
    """
    if not shift:
        return images
    size, cameras, height, width, _ = images.shape
    sides = (shift, shift)
    padded = np.pad(images, ((0, 0), (0, 0), sides, sides, (0, 0)), mode="edge")
    out = np.empty_like(images)
    for b in range(size):
        for c in range(cameras):
            y, x = offsets[b, c]
            out[b, c] = padded[b, c, y:y + height, x:x + width]
    return out


def color_changes(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    """Draw changes of brightness, contrast, saturation and white balance.

    Args:
        rng: where they come from.
        shape: of the images, each of which gets its own.
        share: contrast and saturation change by at most this share, brightness by as much of the
            distance from gray to white, and each color by half of it.

    Returns:
        (*shape, 3, 4) float32: a matrix for red, green and blue in [-1, 1], and an offset.
    """
    brightness, contrast, saturation = share * rng.uniform(-1.0, 1.0, (3, *shape))
    balance = 1.0 + 0.5 * share * rng.uniform(-1.0, 1.0, (*shape, 3))
    colorful = (1.0 + saturation)[..., None, None]
    matrix = colorful * np.eye(3) + (1.0 - colorful) * LUMA
    matrix = matrix * ((1.0 + contrast)[..., None] * balance)[..., None]
    offset = np.broadcast_to(brightness[..., None, None], (*shape, 3, 1))
    return np.concatenate([matrix, offset], -1).astype(np.float32)


def change_colors(image: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """Change the colors of every image on its own.

    Args:
        image: (B, 3, H, W) float32 in [-1, 1].
        change: (B, 3, 4), as ``color_changes`` draws them.

    Returns:
        (B, 3, H, W) float32 in [-1, 1].
    """
    offset, matrix = change[..., 3:], change[..., :3]
    with torch.autocast(image.device.type, enabled=False):
        changed = torch.baddbmm(offset, matrix, image.flatten(2))
    return changed.clamp_(-1.0, 1.0).view_as(image)


class DeviceImages:
    """All images of the data on a GPU, and batches cut from them there: no image is sent twice.

    Args:
        data: the demonstrations.
        shift: largest shift in pixels.
        device: torch device.
    """

    def __init__(self, data: Mixture, shift: int, device: str):
        frames, cameras, height, width, _ = data.images.shape
        self._shift = shift
        self._images = [torch.empty((frames, height, width, 3), dtype=torch.uint8, device=device)
                        for _ in range(cameras)]
        for first in range(0, frames, FRAMES):
            rows = np.arange(first, min(first + FRAMES, frames))
            part = torch.from_numpy(data.images[rows])
            for c, images in enumerate(self._images):
                images[first:first + len(rows)] = part[:, c].to(device)
        self._rows = torch.arange(height, device=device)
        self._columns = torch.arange(width, device=device)

    @staticmethod
    def fit(data: Mixture, device: str) -> bool:
        """Tell whether the images fit the device beside what a step has taken.

        Only a GPU has memory of its own.
        """
        if not device.startswith("cuda"):
            return False
        return int(np.prod(data.images.shape)) < SHARE * torch.cuda.mem_get_info(device)[0]

    def cut(self, frames: torch.Tensor, offsets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the images of a batch, the same pixels as ``shift_images`` gives.

        Args:
            frames: (B,) int64 frames of the data, on this device.
            offsets: (B, cameras, 2) int64 as ``shift_images`` takes them, on this device.

        Returns:
            Per camera (B, height, width, 3) uint8.
        """
        images = []
        for camera, stored in enumerate(self._images):
            y, x = (offsets[:, camera, axis, None] - self._shift for axis in (0, 1))
            rows = (self._rows + y).clamp(0, len(self._rows) - 1)
            columns = (self._columns + x).clamp(0, len(self._columns) - 1)
            images.append(stored[frames[:, None, None], rows[:, :, None], columns[:, None, :]])
        return tuple(images)
