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

"""The output of an encoder: one vector, or a vector and hidden states to attend to."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class AttendedCondition(NamedTuple):
    """A condition vector with hidden states that the head attends to.

    It has the two methods of a tensor that the code which passes a condition on calls.

    Attributes:
        vector: (B, condition_dim) float.
        tokens: (B, L, width) float hidden states.
        mask: (B, L) bool, False for padding.
    """

    vector: torch.Tensor
    tokens: torch.Tensor
    mask: torch.Tensor

    def float(self) -> AttendedCondition:
        """Return a float32 copy."""
        return AttendedCondition(self.vector.float(), self.tokens.float(), self.mask)

    def repeat_interleave(self, repeats: int, dim: int) -> AttendedCondition:
        """Repeat rows as ``torch.Tensor.repeat_interleave`` does."""
        return AttendedCondition(*(t.repeat_interleave(repeats, dim) for t in self))


Condition = torch.Tensor | AttendedCondition


def vector_of(condition: Condition) -> torch.Tensor:
    """Return the (B, condition_dim) vector of any condition."""
    return condition.vector if isinstance(condition, AttendedCondition) else condition


def join_layers(width: int, condition_dim: int) -> nn.Sequential:
    """Return the last layers of every encoder: (B, width) to (B, condition_dim)."""
    return nn.Sequential(nn.Linear(width, condition_dim), nn.SiLU(),
                         nn.Linear(condition_dim, condition_dim))
