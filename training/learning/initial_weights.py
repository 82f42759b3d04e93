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

"""Weights of a checkpoint that training goes on from, for the instructions of a recipe."""

from __future__ import annotations

import torch

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import Checkpoint
from tinyvla_ros.policy.language_config import LanguageConfig, LearnedTable, fold
from tinyvla_ros.policy.model.network import PolicyNetwork

# What a checkpoint must have in common with the recipe and data.
SHARED_FIELDS = ("cameras", "state", "continuous", "model", "action")
INSTRUCTION = "encoder.instruction."
# Of ``language``, what decides only which new wordings are refused.
OF_REFUSALS = {"min_similarity"}


def reads_alike(before: LanguageConfig, now: LanguageConfig) -> bool:
    """Whether what was learned about words is of use to a network that reads them as ``now``."""
    one, other = (language.model_dump(exclude=OF_REFUSALS) for language in (before, now))
    return one == other


def weights_for(network: PolicyNetwork, start: Checkpoint) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint as a network takes them.

    Instructions may be others. What has been learned about words stays if ``reads_alike``: all of
    it where there are embeddings, the vectors of the instructions that both have where there is a
    table. Else it is what the network begins with.

    Raises:
        InputError: the checkpoint differs from the network in something else.
    """
    before, now = start.config, network.config
    for field in SHARED_FIELDS:
        if getattr(before, field) != getattr(now, field):
            raise InputError(f"{start.path} differs from the recipe and data in '{field}'; start "
                             "from a checkpoint that was trained with the same.")
    own, weights = network.state_dict(), start.network.state_dict()
    words = {name for name in own if name.startswith(INSTRUCTION)}
    weights = {name: value for name, value in weights.items()
               if name in words or not name.startswith(INSTRUCTION)}
    if not reads_alike(before.language, now.language):
        return weights | {name: own[name] for name in words}
    # The known wordings themselves belong to the network, not to what it has learned.
    learned = {name for name, _ in network.named_parameters()}
    weights |= {name: own[name] for name in words - learned}
    if isinstance(now.language, LearnedTable):
        name = f"{INSTRUCTION}weight"
        table = own[name].clone()
        rows = {fold(instruction): row for row, instruction in enumerate(before.instructions)}
        for row, instruction in enumerate(now.instructions):
            if fold(instruction) in rows:
                table[row] = weights[name][rows[fold(instruction)]]
        weights[name] = table
    return weights
