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

"""Signals that tell how an episode goes, the monitor's competitors.

Importable only; running it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.monitor.watched_episodes import WatchedEpisode

WIDTH, STEPS, BATCH, RATE = 256, 3000, 256, 1e-3  # of what signals learn with


@dataclass(frozen=True)
class Run:
    """An episode.

    Attributes:
        task: its task.
        kind: of disturbance.
        watched: what the encoder saw.
        samples: (chunks, samples, rows, channels) of the range of each channel.
        steps: (chunks,) control steps before each chunk.
    """

    task: str
    kind: str
    watched: WatchedEpisode
    samples: np.ndarray
    steps: np.ndarray


Signal = Callable[[Run], np.ndarray]  # (chunks,) the larger, the worse


def overlaps(run: Run) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (samples, rows * channels) of what two chunks after each other both plan."""
    for old, new, rows in zip(run.samples[:-1], run.samples[1:], np.diff(run.steps), strict=True):
        kept = old[:, rows:]
        yield kept.reshape(len(kept), -1), new[:, :kept.shape[1]].reshape(len(new), -1)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a[:, None] - b[None], axis=-1).mean())


def stac(run: Run) -> np.ndarray:
    """Return the energy distance of chunks in their overlap (STAC, arXiv 2410.04640)."""
    return np.array([0.0, *(2 * _distance(a, b) - _distance(a, a) - _distance(b, b)
                            for a, b in overlaps(run))])


def overlap(run: Run) -> np.ndarray:
    """Return how far the executed sample is from the one before."""
    return np.array([0.0, *(float(np.abs(a[0] - b[0]).mean()) for a, b in overlaps(run))])


def spread(run: Run) -> np.ndarray:
    """Return the standard deviation of the samples."""
    return run.samples.std(1).mean((1, 2))


def mahalanobis(runs: list[Run]) -> Signal:
    """Return the distance of features to a normal distribution (Lee et al. 2018)."""
    features = np.concatenate([r.watched.features for r in runs]).astype(np.float64)
    mean, scale = features.mean(0), features.std(0) + 1e-6
    z = (features - mean) / scale
    inverse = np.linalg.inv(np.cov(z.T) + 0.05 * np.eye(z.shape[1]))

    def signal(run: Run) -> np.ndarray:
        z = (run.watched.features - mean) / scale
        return np.sqrt(np.einsum("ij,jk,ik->i", z, inverse, z))

    return signal


def summed(signal: Signal) -> Signal:
    """Return a signal summed up from the beginning of the episode."""
    return lambda run: np.cumsum(signal(run))


# ---- of the denoiser ----------------------------------------------------------------------------

def path_acceleration(checkpoint: Path, steps: int = 10) -> Signal:
    """Return how much the path bends on which the same noise becomes a chunk.

    The clean chunk that a step predicts moves from step to step; this is how much that changes,
    the mean over all pairs of steps.
    """
    network = load_checkpoint(checkpoint).network
    assert network.config.diffusion.prediction == "sample"
    network.set_sample_steps(steps)
    noise = torch.randn(1, *network.noise_shape, generator=torch.Generator().manual_seed(0))
    path: list[torch.Tensor] = []
    network.denoiser.register_forward_hook(lambda module, given, predicted: path.append(predicted))

    def signal(run: Run) -> np.ndarray:
        path.clear()
        condition = torch.from_numpy(run.watched.features)
        network.sample(condition, noise.expand(len(condition), -1, -1))
        return torch.stack(path).diff(dim=0).diff(dim=0).norm(dim=(2, 3)).mean(0).numpy()

    return signal


# ---- learned from successes ---------------------------------------------------------------------

def random_network(runs: list[Run]) -> Signal:
    """Return how badly a network guesses another, random one (RND, arXiv 1810.12894)."""
    generator = torch.Generator().manual_seed(0)
    z, scaled = _scaled(runs)
    target, guess = _network(z.shape[1], 64, seed=0), _network(z.shape[1], 64, seed=1)
    target.requires_grad_(False)
    _learn(guess, generator, len(z), lambda of: (guess(z[of]) - target(z[of])).square().mean())

    def signal(run: Run) -> np.ndarray:
        with torch.no_grad():
            features = scaled(run)
            return (guess(features) - target(features)).square().mean(1).numpy()

    return signal


def flow_noise(runs: list[Run]) -> Signal:
    """Return how large the noise is that a flow takes features back to (logpZO, 2503.08558).

    One step, as its authors do it.
    """
    generator = torch.Generator().manual_seed(0)
    z, scaled = _scaled(runs)
    size = z.shape[1]
    velocity = _network(size + 1, size, seed=0)

    def loss(of: torch.Tensor) -> torch.Tensor:
        time = torch.rand(len(of), 1, generator=generator)
        noise = torch.randn(len(of), size, generator=generator)
        between = (1.0 - time) * z[of] + time * noise
        return (velocity(torch.cat([between, time], 1)) - (noise - z[of])).square().mean()

    _learn(velocity, generator, len(z), loss)

    def signal(run: Run) -> np.ndarray:
        with torch.no_grad():
            features = scaled(run)
            back = features + velocity(torch.cat([features, torch.zeros(len(features), 1)], 1))
            return back.square().sum(1).numpy()

    return signal


def _scaled(runs: list[Run]) -> tuple[torch.Tensor, Callable[[Run], torch.Tensor]]:
    """Return features of mean 0 and deviation 1, and what makes others like them."""
    features = np.concatenate([r.watched.features for r in runs])
    mean, scale = features.mean(0), features.std(0) + 1e-6
    return torch.from_numpy((features - mean) / scale), \
        lambda run: torch.from_numpy((run.watched.features - mean) / scale)


def _network(inputs: int, outputs: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(inputs, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH),
                             nn.SiLU(), nn.Linear(WIDTH, outputs))


def _learn(network: nn.Module, generator: torch.Generator, rows: int,
           loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Minimize a loss of rows that are drawn."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(torch.randint(rows, (BATCH,), generator=generator)).backward()
        optimizer.step()
        schedule.step()
