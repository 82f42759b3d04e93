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

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.metaworld_training import recipe
from tinyvla_ros.policy.normalizer import Normalizer
from training.learning.batches import VALIDATION, BatchSampler, find_pauses
from training.learning.images import DeviceImages, change_colors, color_changes
from training.learning.learner import Learner
from training.learning.mixture import concatenate
from training.learning.recipe import Recipe


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


def test_disturbances_leave_everything_else_of_a_batch_as_it_is(demonstrations):
    """So that a run differs by what the network sees alone; validation sees things as they are."""
    data = concatenate([demonstrations], [1.0])
    plain = BatchSampler(data, np.arange(4), recipe())[5]
    r = recipe(color_jitter=0.3, state_noise=0.1)
    disturbed = BatchSampler(data, np.arange(4), r)[5]
    for name in ("frames", "state", "actions", "noise", "step", "instruction"):
        assert torch.equal(getattr(plain, name), getattr(disturbed, name))
    size = r.optimization.batch_size
    assert disturbed.state_noise.shape == disturbed.state.shape
    assert 0.05 < disturbed.state_noise.std() < 0.2
    assert disturbed.colors.shape == (size, len(r.cameras), 3, 4)
    quiet = BatchSampler(data, np.arange(4), r, VALIDATION)[5]
    assert not quiet.colors.numel()
    assert not quiet.state_noise.numel()


def test_the_network_sees_the_disturbances(demonstrations):
    data = concatenate([demonstrations], [1.0])
    normalizer = Normalizer.fit(torch.randn(8, 12), torch.tensor([[-1.0] * 4, [1.0] * 4]))
    seen = []
    for more in ({}, {"color_jitter": 0.3}, {"state_noise": 0.1}):
        r = recipe(**more)
        torch.manual_seed(0)
        learner = Learner(r, r.policy_config(data.tasks), normalizer).eval()
        with torch.no_grad():
            seen.append(learner.condition(BatchSampler(data, np.arange(4), r)[0]))
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


def test_colors_change_by_at_most_their_share_and_gray_stays_gray():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(-1, 1, (500, 3, 4, 4)).astype(np.float32))
    none = torch.from_numpy(color_changes(rng, (500,), 0.0))
    assert torch.allclose(change_colors(image, none), image, atol=1e-6)
    changes = torch.from_numpy(color_changes(rng, (500,), 0.2))
    gray = change_colors(torch.zeros_like(image), changes)
    assert gray.abs().max() <= 0.2
    assert (gray == gray[:, :1]).all(), "brightness alone moves what is in the middle"
    changed = change_colors(image, changes)
    assert changed.abs().max() <= 1.0
    assert 0.05 < (changed - image).abs().mean() < 0.3


@pytest.mark.parametrize("each", [1, 2])  # commands of a frame
def test_pauses_are_where_nothing_moves_and_something_does_later(each):
    """A pause ends early enough for the commands that are executed to leave it."""
    moving, resting = np.linspace(0.0, 1.0, 10 * each), np.ones(10 * each)
    one = np.concatenate([moving, resting, moving[::-1], np.zeros(10 * each)])
    actions = np.stack([one, np.zeros_like(one)], 1).reshape(40, each, 2)
    data = SimpleNamespace(actions=np.concatenate([actions, actions]), starts=np.array([0, 40]),
                           ends=np.array([40, 80]))
    pauses = find_pauses(data, 3 * each, 0.01)
    assert pauses.shape == (80,)
    assert (pauses[:40] == pauses[40:]).all()
    still = np.flatnonzero(pauses[:40])
    assert still.min() in (10, 11)
    assert still.max() in (17, 18), "three frames later it has moved"
    assert (np.diff(still) == 1).all()
    assert not pauses[30:40].any(), "the end is no pause"
    assert not find_pauses(data, 3 * each, 0.99)[:8].any()


def test_pauses_are_not_drawn(dataset_with_pauses):
    data, recipe_of = dataset_with_pauses
    drawn = {share: BatchSampler(data, np.arange(len(data.starts)), recipe_of(share))[0].frames
             for share in (0.0, 0.02)}
    pauses = find_pauses(data, recipe_of(0.02).action.n_action_steps // 2, 0.02)
    assert pauses[drawn[0.0]].any()
    assert not pauses[drawn[0.02]].any()
    with pytest.raises(ValueError, match="skip_still"):
        recipe(skip_still=0.02)


@pytest.fixture(scope="module")
def dataset_with_pauses(demonstrations):
    """Demonstrations whose first channel rests for ten frames, and a recipe for positions."""
    data = concatenate([demonstrations], [1.0])
    actions = data.actions.copy()
    for start in data.starts:
        actions[start + 5:start + 15] = actions[start + 5, -1]
    data = replace(data, actions=actions)

    def recipe_of(share: float) -> Recipe:
        made = recipe(batch_size=256).model_dump()
        made["action"]["relative"] = {made["action"]["channels"][0]: made["state"][0]}
        made["optimization"]["skip_still"] = share
        return Recipe.model_validate(made)

    return data, recipe_of


def test_processes_share_a_batch(demonstrations):
    data, r = concatenate([demonstrations], [1.0]), recipe(color_jitter=0.3, state_noise=0.1)
    whole = BatchSampler(data, np.arange(4), r)[3]
    parts = [BatchSampler(data, np.arange(4), r, rank=n, world_size=2)[3] for n in (0, 1)]
    for name in ("state", "actions", "noise", "step", "future", "colors", "state_noise"):
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
