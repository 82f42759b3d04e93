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

"""Channels that count from where the joint is: in training, in the policy, in its prefix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.policies import random_observation, write_random_checkpoint
from harness.small_training import CAMERAS, FEATURES, SIZE, run_options, small_recipe
from tinyvla_ros.core.image_transform import encode_png
from tinyvla_ros.core.types import Prefix
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.policy import Policy
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.diagnose.range_check import Places, actions
from training.learning.batches import next_grip
from training.learning.mixture import load_mixture
from training.learning.recipe import Recipe
from training.learning.train import fit_normalizer, train

FRAMES = 40


def wide_recipe(relative: dict[str, str]) -> Recipe:
    recipe = small_recipe()
    action = recipe.action.model_copy(update={
        "relative": relative, "low": (-99.0, -1.0), "high": (99.0, 1.0)})
    return Recipe.model_validate(recipe.model_dump() | {"action": action.model_dump()})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two episodes in which x moves steadily, and dx is where it is to be next."""
    writer = LeRobotDatasetWriter(root := tmp_path_factory.mktemp("relative") / "data", 20,
                                  FEATURES, "test")
    rng, ticks = np.random.default_rng(0), np.arange(FRAMES)
    for sign in (1, -1):
        x = sign * (2.0 + ticks / 5)
        dx = sign * (2.0 + (ticks[:, None] + np.arange(1, 5) / 4) / 5)
        stacks = {f"observation.images.{c}": rng.integers(
            0, 255, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8) for c in CAMERAS}
        writer.add(DatasetEpisode(
            "go", {n: [encode_png(i) for i in stack] for n, stack in stacks.items()},
            {n: image_stats(stack) for n, stack in stacks.items()},
            {"observation.state": np.stack([x, rng.normal(size=FRAMES)], 1).astype(np.float32),
             "action": np.stack([dx, np.sign(dx)], 2).reshape(FRAMES, -1).astype(np.float32)}))
    writer.close()
    return root


def test_chunks_count_from_the_state_and_the_normalizer_fits_them(dataset):
    plain = load_mixture([(dataset, 1.0)], wide_recipe({}))
    data = load_mixture([(dataset, 1.0)], wide_recipe({"dx": "x"}))
    horizon, chunks = small_recipe().action.horizon, []
    for frame in (0, 17, FRAMES - 1, FRAMES + 3):
        end = data.ends[frame // FRAMES]
        absolute, mine = (d.chunk(frame, horizon, end)[0] for d in (plain, data))
        np.testing.assert_allclose(mine[:, 0], absolute[:, 0] - data.states[frame, 0], atol=1e-5)
        np.testing.assert_array_equal(mine[:, 1], absolute[:, 1])
        chunks.append(mine)
    normalizer = fit_normalizer(data)
    low, high = normalizer.action_low.numpy(), normalizer.action_high.numpy()
    for chunk in chunks:
        assert (chunk >= low - 1e-5).all()
        assert (chunk <= high + 1e-5).all()
    # A step spans less than many; what does not count from a state spans the same in all rows.
    span = high - low
    assert span[0, 0] < span[-1, 0] / 2
    assert (span[:, 1] == span[0, 1]).all()
    assert span[-1, 0] < np.ptp(data.states[:, 0])


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """The same weights twice: channels counted from the state, and not."""
    folder, made = tmp_path_factory.mktemp("policies"), []
    for name, relative in (("plain", {}), ("relative", {"dx": "x"})):
        write_random_checkpoint(folder / name, wide_recipe(relative).policy_config(("go",)))
        made.append(Policy(folder / name))
    return made


def test_the_policy_adds_the_state(policies):
    plain, relative = policies
    observation = random_observation(plain.config)
    observation = replace(observation, state={"x": 1.5, "y": 0.2})
    there, here = (p.infer(observation).actions for p in (plain, relative))
    np.testing.assert_allclose(here[:, 0], there[:, 0] + 1.5, atol=1e-5)
    np.testing.assert_array_equal(here[:, 1], there[:, 1])


def test_rows_that_are_kept_are_kept_as_they_are(policies):
    _, relative = policies
    observation = replace(random_observation(relative.config), state={"x": 1.5, "y": 0.2})
    chunk = relative.infer(observation)
    weights = np.zeros(len(chunk.actions), np.float32)
    weights[:2] = 1.0
    known = chunk.actions + np.float32(0.3)
    again = relative.infer(observation, Prefix(known, weights))
    np.testing.assert_array_equal(again.actions[:2], known[:2])
    # The network was told of them as it knows them: where they are is not far away for it.
    far = relative.infer(observation, Prefix(known + np.float32(50.0), weights))
    assert not np.allclose(far.actions[2:], again.actions[2:], atol=1e-3)


@pytest.mark.slow
def test_it_is_trained_and_saved(dataset, tmp_path):
    assert train(wide_recipe({"dx": "x"}), run_options(dataset), tmp_path / "run")
    policy = Policy(tmp_path / "run" / "last")
    assert policy.config.action.relative == {"dx": "x"}
    fitted = fit_normalizer(load_mixture([(dataset, 1.0)], wide_recipe({"dx": "x"})))
    saved = load_checkpoint(tmp_path / "run" / "last").normalizer
    for name, tensor in fitted.tensors().items():
        assert torch.equal(getattr(saved, name), tensor)
    images = {c: np.full((SIZE, SIZE, 3), 90, np.uint8) for c in CAMERAS}
    observation = replace(random_observation(policy.config), images=images,
                          state={"x": 3.0, "y": 0.0})
    assert abs(policy.infer(observation).actions[0, 0] - 3.0) < 3.0


@pytest.mark.parametrize(("relative", "named"), [
    ({"dz": "x"}, "dx"), ({"dx": "z"}, "'z'")])
def test_what_it_counts_from_must_be_there(relative, named):
    with pytest.raises(ValueError, match=named):
        wide_recipe(relative)


def test_where_a_gripper_next_moves_does_not_depend_on_its_unit():
    jaw = np.array([0.8, 0.8, 0.02, 0.02, 0.8, 0.8], np.float32)  # rad: open, closed, open
    ends = np.full(6, 6)
    expected = [2, 2, 4, 4, 5, 5]
    assert next_grip(jaw, ends).tolist() == expected
    assert next_grip(100 * jaw, ends).tolist() == expected  # percent
    assert next_grip(1.0 - jaw, ends).tolist() == expected  # 1 closes


def test_the_data_of_a_checkpoint_lie_within_its_range(dataset):
    recipe = wide_recipe({"dx": "x"})
    data = load_mixture([(dataset, 1.0)], recipe)
    places = Places(data, [("data", len(data.starts))])
    for normalizer, expected in ((fit_normalizer(data), []),
                                 (narrow(fit_normalizer(data)), ["dx"])):
        _, findings = actions(data, recipe.action, normalizer, places, Path("checkpoint"))
        assert [f.text.split("'")[1] for f in findings if f.check == "range"] == expected


def narrow(normalizer: Normalizer) -> Normalizer:
    """Return one of data whose first channel moved half as far."""
    normalizer.action_low[..., 0] /= 2
    normalizer.action_high[..., 0] /= 2
    return normalizer
