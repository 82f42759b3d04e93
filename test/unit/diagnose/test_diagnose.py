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

"""``tinyvla diagnose`` on small recipes and datasets in which one thing at a time is wrong."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from harness.datasets import edit_column
from harness.small_training import batch_of, built, load, small_recipe, write_dataset
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.checkpoint import save_checkpoint
from training.diagnose.diagnosis import Subject, checkpoint_subject, diagnose
from training.diagnose.one_batch import overfit, overfit_findings
from training.diagnose.probe import (
    block_findings,
    blocks,
    output_findings,
    output_scale,
    output_std,
)
from training.diagnose.range_check import Places, actions, cameras, states
from training.learning.mixture import load_mixture
from training.learning.recipe import Recipe
from training.learning.train import fit_normalizer

EXPLODING = {"initialization": {"kind": "torch", "head_scale": 100.0}}


def changed(**sections) -> Recipe:
    return Recipe.model_validate(small_recipe().model_dump() | sections)


def checks(findings) -> list[str]:
    return [f.check for f in findings]


def recipe_file(tmp_path, recipe: Recipe):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    return path


def test_the_exploding_head_differs_from_the_default_one(dataset):
    for recipe, expected in ((small_recipe(), []), (changed(**EXPLODING), ["output scale"])):
        data = load(dataset, recipe)
        learner, batch = built(recipe, data), batch_of(recipe, data)
        scale = output_scale(learner, batch)
        assert output_std(learner, batch) == scale.std
        assert checks(output_findings(scale, True)) == expected
    assert scale.std > 10.0
    # The loss of an uncorrelated output: its variance, its mean squared, and the loss of zeros.
    assert 0.9 * scale.std ** 2 < scale.loss < 4.0 * scale.std ** 2
    assert 0.0 < scale.zero_loss < 1.5


def test_a_loss_far_above_the_answer_zero_is_found(dataset):
    data = load(dataset, small_recipe())
    learner = built(small_recipe(), data)
    with torch.no_grad():  # a large offset has no standard deviation
        learner.network.denoiser.head.bias.fill_(5.0)
    scale = output_scale(learner, batch_of(small_recipe(), data))
    assert checks(output_findings(scale, True)) == ["first loss"]


def test_blocks_are_healthy_by_default_and_leave_no_gradients(dataset):
    data = load(dataset, small_recipe())
    learner = built(small_recipe(), data)
    rows = blocks(learner, batch_of(small_recipe(), data))
    assert not list(block_findings(rows, True))
    names = [b.name for b in rows]
    assert {"encoder.cameras.side", "encoder.join", "denoiser.middle", "denoiser.head",
            "auxiliary_head"} <= set(names)
    assert sum(b.parameters for b in rows) == sum(p.numel() for p in learner.parameters())
    assert all(p.grad is None for p in learner.parameters())


def test_sick_blocks_are_found(dataset):
    recipe = small_recipe()
    data = load(dataset, recipe)
    batch = batch_of(recipe, data)

    def found(sicken) -> list:
        learner = built(recipe, data)
        with torch.no_grad():
            sicken(learner.network)
        return list(block_findings(blocks(learner, batch), True))

    dead = found(lambda n: n.encoder.cameras[0].stem[0][1].bias.fill_(-50.0))
    assert any(f.check == "dead channels" and "encoder.cameras.side.stem" in f.text and
               "100 %" in f.text for f in dead)
    half = replace(blocks(built(recipe, data), batch)[0], dead=0.4)
    assert checks(block_findings([half], True)) == ["dead channels"]
    assert not list(block_findings([half], False))  # a trained network may have some
    cut = found(lambda n: n.denoiser.head.weight.zero_())
    assert any(f.check == "gradients" and "denoiser.middle gets no gradient" in f.text
               for f in cut)
    loud = found(lambda n: n.denoiser.middle.second[1].weight.mul_(1e3))
    assert any(f.check == "activations" and "denoiser.middle" in f.text for f in loud)
    faint = found(lambda n: [p.mul_(1e-6) for p in n.encoder.join.parameters()])
    assert any(f.check == "activations" and "vanishes" in f.text for f in faint)
    broken = found(lambda n: n.denoiser.middle.first[0].weight.fill_(float("nan")))
    assert checks(broken) == ["non-finite"]


def ranges(root, recipe: Recipe, normalizer=None, stored=None):
    data = load(root, recipe)
    normalizer = normalizer or fit_normalizer(data)
    places = Places(data, [("demos", len(data.starts))])
    return [f for check in (states(data, recipe.state, normalizer, places, stored),
                            actions(data, recipe.action, normalizer, places, stored),
                            cameras(data, list(recipe.cameras))) for f in check[1]]


def test_clean_data_has_no_findings(dataset):
    assert ranges(dataset, small_recipe()) == []


def test_a_constant_state_is_found(tmp_path):
    root = write_dataset(tmp_path / "demos")
    edit_column(root, "observation.state", lambda rows: [[x, 0.25] for x, _ in rows])
    finding, = ranges(root, small_recipe())
    assert finding.check == "constant channel" and "'y'" in finding.text


def test_an_outlier_is_found_where_it_is(tmp_path):
    root = write_dataset(tmp_path / "demos", episodes=16)
    data = load(root, small_recipe())
    row = int(data.starts[3]) + 2

    def glitch(rows):
        rows[row][1] = 500.0
        return rows
    edit_column(root, "observation.state", glitch)
    finding, = ranges(root, small_recipe())
    assert finding.check == "outlier"
    assert "'y' is 500 in episode 3, frame 2 of demos" in finding.text


def test_places_count_episodes_within_their_dataset(tmp_path):
    roots = [write_dataset(tmp_path / name, seed=i) for i, name in enumerate("ab")]
    data = load_mixture([(root, 1.0) for root in roots], small_recipe())
    places = Places(data, [("a", 6), ("b", 6)])
    assert places.name(0) == "episode 0, frame 0 of a"
    assert places.name(int(data.starts[7]) + 1) == "episode 1, frame 1 of b"


def edit_actions(root, change) -> None:
    """Apply ``change`` to (rows, 4, 2) actions."""
    edit_column(root, "action", lambda rows: change(
        np.array(rows, np.float32).reshape(-1, 4, 2)).reshape(-1, 8).tolist())


def test_saturated_actions_are_found(tmp_path):
    root = write_dataset(tmp_path / "demos")

    def clip(values):
        values[:, :, 0] = np.clip(8.0 * values[:, :, 0], -1.0, 1.0)
        return values
    edit_actions(root, clip)
    finding, = ranges(root, small_recipe())
    assert finding.check == "saturation" and "'dx'" in finding.text and not finding.error


def test_actions_outside_the_limits_are_a_problem(tmp_path):
    root = write_dataset(tmp_path / "demos")
    edit_actions(root, lambda values: values * np.array([3.0, 1.0], np.float32))
    finding, = ranges(root, small_recipe())
    assert finding.check == "action limits" and finding.error and "-1 to 1" in finding.text


def test_a_constant_action_is_found(tmp_path):
    root = write_dataset(tmp_path / "demos")
    edit_actions(root, lambda values: values * np.array([1.0, 0.0], np.float32))
    finding, = ranges(root, small_recipe())
    assert finding.check == "constant channel" and "'gripper' is 0" in finding.text


def test_black_and_dark_images_are_found(dataset):
    recipe = small_recipe()
    data = load(dataset, recipe)
    images = np.array(data.images)
    images[:, 0] = 0
    images[:, 1] //= 64
    _, findings = cameras(replace(data, images=images), list(recipe.cameras))
    assert checks(findings) == ["blank images", "dark images"]
    assert [f.error for f in findings] == [True, False]


@pytest.mark.slow
def test_the_overfit_check_needs_a_learning_rate_that_learns(dataset):
    for rate, expected in ((2e-3, []), (1e-12, ["overfit"])):
        recipe = small_recipe(learning_rate=rate)
        data = load(dataset, recipe)
        result = overfit(built(recipe, data), recipe, data, batch_of(recipe, data), 150, "cpu")
        assert checks(overfit_findings(result)) == expected, result
        assert result.steps == 150
    assert result.last == pytest.approx(result.first, rel=1e-3)


def test_a_diverging_batch_is_found_and_ends(dataset):
    recipe = small_recipe(learning_rate=1.0, gradient_norm=None)
    data = load(dataset, recipe)
    learner = built(recipe, data)
    with torch.no_grad():
        learner.network.denoiser.head.weight.fill_(float("nan"))
    result = overfit(learner, recipe, data, batch_of(recipe, data), 200, "cpu")
    finding, = overfit_findings(result)
    assert finding.error and "not finite" in finding.text


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_found(tmp_path):
    result = diagnose(Subject("r", small_recipe()), gpu_gb=0.002, utilization=0.5)
    assert "memory" in checks(result.findings)
    result = diagnose(Subject("r", small_recipe(batch_size=256)), gpu_gb=0.03)
    finding, = [f for f in result.findings if f.check == "memory"]
    assert f"lower optimization.batch_size to {result.largest_batch}" in finding.text


@pytest.mark.slow
def test_the_command_reports_what_it_skipped(dataset, tmp_path, capsys):
    out = tmp_path / "new" / "report.json"
    path = recipe_file(tmp_path, small_recipe(learning_rate=2e-3))
    assert main(["diagnose", "--config", str(path), "--data", str(dataset),
                 "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "0 problem(s)" in text and "skipped" not in text
    report = json.loads(out.read_text())
    assert report["problems"] == 0
    assert report["measured_batch"] == report["batch_size"]
    assert report["overfit"]["last"] < 0.3 * report["overfit"]["first"]
    assert main(["diagnose", "--config", str(path)]) == 0
    text = capsys.readouterr().out
    assert "random data" in text
    assert text.count("skipped: ") == 3 and "One-batch overfit check: no --data." in text


@pytest.mark.slow
def test_the_command_fails_for_the_exploding_recipe(dataset, tmp_path, capsys):
    path = recipe_file(tmp_path, changed(**EXPLODING))
    assert main(["diagnose", "--config", str(path), "--data", str(dataset), "--steps", "5"]) == 1
    text = capsys.readouterr().out
    assert "problem: The denoiser's output has a standard deviation of" in text
    assert "head_scale: 1.0" in text


def save(path, recipe: Recipe, data):
    config = recipe.policy_config(data.tasks)
    save_checkpoint(path, config, built(recipe, data).network.state_dict(), fit_normalizer(data),
                    {"recipe": recipe.model_dump(mode="json")})
    return path


@pytest.mark.slow
def test_a_checkpoint_meets_its_own_and_foreign_data(dataset, tmp_path, capsys):
    recipe = small_recipe()
    checkpoint = save(tmp_path / "checkpoint", recipe, load(dataset, recipe))
    assert main(["diagnose", "--checkpoint", str(checkpoint), "--data", str(dataset)]) == 0
    assert "a checkpoint has learned already" in capsys.readouterr().out
    foreign = write_dataset(tmp_path / "foreign", seed=1)
    edit_column(foreign, "observation.state", lambda rows: [[x + 10.0, y] for x, y in rows])
    edit_actions(foreign, lambda values: np.where(values > 0.5, 1.2, values))
    result = diagnose(checkpoint_subject(checkpoint), [(foreign, 1.0)])
    texts = [f.text for f in result.findings if f.check == "range"]
    assert any("State 'x' runs from" in t for t in texts)
    assert any("action 'dx'" in t and "outside of the range stored" in t for t in texts)


@pytest.mark.slow
def test_a_checkpoint_names_instructions_its_own_way(dataset, tmp_path):
    recipe = small_recipe()
    data = load(dataset, recipe)
    swapped = replace(data, tasks=data.tasks[::-1])
    checkpoint = save(tmp_path / "checkpoint", recipe, swapped)
    assert not any(f.error for f in diagnose(checkpoint_subject(checkpoint),
                                             [(dataset, 1.0)]).findings)
    other = write_dataset(tmp_path / "other", tasks=("fly",))
    with pytest.raises(InputError, match="'fly'"):
        diagnose(checkpoint_subject(checkpoint), [(other, 1.0)])


def test_a_shipped_checkpoint_is_diagnosed_with_the_options_it_was_trained_with():
    options = checkpoint_subject(default_checkpoint()).recipe.optimization
    assert (options.batch_size, options.learning_rate, options.steps) == (32, 0.003, 8000)


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "neither --config nor --checkpoint"),
    (["--config", "a", "--checkpoint", "b"], "both --config and --checkpoint"),
    (["--checkpoint", "b", "--set", "seed=1"], "--set seed=1"),
    (["--config", "a", "--out", "{out}"], "nothing was overwritten"),
    (["--config", "a", "--steps", "0"], "--steps is 0"),
    (["--config", "a", "--gpu-gb", "-1"], "--gpu-gb is -1"),
    (["--config", "a", "--utilization", "65"], "--utilization is 65"),
    (["--config", "{recipe}", "--device", "nonsense"], "Unknown device 'nonsense'"),
])
def test_bad_arguments_are_one_sentence(arguments, words, tmp_path, capsys):
    out = tmp_path / "report.json"
    out.write_text("precious")
    names = {"out": out, "recipe": recipe_file(tmp_path, small_recipe())}
    assert main(["diagnose", *(a.format(**names) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert words.lower() in error.lower() and error.count("\n") == 1
    assert out.read_text() == "precious"
