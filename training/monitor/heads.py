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

"""Two small heads on the features of a frozen encoder: progress, and whether the task is done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training.monitor.watched_episodes import WatchedEpisode

# The end of a success that shows the task done, s.
DONE_S = 0.3
HIDDEN, STEPS, BATCH, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 64, 2000, 256, 1e-3, 0.05, 0.2


class Heads(nn.Module):
    """(B, condition_dim) features to (B,) progress and (B,) done, both 0 to 1.

    Args:
        features: (N, condition_dim) float32 that it is trained with.
    """

    def __init__(self, features: np.ndarray):
        super().__init__()
        spread = features.std(0)
        self.register_buffer("mean", torch.from_numpy(features.mean(0)))
        self.register_buffer("spread", torch.from_numpy(spread + 1e-3 * spread.max()))
        self.layers = nn.Sequential(nn.Linear(features.shape[1], HIDDEN), nn.SiLU(),
                                    nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 2))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return progress and done."""
        progress, done = torch.sigmoid(self.layers(
            (features - self.mean) / self.spread)).unbind(1)
        return progress, done


def targets(episode: WatchedEpisode) -> tuple[np.ndarray, np.ndarray]:
    """Return (observations,) float32 progress, NaN where it is unknown, and done."""
    seconds = (episode.stamps_ns - episode.stamps_ns[0]) / 1e9
    if not episode.success:
        return np.full(len(seconds), np.nan, np.float32), np.zeros(len(seconds), np.float32)
    return (seconds / max(seconds[-1], 1e-6)).astype(np.float32), \
        (seconds >= seconds[-1] - DONE_S).astype(np.float32)


def train_heads(episodes: Sequence[WatchedEpisode], seed: int = 0) -> Heads:
    """Train heads; the same episodes give the same heads."""
    features = np.concatenate([e.features for e in episodes])
    progress, done = (torch.from_numpy(np.concatenate(parts)) for parts in
                      zip(*map(targets, episodes), strict=True))
    known = ~progress.isnan()
    inputs = torch.from_numpy(features)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = Heads(features)
        optimizer = torch.optim.AdamW(heads.parameters(), LEARNING_RATE,
                                      weight_decay=WEIGHT_DECAY)
        for _ in range(STEPS):
            rows = torch.randint(len(inputs), (BATCH,))
            guess, guess_done = heads(inputs[rows])
            loss = F.binary_cross_entropy(guess_done, done[rows])
            if known[rows].any():
                loss = loss + F.mse_loss(guess[known[rows]], progress[rows][known[rows]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return heads.eval()


@torch.inference_mode()
def check_heads(heads: Heads, episodes: Sequence[WatchedEpisode]) -> dict[str, float]:
    """Return how good heads are on episodes that they were not trained with, name -> value.

    ``progress_correlation`` and ``progress_error`` over all observations of successes;
    ``done_precision`` and ``done_recall`` over episodes: done was at least 0.5 at some time. What
    there are no episodes for is left out.
    """
    found, told, true = [], [], []
    for episode in episodes:
        progress, done = heads(torch.from_numpy(episode.features))
        told.append(bool((done >= 0.5).any()))
        true.append(episode.success)
        if episode.success:
            found.append((progress.numpy(), targets(episode)[0]))
    checks = {}
    if found:
        guess, wanted = (np.concatenate(parts) for parts in zip(*found, strict=True))
        if guess.std() and wanted.std():  # else it is not defined
            checks["progress_correlation"] = float(np.corrcoef(guess, wanted)[0, 1])
        checks["progress_error"] = float(np.abs(guess - wanted).mean())
    told, true = np.array(told), np.array(true)
    if told.any():
        checks["done_precision"] = float(true[told].mean())
    if true.any():
        checks["done_recall"] = float(told[true].mean())
    return checks
