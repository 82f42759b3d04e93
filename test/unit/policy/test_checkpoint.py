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

"""Checkpoints load exactly what was saved; a damaged one is refused with one sentence."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tinyvla_ros.core.errors import CheckpointError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig


@pytest.fixture
def damaged(tiny_checkpoint, tmp_path):
    """A copy to damage."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "damaged")


def edit_config(path, change):
    data = json.loads((path / "config.json").read_text())
    change(data)
    (path / "config.json").write_text(json.dumps(data))


def refused(path, *words):
    with pytest.raises(CheckpointError) as err:
        load_checkpoint(path)
    sentence = str(err.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_load_gives_back_what_was_saved(tiny_checkpoint, tiny_config):
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert checkpoint.config == tiny_config
    saved = load_file(tiny_checkpoint / "model.safetensors")
    assert all(torch.equal(saved[k], v) for k, v in checkpoint.network.state_dict().items())
    assert len(checkpoint.digest) == 16


def test_digest_changes_with_the_weights(tiny_checkpoint, damaged):
    weights = load_file(damaged / "model.safetensors")
    next(iter(weights.values())).add_(1e-6)
    save_file(weights, damaged / "model.safetensors")
    assert load_checkpoint(damaged).digest != load_checkpoint(tiny_checkpoint).digest


def test_missing_directory(tmp_path):
    refused(tmp_path / "nowhere", "nowhere", "model.safetensors")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "normalizer.safetensors"])
def test_missing_file(damaged, name):
    (damaged / name).unlink()
    refused(damaged, f"no {name}")


@pytest.mark.parametrize("keep", [0, 4, 1000])
def test_truncated_weights(damaged, keep):
    data = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(data[:keep])
    refused(damaged, "model.safetensors", "damaged")


def test_weights_that_are_not_safetensors(damaged):
    (damaged / "model.safetensors").write_bytes(b"\x80\x04pickle" * 50)
    refused(damaged, "model.safetensors", "damaged")


def test_non_finite_weights(damaged):
    weights = load_file(damaged / "model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, damaged / "model.safetensors")
    refused(damaged, "non-finite")


def test_weights_of_another_shape(damaged):
    edit_config(damaged, lambda c: c["model"].update(condition_dim=24))
    refused(damaged, "shape", "(16")


def test_weights_of_another_architecture(damaged):
    edit_config(damaged, lambda c: c["cameras"].popitem())
    refused(damaged, "unknown")


def test_config_with_an_unknown_field(damaged):
    edit_config(damaged, lambda c: c["action"].update(horizn=8))
    refused(damaged, "'horizn'", "Did you mean 'horizon'")


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: c["action"].update(low=[-1.0]), ["low", "4 channels"]),
    (lambda c: c["action"].update(dt=-1), ["action.dt", "-1"]),
    (lambda c: c["action"].update(horizon=15), ["action.horizon", "15"]),
    (lambda c: c["action"].update(n_action_steps=17), ["n_action_steps 17"]),
    (lambda c: c["cameras"]["side"].update(crop=[0.5, 0, 0.2, 1]), ["crop"]),
    (lambda c: c["diffusion"].update(prediction="x"), ["prediction", "'x'"]),
    (lambda c: c.pop("state"), ["state", "missing"]),
    (lambda c: c.update(format=3), ["format 3", "formats 1 and 2"]),
])
def test_config_with_a_bad_value(damaged, change, words):
    edit_config(damaged, change)
    refused(damaged, "config.json", *words)


def test_config_that_is_not_json(damaged):
    (damaged / "config.json").write_text("{")
    refused(damaged, "config.json", "not valid JSON")


def test_normalizer_that_divides_by_zero(damaged):
    tensors = load_file(damaged / "normalizer.safetensors")
    tensors["state_std"].zero_()
    save_file(tensors, damaged / "normalizer.safetensors")
    refused(damaged, "state_std", "positive")


def test_a_checkpoint_of_release_0_1_0_is_read_without_a_warning(damaged, caplog):
    def old(config):
        config["format"] = 1
        config["action"]["execute_steps"] = config["action"].pop("n_action_steps")
        for later in ("encoder", "committed_rows"):
            config["model"].pop(later)
        config["diffusion"].pop("spacing")

    edit_config(damaged, old)
    assert load_checkpoint(damaged).config == PolicyConfig.load(damaged)
    assert PolicyConfig.load(damaged).action.n_action_steps == 8
    assert PolicyConfig.load(damaged).diffusion.spacing == "leading"
    assert not caplog.records
