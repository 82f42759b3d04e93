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

"""What a batch of demonstrations holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.metaworld_training import recipe
from tinyvla_ros.policy.normalizer import Normalizer
from training.learning.batches import BatchSampler
from training.learning.images import DeviceImages
from training.learning.learner import Learner
from training.learning.mixture import concatenate


def test_chunks_end_with_their_episode(demonstrations):
    end = int(demonstrations.ends[0])
    actions, _, valid = demonstrations.chunk(end - 2, 32, end)
    assert valid.tolist() == [1.0] * 8 + [0.0] * 24
    assert np.array_equal(actions[:4], demonstrations.actions[end - 2])
    assert (actions[8:] == actions[7]).all()
    actions, _, valid = demonstrations.chunk(0, 10, end)
    assert valid.all()
    assert np.array_equal(actions[4:8], demonstrations.actions[1])


def test_batches_are_balanced_and_shifted_within_bounds(demonstrations):
    r = recipe(batch_size=64, shift_pixels=2, future_frames=(2, "gripper", "end"))
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    assert batch.images[0].shape == (64, 48, 48, 3)
    assert batch.actions.shape == (64, r.action.horizon, 4)
    assert batch.future.shape == (64, 3, 12)
    assert batch.noise.shape == (64 * r.optimization.noise_samples, r.action.horizon, 4)
    assert 16 < int((batch.instruction == 0).sum()) < 48
    assert batch.share == batch.valid.sum() * r.optimization.noise_samples
    assert (batch.given == 0).all(), "this network takes no committed rows"


def test_tasks_are_drawn_by_weight(demonstrations):
    r = recipe(batch_size=128)
    first, second = demonstrations.tasks
    r = r.model_copy(update={"task_weights": {second: 7.0}})
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    drawn = [int((batch.instruction == demonstrations.tasks.index(t)).sum())
             for t in (first, second)]
    assert 0 < 3 * drawn[0] < drawn[1]


def test_what_was_executed_is_given_and_the_expert_is_learned(demonstrations):
    """The disturbed rows come first, short delays most often; no loss is on what was given."""
    r = recipe(batch_size=64, noise_samples=8, free_share=0.25, committed_decay=3.0)
    r = r.model_copy(update={"model": r.model.model_copy(update={"committed_rows": 8})})
    data = concatenate([demonstrations], [1.0])
    batch = BatchSampler(data, np.arange(4), r)[0]
    assert not torch.equal(batch.executed, batch.actions), "the expert was disturbed"
    frame = int(np.where((data.states == batch.state[0].numpy()).all(1))[0][0])
    assert np.array_equal(batch.executed[0, :4], demonstrations.executed[frame])
    counts = np.bincount(batch.given, minlength=9)
    assert counts[0] == pytest.approx(128, rel=0.3)
    assert counts[1] > counts[4] > counts[8] > 0
    normalizer = Normalizer.fit(torch.zeros(2, 12), torch.tensor([[-1.0] * 4, [1.0] * 4]))
    learner = Learner(r, r.policy_config(data.tasks), normalizer)
    _, valid, _, known, given = learner.noisy_rows(batch, torch.zeros(64, 1))
    assert valid.sum() == batch.share
    assert torch.equal(given[..., 0].sum(1), batch.given.float())
    assert ((valid > 0) & (given[..., 0] > 0)).sum() == 0
    assert torch.allclose(known[8], batch.executed[1], atol=1e-6)


def test_few_sampling_steps_can_be_all_that_is_trained(demonstrations):
    r = recipe(batch_size=16, sampled_levels=True)
    r = r.model_copy(update={"diffusion": r.diffusion.model_copy(
        update={"sample_steps": 2, "spacing": "trailing"})})
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    assert set(batch.step.tolist()) == {99, 49}


def test_a_batch_depends_on_its_number_alone(demonstrations):
    data = concatenate([demonstrations], [1.0])
    first, second = (BatchSampler(data, np.arange(4), recipe(shift_pixels=2)) for _ in range(2))
    for _ in range(3):
        first[1]
    assert torch.equal(first[2].images[0], second[2].images[0])
    assert torch.equal(first[2].noise, second[2].noise)
    assert not torch.equal(first[1].noise, first[2].noise)


@pytest.mark.parametrize("shift", [0, 3])
def test_images_kept_on_a_device_make_the_same_batches(demonstrations, shift):
    data, r = concatenate([demonstrations, demonstrations], [1.0, 1.0]), recipe(shift_pixels=shift)
    whole = BatchSampler(data, np.arange(8), r)[1]
    bare = BatchSampler(data, np.arange(8), r, with_images=False)[1]
    assert not bare.images
    images = DeviceImages(data, shift, "cpu").cut(bare.frames, bare.offsets)
    for mine, expected in zip(images, whole.images, strict=True):
        assert torch.equal(mine, expected)


def test_processes_share_a_batch(demonstrations):
    data = concatenate([demonstrations], [1.0])
    whole = BatchSampler(data, np.arange(4), recipe())[3]
    parts = [BatchSampler(data, np.arange(4), recipe(), rank=r, world_size=2)[3] for r in (0, 1)]
    for name in ("state", "actions", "noise", "step", "future"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))
    assert parts[0].share * 2 == whole.share


def test_later_states_are_those_of_the_demonstration(demonstrations):
    r = recipe(future_frames=(2, "gripper", "end"), batch_size=32)
    data = concatenate([demonstrations], [1.0])
    batch = BatchSampler(data, np.array([0]), r)[0]
    end = int(data.ends[0])
    assert (batch.future[:, 2] == torch.from_numpy(data.states[end - 1])).all()
    frames = [int(np.where((data.states == s.numpy()).all(1))[0][0]) for s in batch.state]
    two_on = np.stack([data.states[min(f + 2, end - 1)] for f in frames])
    assert np.array_equal(batch.future[:, 0].numpy(), two_on)
