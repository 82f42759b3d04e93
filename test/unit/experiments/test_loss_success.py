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

"""Loss against success: the statistics, and a whole comparison as small as it gets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from harness.datasets import png
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.experiments.loss_success_report import POOLED, correlations, rank_correlation
from training.learning.held_out import (
    blind_baselines,
    fixed_draws,
    held_out_batches,
    held_out_losses,
)
from training.learning.learner import Learner
from training.learning.mixture import load_mixture
from training.learning.recipe import Recipe
from training.learning.train import RunOptions, fit_normalizer, train

SMALL = {"cameras": {"side": {"height": 48, "width": 48}},
         "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
                   "denoiser_channels": [8, 16, 16]}}


def recipe(prediction: str = "epsilon", **optimization) -> Recipe:
    data = yaml.safe_load((share_directory() / "config/train/stable.yaml").read_text()) | SMALL
    data["diffusion"]["prediction"] = prediction
    data["optimization"] |= {"steps": 6, "batch_size": 4, "snapshot_every": 3, "save_every": 3,
                             "validation_fraction": 0.34, **optimization}
    return Recipe.model_validate(data)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three episodes of noise that look like demonstrations of reach-v3."""
    root, r, rng = tmp_path_factory.mktemp("data") / "demos", recipe(), np.random.default_rng(0)
    image, rows = "observation.images.side", 5
    names = [f"{c}.{k}" for k in range(4) for c in r.action.channels]
    writer = LeRobotDatasetWriter(root, 20, {
        image: {"dtype": "image", "shape": [48, 48, 3], "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": [12], "names": list(r.state)},
        "action": {"dtype": "float32", "shape": [16], "names": names}}, "toy")
    for _ in range(3):
        images = rng.integers(0, 255, (rows, 48, 48, 3), np.uint8)
        writer.add(DatasetEpisode(
            "reach the red target", {image: [png(i) for i in images]},
            {image: image_stats(images)},
            {"observation.state": rng.normal(size=(rows, 12)).astype(np.float32),
             "action": rng.uniform(-1.0, 1.0, (rows, 16)).astype(np.float32)}))
    writer.close()
    return root


def test_a_falling_loss_and_a_rising_success_are_minus_one():
    test = rank_correlation([0.9, 0.5, 0.4, 0.3, 0.2, 0.1], [0.0, 0.1, 0.3, 0.35, 0.8, 0.9])
    assert test == {"rho": pytest.approx(-1.0), "p": pytest.approx(2 / 720), "n": 6}


def test_unrelated_values_are_not_significant():
    rng = np.random.default_rng(3)
    test = rank_correlation(rng.random(20), rng.random(20))
    assert test["n"] == 20
    assert abs(test["rho"]) < 0.4
    assert test["p"] > 0.05


@pytest.mark.parametrize(("x", "y"), [([1.0, 2.0], [0.1, 0.2]), ([1, 2, 3, 4], [0.0] * 4)])
def test_too_few_or_equal_values_have_no_correlation(x, y):
    test = rank_correlation(x, y)
    assert test["rho"] is None and test["p"] is None


def test_an_easy_and_a_hard_task_are_not_one():
    """Within each task a lower loss is better; between them the higher one belongs to success."""
    points = [{"task": task, "step": step, "loss": {"noise": base - 0.1 * step, "own": 1.0 - step},
               "success": {"rate": rate + 0.1 * step}}
              for task, base, rate in (("hard", 1.0, 0.0), ("easy", 9.0, 0.6))
              for step in range(4)]
    result = correlations(points)
    assert result["hard"]["noise_loss"]["rho"] == pytest.approx(-1.0)
    assert result["easy"]["step"]["rho"] == pytest.approx(1.0)
    assert result[POOLED]["noise_loss"]["rho"] > 0


def test_held_out_losses_compare_recipes(data):
    losses, batches = {}, {}
    for name, r in (("epsilon", recipe()), ("sample", recipe("sample", batch_size=2))):
        fixed = fixed_draws(r)
        mixture = load_mixture([(data, 1.0)], r)
        learner = Learner(fixed, r.policy_config(mixture.tasks), fit_normalizer(mixture))
        batches[name] = held_out_batches(mixture, np.array([1]), fixed)
        losses[name] = held_out_losses(learner, batches[name])
        if name == "epsilon":
            baselines = blind_baselines(learner, mixture, batches[name])
    assert all((a.noise == b.noise).all() and (a.state == b.state).all()
               for a, b in zip(*batches.values(), strict=True))
    assert losses["epsilon"]["own"] == losses["epsilon"]["noise"]
    # An untrained guess of the action is a worse guess of the noise the less noise there is.
    assert losses["sample"]["own"] < losses["sample"]["noise"]
    assert losses["sample"]["noise_by_level"] == sorted(losses["sample"]["noise_by_level"])[::-1]
    assert baselines["no_noise"]["noise"] == pytest.approx(1.0, abs=0.02)
    assert baselines["mean_action"]["noise"] > 2.0
    # Of white noise the best linear map knows how much of it is noise at every level, no more.
    assert baselines["linear"]["noise"] < 0.7
    assert baselines["linear"]["noise_by_level"] == \
        sorted(baselines["linear"]["noise_by_level"])[::-1]


def run(*arguments) -> int:
    return run_command(["loss-vs-success", *(str(a) for a in arguments)])


@pytest.mark.simulator
@pytest.mark.slow
def test_a_whole_comparison_and_its_repetition(data, tmp_path):
    assert train(recipe(), RunOptions([(data, 1.0)], threads=1), tmp_path / "run")
    out = tmp_path / "out"
    arguments = (tmp_path / "run", "--out", out, "--tasks", "reach-v3", "--episodes", 1,
                 "--n-action-steps", 16, "--workers", 1)
    assert run(*arguments) == 0
    result = json.loads((out / "loss-vs-success.json").read_text())
    assert [p["step"] for p in result["points"]] == [3, 6]
    assert all(p["success"]["episodes"] == 1 for p in result["points"])
    assert {e["episode_seed"] for e in result["episodes"]} == {30000}
    assert result["correlations"]["reach-v3"]["step"]["n"] == 2
    assert "no noise" in (out / "loss-vs-success.md").read_text()
    assert (out / "loss-vs-success.png").read_bytes().startswith(b"\x89PNG")
    lines = {name: (out / name).read_text() for name in ("losses.jsonl", "episodes.jsonl")}
    assert run(*arguments) == 0
    assert lines == {name: (out / name).read_text() for name in lines}
    with pytest.raises(InputError, match=r"episodes 1.* 2"):
        run(*arguments, "--episodes", 2)
    with pytest.raises(InputError, match="kept for published results"):
        run(*arguments, "--seed", 0)
    report = json.loads((tmp_path / "run/train.json").read_text())
    report["data"][0]["fingerprint"] = "0" * 16
    (tmp_path / "run/train.json").write_text(json.dumps(report))
    with pytest.raises(InputError, match="0000000000000000"):
        run(*arguments)
    with pytest.raises(InputError, match="not a training run"):
        run(tmp_path, *arguments[1:])
