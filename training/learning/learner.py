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

"""What is optimized: the policy network, its losses, and the head that only training needs."""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.backends.torch_backend import to_network_image
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.language import embed
from tinyvla_ros.policy.language_config import TokenizedWords
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.model.condition import Condition, vector_of
from tinyvla_ros.policy.model.denoiser import initialize_as_torch
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.pretrained import BaseModelSource
from tinyvla_ros.policy.tokens import tokenize
from training.learning.batches import Batch
from training.learning.images import change_colors
from training.learning.recipe import Recipe


class Learner(nn.Module):
    """The policy network and the auxiliary head that only training needs.

    The head predicts normalized states later in the episode from the same condition vector that
    steers the denoiser: where the arm goes next, grips and ends shows where the object and the
    goal are. It needs no labels beside the demonstrations.

    Args:
        recipe: what and how to train.
        config: the policy's.
        normalizer: of states and actions; moved with the module.
    """

    def __init__(self, recipe: Recipe, config: PolicyConfig, normalizer: Normalizer):
        super().__init__()
        self.options = recipe.optimization
        self.network = PolicyNetwork(config, BaseModelSource(download=True))
        if isinstance(config.language, TokenizedWords):
            encoder = self.network.encoder
            encoder.instruction.ids.copy_(
                torch.from_numpy(
                    tokenize(config.language, encoder.backbone.path, config.wordings)))
        elif config.takes_new_wordings:
            embeddings = torch.from_numpy(embed(config.language, config.wordings,
                                                download=True))
            self.network.encoder.instruction.weight.copy_(embeddings)
        if recipe.initialization.kind == "torch":
            initialize_as_torch(self.network.denoiser)
        with torch.no_grad():
            for parameter in self.network.denoiser.head.parameters():
                parameter.mul_(recipe.initialization.head_scale)
        count, width = len(self.options.future_frames), config.model.condition_dim
        self.auxiliary_head = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, count * len(config.state))) if count else None
        for name, tensor in normalizer.tensors().items():
            self.register_buffer(f"normalizer_{name}", tensor, persistent=False)

    @property
    def normalizer(self) -> Normalizer:
        """The normalizer, on the module's device."""
        return Normalizer(self.normalizer_state_mean, self.normalizer_state_std,
                          self.normalizer_action_low, self.normalizer_action_high)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the denoising loss and the auxiliary loss of a share of a batch, scalars."""
        condition = self.condition(batch)
        actions, valid, condition_rows, known, given = self.noisy_rows(batch, condition)
        error = self.network.errors(condition_rows, actions, batch.noise, batch.step, None,
                                    known, given)
        loss = (error * valid).sum() / batch.share
        if self.auxiliary_head is None:
            return loss, torch.zeros_like(loss)
        # Relative to now: an arm at rest predicts zeros.
        normalizer = self.normalizer
        target = normalizer.state(batch.future) - normalizer.state(batch.state)[:, None]
        predicted = self.auxiliary_head(vector_of(condition)).float().view_as(target)
        return loss, (predicted - target).square().mean()

    def condition(self, batch: Batch) -> Condition:
        """Encode a batch, float32."""
        images = [to_network_image(image) for image in batch.images]
        if batch.colors.numel():
            images = [change_colors(image, batch.colors[:, camera])
                      for camera, image in enumerate(images)]
        state = self.normalizer.state(batch.state)
        if batch.state_noise.numel():
            state = state + batch.state_noise
        return self.network.encode(images, state, batch.instruction).float()

    def noisy_rows(self, batch: Batch, condition: Condition
                   ) -> tuple[torch.Tensor, torch.Tensor, Condition, torch.Tensor, torch.Tensor]:
        """Repeat for every noise sample what ``PolicyNetwork.errors`` takes.

        Returns:
            Normalized actions, ``valid`` without the rows that are given, the condition,
            normalized executed actions, and (B * R, horizon, 1) which rows are given.
        """
        repeats = self.options.noise_samples
        normalize = self.normalizer.action
        actions, executed, valid, condition = (t.repeat_interleave(repeats, 0) for t in (
            normalize(batch.actions), normalize(batch.executed), batch.valid, condition))
        rows = torch.arange(valid.shape[1], device=valid.device)
        given = (rows < batch.given[:, None]).to(valid.dtype)
        return actions, valid * (1.0 - given), condition, executed, given[..., None]


def count_parameters(learner: Learner) -> dict[str, dict[str, int]]:
    """Return ``total`` and ``trainable`` parameters of every part of the network that has some.

    The last two are ``policy``, without the training-only head, and ``all``.
    """
    network = learner.network
    modules = {f"encoder.{name}": child for name, child in network.encoder.named_children()}
    modules["denoiser"] = network.denoiser
    if learner.auxiliary_head is not None:
        modules["auxiliary head (training only)"] = learner.auxiliary_head
    counts = {name: {"total": sum(p.numel() for p in module.parameters()),
                     "trainable": sum(p.numel() for p in module.parameters() if p.requires_grad)}
              for name, module in (modules | {"policy": network, "all": learner}).items()}
    return {name: count for name, count in counts.items() if count["total"]}


def parameter_table(counts: dict[str, dict[str, int]]) -> str:
    """Return a table for people."""
    return markdown_table(("parameters", "total", "trainable"),
                          [(name, f"{count['total']:,}", f"{count['trainable']:,}")
                           for name, count in counts.items()])
