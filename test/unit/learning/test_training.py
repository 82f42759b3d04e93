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

"""Train and evaluate on real MetaWorld, as small as it gets."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from harness.datasets import edit_info
from harness.metaworld_training import TASKS, recipe
from harness.small_training import run_options, small_recipe, weights, write_dataset
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.language_config import HashedWords
from training.data.collect import collect
from training.data.dataset import load_demonstrations
from training.experiments.evaluate import evaluate
from training.experiments.options import EvaluationOptions
from training.learning.batches import BatchSampler
from training.learning.images import DeviceImages
from training.learning.learner import Learner
from training.learning.mixture import load_mixture, parse_sources
from training.learning.train import train


def test_images_on_the_device_change_no_step(dataset, tmp_path, monkeypatch):
    """A GPU holds them from the second step on; here the CPU does."""
    train(recipe(shift_pixels=2), run_options(dataset), tmp_path / "host")
    monkeypatch.setattr(DeviceImages, "fit", lambda data, device: True)
    train(recipe(shift_pixels=2), run_options(dataset), tmp_path / "device")
    host, device = (weights(tmp_path / name) for name in ("host", "device"))
    assert all(torch.equal(host[name], device[name]) for name in host)


@pytest.mark.slow
def test_train_writes_a_checkpoint_that_evaluates(dataset, tmp_path):
    assert train(recipe(), run_options(dataset), tmp_path / "run")
    out = tmp_path / "run" / "best"
    checkpoint = load_checkpoint(out)
    assert checkpoint.config.instructions == ("reach the red target", "press the red button")
    report = json.loads((tmp_path / "run" / "train.json").read_text())
    assert report["step"] == 6
    assert report["skipped_batches"] == 0
    assert [entry["step"] for entry in report["losses"]] == [3, 6]
    assert all(np.isfinite(entry["validation"]) for entry in report["losses"])
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert str(dataset) in json.dumps(report)
    # A checkpoint is handed on: it must not tell where the data lay.
    assert str(dataset) not in (out / "training.json").read_text()
    results = evaluate(EvaluationOptions(tasks=("reach-v3",), episodes=1, checkpoint=str(out),
                                         out=tmp_path / "eval", workers=1))
    assert results["tasks"]["reach-v3"]["episodes"] == 1
    assert (tmp_path / "eval" / "reach-v3.png").is_file()


def test_fine_tuning_starts_from_the_checkpoint(dataset, tmp_path):
    start, tuned = tmp_path / "start", tmp_path / "tuned"
    train(recipe(steps=3), run_options(dataset), start)
    train(recipe(steps=1, learning_rate=1e-9), run_options(dataset, init=start / "last"), tuned)
    a, b = weights(start), weights(tuned)
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert json.loads((tuned / "train.json").read_text())["init"]
    more = {"language": HashedWords(kind="hashed", dim=64)}
    words = recipe(steps=1, learning_rate=1e-9).model_copy(update=more)
    train(words, run_options(dataset, init=start / "last"), tmp_path / "words")
    c = weights(tmp_path / "words")
    assert all(torch.allclose(a[k], c[k], atol=1e-6) for k in a if ".instruction." not in k)
    other = recipe().model_copy(update={"state": recipe().state[:-1]})
    with pytest.raises(InputError, match="'state'"):
        train(other, run_options(dataset, init=start / "last"), tmp_path / "other")


@pytest.mark.slow
def test_training_lowers_the_loss(dataset, tmp_path):
    train(recipe(steps=120, save_every=120, learning_rate=2e-3), run_options(dataset),
          tmp_path / "c")
    train(recipe(steps=1), run_options(dataset), tmp_path / "d")
    losses = [json.loads((tmp_path / n / "train.json").read_text())["losses"][-1]["validation"]
              for n in "cd"]
    assert losses[0] < 0.5 * losses[1]


def test_non_finite_batches_are_skipped_and_counted(dataset, tmp_path, monkeypatch):
    original, calls = Learner.forward, []

    def sometimes_nan(self, batch):
        loss, future = original(self, batch)
        calls.append(1)
        return (loss * float("nan") if len(calls) == 2 else loss), future
    monkeypatch.setattr(Learner, "forward", sometimes_nan)
    train(recipe(), run_options(dataset), tmp_path / "c")
    assert json.loads((tmp_path / "c" / "train.json").read_text())["skipped_batches"] == 1
    load_checkpoint(tmp_path / "c" / "last")  # finite weights


def test_a_run_that_diverged_ends_with_an_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "forward", lambda self, batch: (
        self.network.denoiser.head.weight.sum() * float("nan"),
        self.network.denoiser.head.bias.sum()))
    with pytest.raises(InputError, match="non-finite loss"):
        train(recipe(steps=200, batch_size=1), run_options(dataset), tmp_path / "c")


def test_datasets_are_mixed_by_weight(tmp_path):
    a = write_dataset(tmp_path / "a", tasks=("go", "stay"))
    b = write_dataset(tmp_path / "b", tasks=("stay", "turn"), seed=1)
    r = small_recipe(batch_size=600)
    data = load_mixture([(a, 3.0), (b, 1.0)], r)
    assert data.tasks == ("go", "stay", "turn")
    batch = BatchSampler(data, np.arange(len(data.starts)), r)[0]
    shares = np.bincount(batch.instruction.numpy(), minlength=3) / 600
    assert np.allclose(shares, [3 / 8, 3 / 8 + 1 / 8, 1 / 8], atol=0.07)
    from_b = load_mixture([(b, 1.0)], r)
    rows = np.array([0, len(data.states) - 1, 3])
    assert np.array_equal(data.images[rows][1], from_b.images[[len(from_b.states) - 1]][0])
    assert np.array_equal(data.states[-1], from_b.states[-1])
    run = tmp_path / "run"
    assert train(small_recipe(steps=2), run_options(a, b), run)
    assert load_checkpoint(run / "last").config.instructions == data.tasks


@pytest.mark.parametrize(("arguments", "words"), [
    (["a=0"], "weight '0'"), (["a=-1"], "weight '-1'"), (["a=x"], "weight 'x'"),
    (["a", "a=2"], "twice")])
def test_bad_mixtures(arguments, words):
    with pytest.raises(InputError, match=words):
        parse_sources(arguments)


def test_outputs_are_never_overwritten(dataset, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(InputError, match="nothing was overwritten"):
        train(recipe(), run_options(dataset), tmp_path)
    with pytest.raises(InputError, match="nothing was overwritten"):
        collect(TASKS, 1, 0, tmp_path)
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize(("change", "words"), [
    (lambda i: i.update(codebase_version="v2.1"), "'v2.1'"),
    (lambda i: i.update(total_frames=0), "no frames"),
    (lambda i: i.update(fps=30), "30 fps"),
    (lambda i: i["features"].pop("observation.images.front"), "camera 'front'"),
    (lambda i: i["features"]["observation.state"]["names"].__setitem__(0, "j0"), "'right_j0'"),
    (lambda i: i["features"]["action"].update(shape=[7]), "shape \\[7\\]"),
    (lambda i: i["features"].pop("action"), "no feature 'action'"),
])
def test_data_that_does_not_match_is_refused(dataset, tmp_path, change, words):
    root = shutil.copytree(dataset, tmp_path / "bad")
    edit_info(root, change)
    r = recipe()
    with pytest.raises(InputError, match=words):
        load_demonstrations(root, r.cameras, r.state, r.action)


def test_a_directory_without_a_dataset(tmp_path):
    r = recipe()
    with pytest.raises(InputError, match="not a LeRobotDataset"):
        load_demonstrations(tmp_path, r.cameras, r.state, r.action)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--config", "x.yaml"], "--data is missing"), (["--data", "d", "--out", "o"], "--config is"),
    (["--resume", "r", "--set", "seed=1"], "leave --set out"),
    (["--config", "x.yaml", "--data", "d", "--out", "o", "--processes", "0"], "--processes is 0"),
    (["--resume", "r", "--threads", "0"], "--threads is 0")])
def test_bad_train_arguments(arguments, words, capsys):
    assert main(["train", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("device", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
        dataset, tmp_path, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"'{device}'.*'cpu'"):
        train(recipe(), run_options(dataset, device=device), tmp_path / "run")
    assert not (tmp_path / "run").exists()
