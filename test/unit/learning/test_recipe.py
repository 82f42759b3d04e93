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

"""The files of recipes and the settings on the command line."""

from __future__ import annotations

import pytest
import yaml

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.learning.recipe import Recipe


@pytest.mark.parametrize(("text", "words"), [
    ("optimization: {steps: 0}", "missing"),
    ("optimization: {steps: ten}", "missing"),
    ("nonsense", "nonsense"),
    ("a: [", "not valid YAML"),
])
def test_a_bad_recipe_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as err:
        Recipe.load(path)
    assert "\n" not in str(err.value)


def test_a_typing_error_in_a_recipe_is_suggested(tmp_path):
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data["optimization"]["learning_rat"] = 1.0
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="Did you mean 'learning_rate'"):
        Recipe.load(path)


def test_settings_on_the_command_line_replace_those_of_the_file():
    path = share_directory() / "config/train/default.yaml"
    changed = Recipe.load(path, ["optimization.steps=7", "cameras.side={height: 48, width: 48}",
                                 "optimization.gradient_norm=null"])
    assert changed.optimization.steps == 7
    assert changed.optimization.gradient_norm is None
    assert changed.cameras["side"].height == 48
    assert Recipe.load(path).optimization.steps != 7


@pytest.mark.parametrize(("text", "words"), [
    ("optimization.step=7", "Did you mean 'optimization.steps'"),
    ("optimization.steps", "no '='"),
    ("optimization.steps=ten", "'optimization.steps' is 'ten'"),
    ("optimization.steps=[", "not valid YAML"),
    ("optimizer.lr=1", "Unknown setting 'optimizer.lr'")])
def test_bad_settings_on_the_command_line(text, words):
    with pytest.raises(InputError, match=words) as err:
        Recipe.load(share_directory() / "config/train/default.yaml", [text])
    assert "\n" not in str(err.value)


def test_names_of_release_0_1_0_are_accepted_with_a_warning(tmp_path, caplog):
    shipped = share_directory() / "config/train/default.yaml"
    old = tmp_path / "old.yaml"
    old.write_text(shipped.read_text().replace("optimization:", "optimisation:")
                   .replace("n_action_steps:", "execute_steps:"))
    settings = ["optimization.steps=7"]
    assert Recipe.load(old, settings) == Recipe.load(shipped, settings)
    assert {(r.args[1], r.args[2]) for r in caplog.records} == {
        ("optimisation", "optimization"), ("execute_steps", "n_action_steps")}
    assert Recipe.load(shipped, ["optimisation.steps=7"]).optimization.steps == 7


@pytest.mark.parametrize("name", ["default", "stable", "exploding"])
def test_shipped_recipes_load(name):
    Recipe.load(share_directory() / f"config/train/{name}.yaml")


def test_only_the_exploding_recipe_scales_its_loss():
    scaled = [path.stem for path in (share_directory() / "config/train").glob("*.yaml")
              if Recipe.load(path).optimization.loss_scale_above is not None]
    assert scaled == ["exploding"]
