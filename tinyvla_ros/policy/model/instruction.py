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

"""Instructions as vectors: learned per instruction, or projected from a frozen embedding."""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.language import embed
from tinyvla_ros.policy.language_config import HashedWords


def make_instruction_embedding(config: PolicyConfig) -> nn.Module:
    """Return the module that maps rows of ``config.wordings`` to (B, instruction_dim)."""
    if not config.takes_new_wordings:
        return LearnedEmbeddings(config)
    module = FrozenEmbeddings(len(config.wordings), config.language.dim,
                              config.model.instruction_dim)
    if isinstance(config.language, HashedWords):
        module.weight.copy_(torch.from_numpy(embed(config.language, config.wordings)))
    return module


class LearnedEmbeddings(nn.Embedding):
    """A learned vector per instruction; its paraphrases share it."""

    def __init__(self, config: PolicyConfig):
        super().__init__(len(config.instructions), config.model.instruction_dim)
        self.register_buffer("owner", torch.tensor(config.wording_owners), persistent=False)

    def forward(self, wording: torch.Tensor) -> torch.Tensor:
        """Map (B,) int64 rows to (B, instruction_dim); -1 gives zeros."""
        vectors = super().forward(self.owner[wording.clamp(min=0)])
        return vectors * (wording >= 0)[:, None]


class FrozenEmbeddings(nn.Module):
    """Embeddings of the known wordings, kept with the weights, and a learned projection.

    Those of a sentence encoder come from ``language.embed`` when training starts.
    """

    def __init__(self, wordings: int, dim: int, instruction_dim: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(wordings, dim))
        self.project = nn.Sequential(nn.Linear(dim, instruction_dim), nn.SiLU(),
                                     nn.Linear(instruction_dim, instruction_dim))
        # Embeddings have unit length: entries of 1 / sqrt(dim), which torch's own scale would
        # turn into a vector that hardly depends on the words.
        nn.init.normal_(self.project[0].weight)
        nn.init.zeros_(self.project[0].bias)

    def forward(self, wording: torch.Tensor) -> torch.Tensor:
        """Map (B,) int64 rows (-1 for no words) or (B, dim) embeddings to (B, instruction_dim)."""
        if wording.is_floating_point():
            return self.project(wording)
        vectors = self.weight[wording.clamp(min=0)] * (wording >= 0)[:, None]
        return self.project(vectors)
