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

"""Encoder ``vlm`` with small random models of three families, through their library's loaders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.policies import random_observation
from harness.small_models import (
    encoder_recipe,
    write_language_model,
    write_vision_model,
)
from harness.small_training import run_options
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.policy import Policy
from training.diagnose.diagnosis import Subject, diagnose
from training.learning.train import train

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, models):
    """A checkpoint whose base model is a small SmolVLM with adapters."""
    out = tmp_path_factory.mktemp("run") / "run"
    recipe = encoder_recipe({"kind": "vlm", "model": models("smolvlm"), "lora": {"rank": 2}},
                            paraphrases={"go": ["walk forward"]})
    assert train(recipe, run_options(data), out)
    return out / "last"


def network_of(encoder: dict, **sections) -> PolicyNetwork:
    return PolicyNetwork(encoder_recipe(encoder, **sections).policy_config(("go", "stay")))


def refused(encoder: dict, *words, **sections) -> None:
    with pytest.raises(InputError) as found:
        network_of(encoder, **sections)
    text = str(found.value)
    assert text.endswith(".") and "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("family, adapt, vision, features", [
    ("smolvlm", "lora", True, "pooled"), ("smolvlm", "full", True, "attended"),
    ("llava", "lora", False, "attended"), ("llava", "full", False, "pooled"),
    ("paligemma", "frozen", False, "attended")])
def test_a_model_trains_saves_and_acts(tmp_path, data, models, family, adapt, vision, features):
    recipe = encoder_recipe({"kind": "vlm", "model": models(family), "adapt": adapt,
                             "train_vision": vision, "features": features, "lora": {"rank": 2}})
    assert train(recipe, run_options(data), tmp_path / "run")
    policy = Policy(tmp_path / "run/last")
    chunk = policy.infer(random_observation(policy.config))
    assert chunk.actions.shape == (recipe.action.horizon, 2)
    network = load_checkpoint(tmp_path / "run/last", merge=False).network
    kept = [n for n in network.state_dict() if ".backbone." in n]
    seen = [n for n in kept if ".vision_" in n]
    assert bool(kept) == (adapt != "frozen") and bool(seen) == vision
    assert (network.denoiser.attend is not None) == (features == "attended")
    assert not [n for n, _ in network.named_parameters() if "lm_head" in n]


def actions_for(policy: Policy, text: str) -> np.ndarray:
    return policy.infer(replace(random_observation(policy.config), instruction=text)).actions


def test_words_are_read_by_the_language_model(trained):
    policy = Policy(trained)
    known = actions_for(policy, "go")
    assert not np.array_equal(known, actions_for(policy, "stay"))
    assert not np.array_equal(known, actions_for(policy, "go left now please"))
    assert np.array_equal(actions_for(policy, "walk forward"),
                          actions_for(policy, "Walk  FORWARD"))
    assert policy.match_instruction("walk forward please") == "walk forward"
    with pytest.raises(InputError, match=r"tokens.*max_tokens is 8"):
        policy.match_instruction("please walk to the red left now please now")
    assert np.array_equal(actions_for(Policy(trained, ignore_instruction=True), "go"),
                          actions_for(Policy(trained, ignore_instruction=True), "stay"))


def test_known_words_need_no_tokenizer_and_are_the_same(trained, models, tmp_path, monkeypatch):
    expected = Policy(trained)
    base = tmp_path / "models" / "smolvlm"
    shutil.copytree(models("smolvlm"), base)
    (base / "tokenizer.json").write_text("{}")
    monkeypatch.setenv("TINYVLA_BASE_MODELS", str(base.parent))
    policy = Policy(trained)
    assert np.array_equal(actions_for(policy, "go"), actions_for(expected, "go"))
    with pytest.raises(InputError, match="tokenizer"):
        policy.match_instruction("red left")


def test_a_known_wording_by_its_row_is_that_wording_by_its_tokens(trained):
    network = load_checkpoint(trained).network
    images = [torch.rand(1, 3, 48, 48) * 2 - 1] * 2
    row = network.encode(images, torch.zeros(1, 2), torch.tensor([2]))
    tokens = network.encode(images, torch.zeros(1, 2), network.encoder.instruction.ids[2:3])
    assert all(torch.equal(a, b) for a, b in zip(row, tokens, strict=True))


def test_padding_changes_nothing(models):
    network = network_of({"kind": "vlm", "model": models("llava"), "adapt": "frozen"}).eval()
    images, state = [torch.rand(1, 3, 48, 48)] * 2, torch.zeros(1, 2)
    short = torch.tensor([[1, 5, 6, 4]])
    padded = torch.nn.functional.pad(short, (0, 4), value=-1)
    with torch.no_grad():
        a, b = (network.encode(images, state, ids) for ids in (short, padded))
        assert torch.allclose(a.vector, b.vector, atol=1e-5)
        noise = torch.randn(1, 16, 2)
        assert torch.allclose(network.sample(a, noise), network.sample(b, noise), atol=1e-4)
    assert b.mask[0].tolist() == [True] * (2 * 16 + 4) + [False] * 4


def test_cameras_keep_their_places(models):
    """Image tokens of one observation stay together: rows of a batch do not mix."""
    network = network_of({"kind": "vlm", "model": models("smolvlm"), "adapt": "frozen"}).eval()
    one, two = torch.rand(2, 3, 48, 48), torch.rand(2, 3, 48, 48)
    state, words = torch.zeros(2, 2), torch.tensor([-1, -1])
    with torch.no_grad():
        both = network.encode([one, two], state, words)
        second = network.encode([one[1:], two[1:]], state[1:], words[1:])
    assert torch.allclose(both.vector[1], second.vector[0], atol=1e-5)
    assert torch.allclose(both.tokens[1], second.tokens[0], atol=1e-4)


def test_attention_starts_closed(models):
    network = network_of({"kind": "vlm", "model": models("smolvlm")}).eval()
    condition = network.encode([torch.rand(1, 3, 48, 48)] * 2, torch.zeros(1, 2),
                               torch.tensor([-1]))
    other = condition._replace(tokens=torch.randn_like(condition.tokens))
    noise = torch.randn(1, 16, 2)
    assert torch.equal(network.sample(condition, noise), network.sample(other, noise))
    network.denoiser.attend.gate.data.fill_(1.0)
    assert not torch.equal(network.sample(condition, noise), network.sample(other, noise))


def test_weights_in_bfloat16_train_with_adapters_in_float32(tmp_path, data, models):
    recipe = encoder_recipe({"kind": "vlm", "model": models("smolvlm"), "dtype": "bfloat16"})
    train(recipe, run_options(data), tmp_path / "run")
    network = load_checkpoint(tmp_path / "run/last", merge=False).network
    types = {".lora_" in n: p.dtype for n, p in network.encoder.backbone.named_parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}
    policy = Policy(tmp_path / "run/last")
    assert np.isfinite(policy.infer(random_observation(policy.config)).actions).all()


def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, models):
    vlm = {"kind": "vlm", "model": models("smolvlm")}
    refused(vlm | {"image_size": 36}, "36", "patch size 8")
    refused(vlm | {"image_size": 24}, "cannot be encoded", "image_size")  # 9 patches, by fours
    refused(vlm | {"model": str(write_language_model(tmp_path / "llama"))}, "llama", "SmolVLM")
    vision = write_vision_model(tmp_path / "siglip")
    shutil.copy(f"{models('smolvlm')}/tokenizer.json", vision)
    refused(vlm | {"model": str(vision)}, "siglip", "image-text-to-text")
    (vision / "tokenizer.json").unlink()
    refused(vlm | {"model": str(vision)}, "tokenizer*")
    refused(vlm | {"model": "nobody/nothing"}, "nobody/nothing", "config.json")


def test_long_wordings_are_refused_before_training(tmp_path, data, models):
    recipe = encoder_recipe({"kind": "vlm", "model": models("smolvlm")},
                            language={"kind": "tokens", "max_tokens": 4},
                            paraphrases={"go": ["walk forward to the left"]})
    with pytest.raises(InputError, match=r"walk forward to the left.*max_tokens"):
        train(recipe, run_options(data), tmp_path / "run")


def test_the_memory_plan_counts_a_frozen_base_once(models):
    recipe = encoder_recipe({"kind": "vlm", "model": models("smolvlm"), "adapt": "frozen"})
    plan = diagnose(Subject("recipe", recipe)).plan
    backbone = PolicyNetwork(recipe.policy_config(("any",))).encoder.backbone
    size = sum(p.numel() for p in backbone.parameters()) * 4e-6
    assert plan.weights - plan.averaged == pytest.approx(size)
    assert plan.optimizer == pytest.approx(2 * plan.averaged, rel=0.01)


def test_the_configuration_names_what_a_checkpoint_needs(trained):
    encoder = json.loads((trained / "config.json").read_text())["model"]["encoder"]
    assert encoder["kind"] == "vlm" and encoder["base"]
