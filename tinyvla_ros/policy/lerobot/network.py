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

"""LeRobot's DiffusionPolicy at inference, behind the interface of ``model.PolicyNetwork``."""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.lerobot.sampling import Sampler
from tinyvla_ros.policy.lerobot.unet import ConditionalUnet
from tinyvla_ros.policy.lerobot.vision import RgbEncoder


class LeRobotDiffusionNetwork(nn.Module):
    """A network that was trained with LeRobot. Instructions make no difference to it.

    The parameters have LeRobot's names less the leading ``diffusion.``. Four more tensors hold the
    normalization of the images, (cameras, 3, 1, 1) each, and what is taken from the state after it
    was divided, (len(state),).
    """

    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.config = config
        model, cameras = config.model, list(config.cameras.values())

        def encoder() -> RgbEncoder:
            return RgbEncoder(model, cameras[0].height, cameras[0].width)

        self.rgb_encoder = (nn.ModuleList(encoder() for _ in cameras)
                            if model.use_separate_rgb_encoder_per_camera else encoder())
        features = 2 * model.spatial_softmax_num_keypoints * len(cameras) + len(config.state)
        self.unet = ConditionalUnet(model, len(config.action.channels),
                                    features * model.n_obs_steps)
        self.register_buffer("image_origin", torch.zeros(len(cameras), 3, 1, 1))
        self.register_buffer("image_spread", torch.ones(len(cameras), 3, 1, 1))
        self.register_buffer("image_offset", torch.zeros(len(cameras), 3, 1, 1))
        self.register_buffer("state_offset", torch.zeros(len(config.state)))
        self._sampler = Sampler(model, config.diffusion)

    def set_sample_steps(self, steps: int) -> None:
        """Choose the number of sampling steps, from 1 to the length of the noise schedule."""
        self._sampler.set_steps(steps)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that one chunk takes, without the batch."""
        return (self._sampler.draws, self.config.model.horizon, len(self.config.action.channels))

    def encode(self, images: list[torch.Tensor], state: torch.Tensor,
               instruction: torch.Tensor) -> torch.Tensor:
        """Encode the observations of one moment.

        Args:
            images: one (n_obs_steps, 3, H, W) float tensor in [-1, 1] per camera, in config
                order, oldest observation first.
            state: (n_obs_steps, len(state)) normalized.
            instruction: ignored.

        Returns:
            (1, n_obs_steps * features) float.
        """
        parts = [state - self.state_offset]
        for index, pixels in enumerate(images):
            shared = not self.config.model.use_separate_rgb_encoder_per_camera
            encoder = self.rgb_encoder if shared else self.rgb_encoder[index]
            # Back to the bytes they were: the network saw these over 255.
            pixels = ((pixels + 1.0) * 127.5).round() / 255.0
            parts.append(encoder((pixels - self.image_origin[index]) / self.image_spread[index]
                                 - self.image_offset[index]))
        return torch.cat(parts, dim=1).flatten()[None]

    @torch.no_grad()
    def sample(self, condition: torch.Tensor, noise: torch.Tensor,
               known: torch.Tensor | None = None,
               weights: torch.Tensor | None = None) -> torch.Tensor:
        """Draw action chunks.

        Args:
            condition: (B, n_obs_steps * features).
            noise: (B, *noise_shape) standard normal: the only randomness.
            known: (B, rows, channels) normalized actions to continue, or None.
            weights: (B, rows, 1) how far: 1 replaces, 0 leaves free.

        Returns:
            (B, rows, channels) normalized actions, the first for now.
        """
        past = self.config.model.n_obs_steps - 1
        if known is not None:
            limit = self._sampler.limit
            known = nn.functional.pad(known.clamp(-limit, limit), (0, 0, past, 0))
            weights = nn.functional.pad(weights, (0, 0, past, 0))
        trajectory = noise[:, 0]
        for index, t in enumerate(self._sampler.timesteps):
            steps = torch.full((len(trajectory),), t, device=trajectory.device)
            predicted = self.unet(trajectory, steps, condition)
            drawn = noise[:, (1 + index) % noise.shape[1]]
            trajectory = self._sampler.step(predicted, t, trajectory, drawn, known, weights)
        return trajectory[:, past:]
