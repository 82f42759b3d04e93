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

"""Linear maps between the robot's units and the network's."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch

# Smallest spread a feature is divided by: a constant channel must not amplify noise.
MIN_STD = 1e-3


@dataclass(frozen=True)
class Normalizer:
    """State to zero mean and unit deviation, actions to [-1, 1].

    The first rows of a chunk that counts from where the joints are span far less than its last,
    and they are the ones that are executed: there each row has a range of its own, or their error
    would hardly count in training.

    Attributes:
        state_mean: (len(state),) float32.
        state_std: (len(state),) float32, positive.
        action_low: (channels,) or (horizon, channels) float32, mapped to -1.
        action_high: of the same shape, mapped to 1.
    """

    state_mean: torch.Tensor
    state_std: torch.Tensor
    action_low: torch.Tensor
    action_high: torch.Tensor

    @classmethod
    def fit(cls, states: torch.Tensor, actions: torch.Tensor) -> Normalizer:
        """Fit to data: states (N, len(state)), actions (M, channels) or (M, horizon, channels)."""
        states = states.double()
        std = states.std(0).clamp(min=MIN_STD)
        # What never moved is no measure of how far it may: on the robot it may be elsewhere.
        std = torch.where(states.amax(0) == states.amin(0), 1.0, std)
        low, high = actions.amin(0), actions.amax(0)
        flat = (high - low) < 1e-6  # a constant channel: any non-empty range around it
        return cls(states.mean(0).float(), std.float(),
                   torch.where(flat, low - 1, low).float(),
                   torch.where(flat, high + 1, high).float())

    def state(self, state: torch.Tensor) -> torch.Tensor:
        """Normalize (..., len(state))."""
        return (state - self.state_mean) / self.state_std

    def action(self, action: torch.Tensor) -> torch.Tensor:
        """Normalize (..., horizon, channels), or (..., channels) if all rows are alike."""
        return 2.0 * (action - self.action_low) / (self.action_high - self.action_low) - 1.0

    def to_action(self, normalized: torch.Tensor) -> torch.Tensor:
        """Invert ``action``."""
        return (normalized + 1.0) / 2.0 * (self.action_high - self.action_low) + self.action_low

    def of_rows(self, first: int, count: int) -> Normalizer:
        """Return the normalizer of some rows of a chunk."""
        if self.action_low.ndim == 1:
            return self
        rows = slice(first, first + count)
        return replace(self, action_low=self.action_low[rows], action_high=self.action_high[rows])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the four vectors by name, as they are saved."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device) -> Normalizer:
        """Return a copy on another device."""
        return Normalizer(**{k: v.to(device) for k, v in self.tensors().items()})
