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

"""Training on joints that turn without end, and the policy that comes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from harness.datasets import edit_info
from harness.small_training import CAMERAS, FEATURES, SIZE, run_options, small_recipe
from tinyvla_ros.core.angles import wrapped
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.types import Observation, Prefix
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.policy import Policy
from training.data.checks.acceptance import check_tables
from training.data.checks.declarations import Wanted
from training.data.lerobot.reader import read_tables
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.learning.batches import BatchSampler
from training.learning.mixture import load_mixture
from training.learning.recipe import Recipe
from training.learning.train import fit_normalizer, train

TURN, SPEED, LENGTH, K = 2 * math.pi, 4.0, 40, 4


def write(root, stored_wraps: bool = False, note=True, turn: float = TURN):
    """Write two episodes in which x turns one way, or back; dx is where it is to be next."""
    features = json.loads(json.dumps(FEATURES))
    if note:
        features["observation.state"]["continuous"] = {"x": turn} if note is True else note
        features["action"]["continuous"] = {"dx": "x"}
    writer = LeRobotDatasetWriter(root, 20, features, "test")
    rng = np.random.default_rng(0)
    for sign in (1, -1):
        frames = np.arange(LENGTH)
        x = sign * (2.0 + SPEED * frames / 20) * turn / TURN
        steps = np.arange(1, K + 1) / K
        dx = sign * (2.0 + SPEED * (frames[:, None] + steps) / 20) * turn / TURN
        if stored_wraps:
            x, dx = wrapped(x, turn), wrapped(dx, turn)
        actions = np.stack([dx, np.sign(dx - dx.mean())], 2)
        state = np.stack([x, rng.normal(size=LENGTH)], 1)
        images = {f"observation.images.{c}": rng.integers(0, 255, (LENGTH, SIZE, SIZE, 3),
                                                          dtype=np.uint8) for c in CAMERAS}
        writer.add(DatasetEpisode(
            "go", {n: [cv2.imencode(".png", i)[1].tobytes() for i in stack]
                   for n, stack in images.items()},
            {n: image_stats(stack) for n, stack in images.items()},
            {"observation.state": state.astype(np.float32),
             "action": actions.reshape(LENGTH, -1).astype(np.float32)}))
    writer.close()
    return root


def wide_recipe():
    """Return a recipe whose limits contain several turns."""
    recipe = small_recipe()
    limits = {"low": (-99.0, -1.0), "high": (99.0, 1.0)}
    return recipe.model_copy(update={"action": recipe.action.model_copy(update=limits)})


@pytest.mark.parametrize("stored_wraps", [False, True])
@pytest.mark.parametrize("turn", [TURN, 360.0])
def test_chunks_go_on_from_the_state_that_the_policy_sees(tmp_path, stored_wraps, turn):
    recipe = small_recipe()
    data = load_mixture([(write(tmp_path / "data", stored_wraps, turn=turn), 1.0)], recipe)
    x = data.states[:, 0]
    assert np.abs(x).max() <= turn / 2 + 1e-4 and np.ptp(x) > 0.9 * turn
    step = SPEED / 20 / K * turn / TURN
    for frame in range(len(x)):
        actions, _, valid = data.chunk(frame, recipe.action.horizon, data.ends[frame // LENGTH])
        sign = 1 if frame < LENGTH else -1
        rows = int(valid.sum())
        expected = x[frame] + sign * step * (1 + np.arange(rows))
        np.testing.assert_allclose(actions[:rows, 0], expected, atol=1e-3 * turn)
    normalizer = fit_normalizer(data)
    chunks = [data.chunk(f, recipe.action.horizon, data.ends[f // LENGTH])[0]
              for f in range(len(x))]
    assert float(normalizer.action_low[0]) == pytest.approx(min(c[:, 0].min() for c in chunks))
    assert float(normalizer.action_high[0]) == pytest.approx(max(c[:, 0].max() for c in chunks))
    assert float(normalizer.state_mean[0]) == pytest.approx(x.mean(), abs=1e-3)


def test_later_states_are_near_those_now(tmp_path):
    data = load_mixture([(write(tmp_path / "data", True), 1.0)], small_recipe())
    batch = BatchSampler(data, np.arange(2), small_recipe())[1]
    ahead = (batch.future[:, :, 0] - batch.state[:, None, 0]).numpy()
    assert 0.1 < np.abs(ahead).max() <= 16 * SPEED / 20 + 1e-3
    assert np.abs(ahead[:, 0]).max() <= 2 * SPEED / 20 + 1e-3


def test_data_without_a_note_are_as_before(tmp_path):
    data = load_mixture([(write(tmp_path / "data", note=False), 1.0)], wide_recipe())
    assert data.states[:, 0].max() > math.pi
    actions = data.chunk(30, 8, LENGTH)[0]
    assert np.array_equal(actions[0], data.actions[30, 0])
    assert small_recipe().policy_config(data.tasks).continuous == {}


def test_the_policy_wraps_its_state_and_keeps_what_it_learned(tmp_path):
    assert train(small_recipe(), run_options(write(tmp_path / "data")), tmp_path / "run")
    config = read_json(tmp_path / "run/last/config.json")
    assert config["continuous"] == {"x": TURN}
    assert config["action"]["continuous"] == {"dx": "x"}
    policy = Policy(tmp_path / "run/last")
    images = {c: np.full((SIZE, SIZE, 3), 90, np.uint8) for c in CAMERAS}
    observation = Observation(10**9, images, {"x": 3.0, "y": 0.5}, "go")
    chunk = policy.infer(observation)
    for turns in (-1, 3):
        moved = replace(observation, state={"x": 3.0 + turns * TURN, "y": 0.5})
        assert policy.infer(moved).actions == pytest.approx(chunk.actions, abs=1e-3)
    other = policy.infer(replace(observation, state={"x": 3.0, "y": 0.5 + TURN}))
    assert not np.allclose(other.actions, chunk.actions, atol=1e-3), "y is no such joint"
    weights = np.zeros(len(chunk.actions), np.float32)
    weights[:2] = 1.0
    for turns in (0, 2):  # what was executed may count other turns
        prefix = chunk.actions + np.float32([turns * TURN, 0.0])
        again = policy.infer(observation, Prefix(prefix, weights))
        same = wrapped(again.actions[:2, 0] - chunk.actions[:2, 0], TURN)
        assert same == pytest.approx([0.0, 0.0], abs=1e-4)
        assert abs(again.actions[0, 0] - 3.0) <= math.pi + 1e-4, "by the turns of the state"


def test_limits_do_not_count_for_what_turns(tmp_path):
    recipe = small_recipe()
    wanted = Wanted(recipe.cameras, recipe.state, recipe.action)

    def errors(root):
        return [f.text for f in check_tables(read_tables(root), wanted).findings if f.error]

    assert not errors(write(tmp_path / "noted"))
    assert any("'dx'" in text for text in errors(write(tmp_path / "plain", note=False)))


@pytest.mark.parametrize(("note", "word"), [
    ({"x": "a turn"}, "a turn"), ({"x": -1.0}, "-1.0"), ("x", "'x'"), ({"y": TURN}, "'x'"),
    ({"x": TURN, "why": TURN}, "'why'"), ({"x": math.inf}, "inf"), ([["x"]], "x")])
def test_a_note_that_cannot_be_used_is_refused_by_check_and_training(tmp_path, note, word):
    root = write(tmp_path / "data", note=note)
    recipe = small_recipe()
    with pytest.raises(InputError, match=word):
        load_mixture([(root, 1.0)], recipe)
    found = check_tables(read_tables(root), Wanted(recipe.cameras, recipe.state, recipe.action))
    assert any(f.error and word in f.text for f in found.findings)


@pytest.mark.parametrize(("note", "word"), [
    ({"dx": "x", "dz": "x"}, "'dz'"), ({"dx": ["x"]}, "dx"), ({"dx": TURN}, "dx"),
    ({"gripper": "y"}, "'y'")])
def test_a_note_on_actions_names_a_channel_and_its_state(tmp_path, note, word):
    root, recipe = write(tmp_path / "data"), small_recipe()
    edit_info(root, lambda info: info["features"]["action"].update(continuous=note))
    with pytest.raises(InputError, match=word):
        load_mixture([(root, 1.0)], recipe)
    for wanted in (None, Wanted(recipe.cameras, recipe.state, recipe.action)):
        errors = [f.text for f in check_tables(read_tables(root), wanted).findings if f.error]
        assert any(word in text for text in errors)
        assert len(set(errors)) == len(errors)


def test_an_action_turns_in_the_unit_of_its_state(tmp_path):
    root, recipe = write(tmp_path / "data"), small_recipe()

    def load(unit):
        action = recipe.action.model_copy(update={"units": (unit, "")})
        return load_mixture([(root, 1.0)], recipe.model_copy(update={"action": action}))

    assert load("rad").turning == load("").turning
    with pytest.raises(InputError, match="'dx' is in deg"):
        load("deg")


def test_a_recipe_does_not_say_what_turns(tmp_path):
    data = small_recipe().model_dump(mode="json")
    data["action"]["continuous"] = {"dx": "x"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(data))
    with pytest.raises(InputError, match="continuous"):
        Recipe.load(tmp_path / "recipe.yaml")


def test_datasets_may_note_the_same_joints_in_another_order(tmp_path):
    notes = {"x": TURN, "y": TURN}, {"y": TURN, "x": TURN}
    sources = [(write(tmp_path / str(i), note=note), 1.0) for i, note in enumerate(notes)]
    data = load_mixture(sources, small_recipe())
    assert dict(data.turning.states) == notes[0]


def test_datasets_that_note_other_joints_are_not_mixed(tmp_path):
    sources = [(write(tmp_path / "a"), 1.0), (write(tmp_path / "b", note=False), 1.0)]
    with pytest.raises(InputError, match="continuous"):
        load_mixture(sources, wide_recipe())


@pytest.mark.parametrize("change", [
    {"continuous": {"z": TURN}}, {"continuous": {"x": 0.0}}, {"continuous": {}}])
def test_a_checkpoint_names_states_and_channels_that_it_has(tmp_path, change):
    config = small_recipe().policy_config(("go",)).model_dump(mode="json")
    config["action"]["continuous"] = {"dx": "x"}
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match="continuous"):
        PolicyConfig.load(tmp_path)
