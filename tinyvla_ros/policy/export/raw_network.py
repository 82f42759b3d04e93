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

"""A network from raw inputs to raw actions, as one module to trace."""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.policy.backends.torch_backend import to_network_image
from tinyvla_ros.policy.checkpoint import Checkpoint
from tinyvla_ros.policy.export.merged_cameras import merged_encoder
from tinyvla_ros.policy.model.condition import Condition


class RawEncoder(nn.Module):
    """The encoder, from raw inputs.

    Args:
        checkpoint: loaded.
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.network, self._config = checkpoint.network, checkpoint.config
        self._encode = merged_encoder(checkpoint.network, checkpoint.config) \
            or checkpoint.network.encode
        self._normalizer = checkpoint.normalizer

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                words: list[torch.Tensor]) -> Condition:
        """Return the condition of one observation; inputs are those of ``CompiledInputs``.

        ``words`` has the row of the instruction and, if new wordings are taken, the embedding.
        """
        instruction, *embedding = words
        if embedding:
            rows = self.network.encoder.instruction.weight[instruction.clamp(min=0)]
            instruction = torch.where((instruction >= 0)[:, None], rows, embedding[0])
        return self._encode([to_network_image(image) for image in images],
                            self._normalizer.state(state), instruction)

    def example(self) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor]]:
        """Return inputs of the right shapes and types."""
        config = self._config
        seen = 1 + len(config.past_stamps(0))
        words = [torch.zeros(1, dtype=torch.int64)]
        if config.takes_new_wordings:
            words.append(torch.zeros(1, config.language.dim))
        return ([torch.zeros(seen, camera.height, camera.width, 3, dtype=torch.uint8)
                 for camera in config.cameras.values()],
                torch.zeros(seen, len(config.state)), words)


class RawNetwork(nn.Module):
    """The encoder, the whole sampler and both normalizations.

    Args:
        checkpoint: loaded, its network with the sampling steps it shall have.
    """

    def __init__(self, checkpoint: Checkpoint):
        super().__init__()
        self.encoder = RawEncoder(checkpoint)
        self.network, self._normalizer = checkpoint.network, checkpoint.normalizer

    def forward(self, images: list[torch.Tensor], state: torch.Tensor, words: list[torch.Tensor],
                noise: torch.Tensor, known: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return (1, horizon, channels) actions; inputs are those of ``CompiledInputs``."""
        normalizer = self._normalizer
        actions = self.network.sample(self.encoder(images, state, words), noise,
                                      normalizer.action(known), weights[..., None])
        return normalizer.to_action(actions)

    def example(self) -> tuple[list[torch.Tensor], torch.Tensor, list[torch.Tensor],
                               torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return inputs of the right shapes and types."""
        action = self.network.config.action
        rows, channels = action.horizon, len(action.channels)
        return (*self.encoder.example(), torch.zeros(1, *self.network.noise_shape),
                torch.zeros(1, rows, channels), torch.zeros(1, rows))
