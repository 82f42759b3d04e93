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

"""Adapters: only they are trained, they lie apart from the base model, and they come back."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.policies import random_observation
from harness.small_models import encoder_recipe, write_vision_model, write_vlm
from harness.small_training import run_options
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy
from training.learning.learner import Learner, count_parameters, parameter_table
from training.learning.mixture import load_mixture
from training.learning.processes import Process
from training.learning.train import fit_normalizer, resume, train
from training.learning.trainer import Trainer

pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_vlm(tmp_path_factory.mktemp("models") / "smol")


@pytest.fixture(scope="module")
def recipe(base):
    return encoder_recipe({"kind": "vlm", "model": str(base), "lora": {"rank": 4}},
                          optimization={"steps": 4, "learning_rate": 0.01})


@pytest.fixture(scope="module")
def run(tmp_path_factory, data, recipe):
    """A run of four steps, so that the adapters are not zero."""
    out = tmp_path_factory.mktemp("run") / "run"
    assert train(recipe, run_options(data), out)
    return out


@pytest.fixture
def checkpoint(tmp_path, run):
    """A copy that may be damaged."""
    shutil.copytree((run / "last").resolve(), tmp_path / "copy")
    return tmp_path / "copy"


def trainer_of(recipe, data) -> Trainer:
    demos = load_mixture([(data, 1.0)], recipe)
    torch.manual_seed(0)
    learner = Learner(recipe, recipe.policy_config(demos.tasks), fit_normalizer(demos))
    return Trainer(learner, recipe, demos, Process(0, 1, "cpu"))


def one_sentence(error, *words) -> None:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    for word in words:
        assert word in text


def encoded(network, config):
    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 3, c.height, c.width, generator=rng) * 2 - 1
              for c in config.cameras.values()]
    with torch.no_grad():
        condition = network.encode(images, torch.zeros(2, len(config.state)),
                                   torch.tensor([0, 1]))
    return torch.cat([t.flatten(1).float() for t in condition], 1)


def test_only_adapters_and_our_own_parts_are_trained(recipe, data):
    trainer = trainer_of(recipe, data)
    before = {n: p.clone() for n, p in trainer.learner.named_parameters()}
    trainer.run(lambda best: None, _NoLog())
    changed = {n for n, p in trainer.learner.named_parameters() if not torch.equal(p, before[n])}
    within = {n for n in changed if ".backbone." in n}
    assert within and all(".lora_" in n and ".text_model." in n for n in within)
    assert any(n.startswith("network.denoiser.") for n in changed)
    assert set(trainer.trained) == {n for n in before if ".backbone." not in n or ".lora_" in n}
    # Neither saved nor optimized nor averaged: the base model is there once.
    assert not [n for n in trainer.tensors() if ".backbone." in n and ".lora_" not in n]
    averaged = dict(trainer.averaged.module.named_parameters())
    for name, parameter in trainer.learner.named_parameters():
        shared = averaged[name].data_ptr() == parameter.data_ptr()
        assert shared == (name not in trainer.trained)


class _NoLog:
    def add(self, step, figures):
        pass


def test_parameters_are_counted_before_training(run, recipe, data, capsys):
    parts = count_parameters(trainer_of(recipe, data).learner)
    report = json.loads((run / "train.json").read_text())["parameters"]
    assert report == parts and list(parts)[-2:] == ["policy", "all"]
    stored = load_file(run / "last/adapter/adapter_model.safetensors")
    assert parts["encoder.backbone"]["trainable"] == sum(t.numel() for t in stored.values())
    assert parts["encoder.backbone"]["total"] > 10 * parts["encoder.backbone"]["trainable"]
    assert parts["policy"]["total"] == sum(
        p["total"] for n, p in parts.items() if n.startswith(("encoder.", "denoiser")))
    assert f"{parts['all']['trainable']:,}" in parameter_table(parts)


def test_the_base_model_is_not_in_the_checkpoint(run, base):
    last = run / "last"
    names = {p.name for p in last.iterdir()}
    assert "adapter" in names and "backbone" not in names
    assert not [n for n in load_file(last / "model.safetensors") if ".backbone." in n]
    stored = load_file(last / "adapter/adapter_model.safetensors")
    assert stored and all(n.endswith(("lora_A.weight", "lora_B.weight")) for n in stored)
    assert all(not t.eq(0).all() for t in stored.values())
    config = json.loads((last / "config.json").read_text())["model"]["encoder"]
    assert config["model"] == str(base) and len(config["base"]) == 16


def test_merged_equals_unmerged_and_a_saved_adapter_comes_back(run):
    config = load_checkpoint(run / "last").config
    merged, unmerged = (load_checkpoint(run / "last", merge=m).network for m in (True, False))
    assert not [n for n, _ in merged.named_parameters() if "lora_" in n]
    assert torch.allclose(encoded(merged, config), encoded(unmerged, config), atol=1e-5)
    again = load_checkpoint(run / "last", merge=False).network
    assert torch.equal(encoded(unmerged, config), encoded(again, config))
    without = load_checkpoint(run / "last", merge=False).network
    without.encoder.backbone.model.disable_adapter_layers()
    assert not torch.allclose(encoded(without, config), encoded(unmerged, config), atol=1e-4)


def test_peft_itself_reads_the_adapter(run, base):
    from peft import PeftModel
    from transformers import AutoModel

    theirs = PeftModel.from_pretrained(AutoModel.from_pretrained(base), run / "last/adapter")
    network = load_checkpoint(run / "last", merge=False).network
    inputs = torch.randn(1, 5, 32)
    with torch.no_grad():
        assert torch.equal(
            theirs(inputs_embeds=inputs).last_hidden_state,
            network.encoder.backbone.model(inputs_embeds=inputs).last_hidden_state)


def test_a_resumed_run_ends_as_one_without_a_break(tmp_path, data, recipe):
    """With dropout in the adapters, whose draws must not depend on where a run was stopped."""
    encoder = recipe.model.encoder
    lora = encoder.lora.model_copy(update={"dropout": 0.3})
    model = recipe.model.model_copy(update={"encoder": encoder.model_copy(
        update={"lora": lora})})
    recipe = recipe.model_copy(update={"model": model})
    whole = trainer_of(recipe, data)
    states = []

    def save(best):
        states.append((whole.tensors(), whole.progress()))
    whole.run(save, _NoLog())
    assert len(states) == 2  # after steps 2 and 4
    broken = trainer_of(recipe, data)
    assert states[0][0].keys() == broken.shapes().keys()
    broken.restore(*states[0])
    broken.run(lambda best: None, _NoLog())
    ended = broken.tensors()
    assert all(torch.equal(ended[k], v) for k, v in states[1][0].items())


def test_a_run_directory_with_adapters_is_resumed(tmp_path, data, recipe, run):
    shutil.copytree(run, tmp_path / "run", symlinks=True)
    report = tmp_path / "run/train.json"
    longer = json.loads(report.read_text())
    longer["recipe"]["optimization"]["steps"] = 6
    report.write_text(json.dumps(longer))
    assert resume(tmp_path / "run")
    assert json.loads(report.read_text())["step"] == 6
    load_checkpoint(tmp_path / "run/last")


def test_training_starts_from_a_checkpoint_with_adapters(tmp_path, run, data, recipe):
    one = recipe.model_copy(update={"optimization": recipe.optimization.model_copy(
        update={"steps": 1, "learning_rate": 1e-9})})
    train(one, run_options(data, init=run / "last"), tmp_path / "more")
    before, after = (load_file(p / "last/adapter/adapter_model.safetensors")
                     for p in (run, tmp_path / "more"))
    assert all(torch.allclose(before[n], after[n], atol=1e-7) for n in before)


def test_the_digest_covers_the_adapter(checkpoint):
    before = checkpoint_digest(checkpoint)
    path = checkpoint / "adapter/adapter_model.safetensors"
    tensors = load_file(path)
    tensors[sorted(tensors)[0]].add_(0.1)
    save_file(tensors, path)
    assert checkpoint_digest(checkpoint) != before
    assert load_checkpoint(checkpoint).digest != before


def test_an_adapter_for_another_base_is_refused(checkpoint, tmp_path, base, monkeypatch):
    write_vlm(tmp_path / "others" / base.name, seed=1)
    monkeypatch.setenv("TINYVLA_BASE_MODELS", str(tmp_path / "others"))
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(checkpoint)
    one_sentence(error, "another base model", "TINYVLA_BASE_MODELS")


def test_the_base_may_lie_elsewhere(checkpoint, tmp_path, base, monkeypatch):
    expected = Policy(checkpoint)
    observation = random_observation(expected.config)
    shutil.copytree(base, tmp_path / "elsewhere" / base.name)
    config = json.loads((checkpoint / "config.json").read_text())
    config["model"]["encoder"]["model"] = f"/home/someone/models/{base.name}"
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError) as error:
        Policy(checkpoint)
    one_sentence(error, "/home/someone/models", "config.json")
    monkeypatch.setenv("TINYVLA_BASE_MODELS", str(tmp_path / "elsewhere"))
    assert np.array_equal(Policy(checkpoint).infer(observation).actions,
                          expected.infer(observation).actions)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_file_that_is_missing_is_named(checkpoint, name):
    (checkpoint / "adapter" / name).unlink()
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(checkpoint)
    one_sentence(error, name, "incomplete")


def test_an_adapter_of_other_settings_is_refused(checkpoint):
    path = checkpoint / "adapter/adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 1}))
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(checkpoint)
    one_sentence(error, "lora_alpha", "do not belong together")


def test_a_damaged_adapter_is_refused(checkpoint):
    path = checkpoint / "adapter/adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(checkpoint)
    one_sentence(error, "adapter_model.safetensors", "damaged")


def test_targets_that_no_layer_has_are_refused(tmp_path, data):
    model = write_vision_model(tmp_path / "siglip")
    with pytest.raises(InputError) as error:
        trainer_of(encoder_recipe({"kind": "vision", "model": str(model), "adapt": "lora",
                                   "lora": {"targets": ["nothing"]}}), data)
    one_sentence(error, "nothing", "q_proj")


def test_the_rest_of_a_base_model_is_left_alone_by_loading(recipe, data):
    trainer = trainer_of(recipe, data)
    network = trainer.learner.network
    before = {n: p.clone() for n, p in network.named_parameters()}
    network.load_state_dict({k: v.clone() + 1 for k, v in network.state_dict().items()
                             if v.is_floating_point()} | {
        k: v for k, v in network.state_dict().items() if not v.is_floating_point()})
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (".backbone." in name
                                                        and ".lora_" not in name)
    with pytest.raises(RuntimeError, match="Missing"):
        network.load_state_dict({})
