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

"""Random batches of demonstrations: balanced over tasks, images shifted, words varied.

Batch number ``k`` is a function of the seed and ``k`` alone. That is what makes a resumed run
exact, lets worker processes draw ahead, and lets several processes share one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch

from tinyvla_ros.policy.noise_schedule import NoiseSchedule
from training.learning.images import color_changes, shift_images
from training.learning.mixture import Mixture
from training.learning.recipe import Recipe

GRIPPER = "gripper"
# Streams of random numbers that must not meet.
TRAINING, VALIDATION = 0, 1


@dataclass(frozen=True)
class Batch:
    """One process's share of a training batch, raw units; B observations, R noise samples each.

    Attributes:
        images: per camera (B, height, width, 3) uint8; none of a sampler that leaves them to
            ``DeviceImages``.
        frames: (B,) int64 frames of the data.
        offsets: (B, cameras, 2) int64 rows and columns by which each image is shifted, from 0 to
            twice the largest shift, which stands for none in the middle.
        colors: (B, cameras, 3, 4) float32 that ``change_colors`` takes; (0,) for no change.
        state: (B, state) float32.
        state_noise: (B, state) float32 to be added to the normalized states; (0,) for none.
        instruction: (B,) int64 rows of the policy's wordings, -1 for none.
        actions: (B, horizon, channels) float32.
        executed: (B, horizon, channels) float32 what the arm did instead, if anything else.
        valid: (B, horizon) float32, 0 past the end of the demonstration.
        future: (B, len(future_frames), state) float32 states later in the same episode.
        noise: (B * R, horizon, channels) float32 standard normal.
        step: (B * R,) int64 diffusion steps.
        given: (B * R,) int64 how many of the first rows the network is given as executed.
        share: scalar float32; the sum of ``valid`` over all noise samples and rows that are not
            given, of all processes' shares, divided by the number of processes: dividing each
            share's error by it makes their mean the mean of the whole batch.
    """

    images: tuple[torch.Tensor, ...]
    frames: torch.Tensor
    offsets: torch.Tensor
    colors: torch.Tensor
    state: torch.Tensor
    state_noise: torch.Tensor
    instruction: torch.Tensor
    actions: torch.Tensor
    executed: torch.Tensor
    valid: torch.Tensor
    future: torch.Tensor
    noise: torch.Tensor
    step: torch.Tensor
    given: torch.Tensor
    share: torch.Tensor

    def to(self, device: str) -> Batch:
        """Return a copy on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Return a copy in page-locked memory, which a GPU reads faster."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        images, *others = (getattr(self, f.name) for f in fields(self))
        return Batch(tuple(map(change, images)), *map(change, others))


class BatchSampler(torch.utils.data.Dataset):
    """Batches by number: ``sampler[k]`` is the share of batch ``k`` of this process.

    Args:
        data: the demonstrations.
        episodes: indices of the episodes to draw from.
        recipe: what a batch looks like.
        stream: ``TRAINING`` or ``VALIDATION``; the latter has images and states as they are.
        rank: number of this process.
        world_size: number of processes that share each batch.
        with_images: whether to read the images, too.
    """

    def __init__(self, data: Mixture, episodes: np.ndarray, recipe: Recipe,
                 stream: int = TRAINING, rank: int = 0, world_size: int = 1,
                 with_images: bool = True):
        options = recipe.optimization
        self._data, self._horizon = data, recipe.action.horizon
        self._options = options
        self._levels = noise_levels(recipe)
        self._given = given_probabilities(recipe)
        self._seed, self._stream, self._state = recipe.seed, stream, recipe.state
        self._shift = options.shift_pixels if stream == TRAINING else 0
        self._rank, self._world_size, self.with_images = rank, world_size, with_images
        owners = np.array(recipe.policy_config(data.tasks).wording_owners)
        self._wordings = [np.flatnonzero(owners == task) for task in range(len(data.tasks))]
        frames = np.concatenate([np.arange(data.starts[e], data.ends[e]) for e in episodes])
        self._end_of = np.repeat(data.ends, data.ends - data.starts)
        if stream == TRAINING and options.skip_still:
            pauses = find_pauses(data, -(-recipe.action.n_action_steps // 2), options.skip_still)
            frames = frames[~pauses[frames]]
        groups = data.group[frames]
        self._groups = [frames[groups == g] for g in np.unique(groups)]
        weights = np.array([data.group_weights[g] for g in np.unique(groups)])
        if stream == TRAINING:
            tasks = [data.tasks[data.task_index[f[0]]] for f in self._groups]
            weights *= [recipe.task_weights.get(task, 1.0) for task in tasks]
        self._weights = weights / weights.sum()
        self._grip = None
        if GRIPPER in options.future_frames:
            column = recipe.action.channels.index(GRIPPER)
            self._grip = next_grip(data.actions[:, -1, column], self._end_of)

    def __len__(self) -> int:
        return self._options.steps + 1

    def __getitem__(self, number: int) -> Batch:
        """Draw a share; tasks of a dataset have equal parts, or those of ``task_weights``."""
        options, data = self._options, self._data
        rng = np.random.default_rng([self._seed, self._stream, number])
        size = options.batch_size
        groups = rng.choice(len(self._groups), size=size, p=self._weights)
        places = rng.random(size)
        frames = np.array([self._groups[g][int(u * len(self._groups[g]))]
                           for g, u in zip(groups, places, strict=True)])
        offsets = rng.integers(0, 2 * self._shift + 1, (size, data.images.shape[1], 2))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        repeats = options.noise_samples
        noise = torch.randn((size * repeats, self._horizon, data.actions.shape[2]),
                            generator=generator)
        step = self._levels[torch.randint(len(self._levels), (size * repeats,),
                                          generator=generator)]
        instruction = self._instructions(frames, rng)
        given = rng.choice(len(self._given), size=size * repeats, p=self._given)
        rows = data.valid_rows(frames, self._horizon, self._end_of[frames])
        valid_total = np.maximum(np.repeat(rows, repeats) - given, 0).sum()
        colors, state_noise = self._disturbances(rng)
        each = size // self._world_size
        mine = slice(self._rank * each, (self._rank + 1) * each)
        noisy = slice(mine.start * repeats, mine.stop * repeats)
        frames = frames[mine]
        images = shift_images(data.images[frames], offsets[mine], self._shift) \
            if self.with_images else np.empty((0, 0))
        chunks = [data.chunk(f, self._horizon, self._end_of[f]) for f in frames]
        return Batch(
            tuple(torch.from_numpy(images[:, c]) for c in range(images.shape[1])),
            torch.from_numpy(frames), torch.from_numpy(offsets[mine]),
            torch.from_numpy(colors[mine]),
            torch.from_numpy(data.states[frames]),
            torch.from_numpy(state_noise[mine]),
            torch.from_numpy(instruction[mine]),
            torch.from_numpy(np.stack([c[0] for c in chunks])),
            torch.from_numpy(np.stack([c[1] for c in chunks])),
            torch.from_numpy(np.stack([c[2] for c in chunks])),
            torch.from_numpy(data.turning.later(data.states[self._later(frames)],
                                                data.states[frames][:, None], self._state)),
            noise[noisy], step[noisy], torch.from_numpy(given[noisy]),
            torch.tensor(float(valid_total) / self._world_size))

    def _disturbances(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return ``colors`` and ``state_noise`` of a whole batch."""
        options, none = self._options, np.zeros(0, np.float32)
        size, training = options.batch_size, self._stream == TRAINING
        colors = color_changes(rng, (size, self._data.images.shape[1]), options.color_jitter) \
            if training and options.color_jitter else none
        noise = options.state_noise * rng.standard_normal(
            (size, len(self._state)), np.float32) if training and options.state_noise else none
        return colors, noise

    def _instructions(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return (B,) rows of wordings: the instruction's own in validation, else any of its."""
        tasks = self._data.task_index[frames]
        if self._stream != TRAINING:
            return tasks
        drawn = rng.random((2, len(frames)))
        rows = [self._wordings[t] for t in tasks]
        chosen = np.array([r[int(u * len(r))] for r, u in zip(rows, drawn[0], strict=True)])
        return np.where(drawn[1] < self._options.instruction_dropout, -1, chosen)

    def _later(self, frames: np.ndarray) -> np.ndarray:
        """Return (B, len(future_frames)) frames."""
        last = self._end_of[frames] - 1
        later = [last if ahead == "end" else
                 self._grip[frames] if ahead == GRIPPER else np.minimum(frames + ahead, last)
                 for ahead in self._options.future_frames]
        return np.stack(later, 1) if later else np.zeros((len(frames), 0), np.int64)


def find_pauses(data: Mixture, rows: int, share: float) -> np.ndarray:
    """Return (frames,) whether nothing moves at a frame, and something does later.

    Args:
        data: with positions as actions.
        rows: from the command before a frame on, this many commands must be alike.
        share: of what a channel spans in the data, by which they may differ.
    """
    frames, each, channels = data.actions.shape
    spans = np.ptp(data.actions.reshape(-1, channels), axis=0)
    ahead = -(-rows // each)
    still = np.zeros(frames, bool)
    for start, end in zip(data.starts, data.ends, strict=True):
        commands = data.actions[start:end]
        # The command before the first is the first, those after the last are the last.
        padded = np.concatenate([commands[:1], commands, np.repeat(commands[-1:], ahead, 0)])
        padded = padded.reshape(-1, channels)
        windows = np.lib.stride_tricks.sliding_window_view(padded, rows + 1, axis=0)
        windows = windows[each - 1::each][:end - start]
        moves = (np.ptp(windows, axis=-1) > share * spans).any(-1)
        later = np.flatnonzero(moves)
        still[start:end] = ~moves
        still[start + (later[-1] if len(later) else 0):end] = False
    return still


def noise_levels(recipe: Recipe) -> torch.Tensor:
    """Return the (n,) int64 diffusion steps that training draws from."""
    diffusion = recipe.diffusion
    if not recipe.optimization.sampled_levels:
        return torch.arange(diffusion.train_steps)
    return torch.tensor(NoiseSchedule(diffusion).timesteps(diffusion.sample_steps))


def given_probabilities(recipe: Recipe) -> np.ndarray:
    """Return the probability of 0, 1, ... given rows."""
    most, options = recipe.model.committed_rows, recipe.optimization
    weights = np.exp(-np.arange(most) / options.committed_decay)
    if not most:
        return np.ones(1)
    return np.append(options.free_share, (1.0 - options.free_share) * weights / weights.sum())


def next_grip(gripper: np.ndarray, end_of: np.ndarray) -> np.ndarray:
    """Return per frame the frame at which the gripper next opens or closes in its episode.

    Args:
        gripper: (frames,) actions of the gripper, whatever their unit. It counts as closed (or
            open, if that is the larger value) beyond three quarters of what they span: experts of
            MetaWorld open with half of it.
        end_of: (frames,) int64, one past the last frame of each frame's episode.

    Returns:
        (frames,) int64, the last frame of the episode where it does neither.
    """
    closes = gripper > (gripper.min() + 3 * gripper.max()) / 4
    changes = np.append(np.flatnonzero(closes[1:] != closes[:-1]) + 1, len(closes))
    following = changes[np.searchsorted(changes[:-1], np.arange(len(closes)), "right")]
    return np.minimum(following, end_of - 1)
