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

"""Encoder ``vision`` with small random backbones that go through the libraries' own loaders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from harness.policies import random_observation
from harness.small_models import encoder_recipe, write_vision_model
from harness.small_training import run_options
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.model_config import TinyEncoderConfig
from tinyvla_ros.policy.policy import Policy
from training.diagnose.diagnosis import Subject, diagnose
from training.learning.recipe import Recipe
from training.learning.train import train

pytest.importorskip("transformers")


def config_of(encoder: dict) -> PolicyConfig:
    return encoder_recipe(encoder).policy_config(("go", "stay"))


def refused(encoder: dict, *words, error=InputError) -> None:
    with pytest.raises(error) as found:
        PolicyNetwork(config_of(encoder))
    text = str(found.value)
    assert text.endswith(".") and "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("family, adapt, pool", [
    ("siglip", "frozen", "keypoints"), ("both", "lora", "keypoints"), ("dinov2", "full", "mean"),
    ("clip", "lora", "mean"), ("resnet", "frozen", "keypoints")])
def test_a_backbone_trains_saves_and_acts(tmp_path, data, models, family, adapt, pool):
    recipe = encoder_recipe({"kind": "vision", "model": models(family), "adapt": adapt,
                             "pool": pool, "lora": {"rank": 2}})
    assert train(recipe, run_options(data), tmp_path / "run")
    policy = Policy(tmp_path / "run/last")
    chunk = policy.infer(random_observation(policy.config))
    assert chunk.actions.shape == (recipe.action.horizon, 2)
    names = load_checkpoint(tmp_path / "run/last", merge=False).network.state_dict()
    kept = [n for n in names if ".backbone." in n]
    if adapt == "frozen":
        assert not kept
    elif adapt == "lora":
        assert kept and all(".lora_" in n for n in kept)
    else:
        assert len(kept) > 10


def test_frozen_weights_do_not_change_and_full_ones_do(tmp_path, data, models):
    from transformers import AutoModel
    for adapt, same in (("frozen", True), ("full", False)):
        recipe = encoder_recipe({"kind": "vision", "model": models("dinov2"), "adapt": adapt})
        train(recipe, run_options(data), tmp_path / adapt)
        ours = load_checkpoint(tmp_path / adapt / "last").network.encoder.backbone.model
        base = AutoModel.from_pretrained(models("dinov2")).state_dict()
        assert same == all(torch.equal(v, base[k]) for k, v in ours.state_dict().items())


def test_a_fully_trained_checkpoint_needs_no_base_model(tmp_path, data):
    model = write_vision_model(tmp_path / "model")
    recipe = encoder_recipe({"kind": "vision", "model": str(model), "adapt": "full"})
    train(recipe, run_options(data), tmp_path / "run")
    before = Policy(tmp_path / "run/last")
    observation = random_observation(before.config)
    shutil.rmtree(model)
    assert np.array_equal(Policy(tmp_path / "run/last").infer(observation).actions,
                          before.infer(observation).actions)
    assert not (tmp_path / "run/last/backbone/model.safetensors").exists()
    shutil.copytree((tmp_path / "run/last").resolve(), tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/backbone")
    with pytest.raises(CheckpointError, match=r"backbone/config.json"):
        load_checkpoint(tmp_path / "copy")


def test_images_reach_the_backbone_as_it_was_trained_with(models):
    network = PolicyNetwork(config_of({"kind": "vision", "model": models("siglip")}))
    seen = []
    network.encoder.backbone.model.register_forward_pre_hook(lambda m, a: seen.append(a[0]))
    white = [torch.ones(2, 3, 48, 48)] * 2
    with torch.no_grad():
        network.encode(white, torch.zeros(2, 2), torch.tensor([0, 1]))
    assert len(seen) == 1 and seen[0].shape == (4, 3, 32, 32)  # both cameras at once
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    assert torch.allclose(seen[0][0, :, 5, 5], (1 - mean) / std)


def test_a_size_other_than_the_trained_one_interpolates(models):
    for family in ("siglip", "clip", "dinov2"):
        network = PolicyNetwork(config_of({"kind": "vision", "model": models(family),
                                           "image_size": 48}))
        assert network.encoder.backbone(torch.zeros(1, 3, 48, 48)).shape == (1, 24, 6, 6)


def test_tokens_are_arranged_as_the_image_is(models):
    """A change in the top left corner changes that feature most."""
    network = PolicyNetwork(config_of({"kind": "vision", "model": models("clip")}))
    backbone, image = network.encoder.backbone, torch.zeros(1, 3, 32, 32)
    other = image.clone()
    other[:, :, :8, 24:] = 1.0  # top right
    with torch.no_grad():
        change = (backbone(other) - backbone(image)).norm(dim=1)[0]
    assert divmod(int(change.argmax()), 4) == (0, 3)


def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path, models):
    vision = {"kind": "vision", "adapt": "frozen"}
    refused(vision | {"model": str(tmp_path / "nowhere")}, "nowhere", "config.json")
    refused(vision | {"model": models("siglip"), "image_size": 44}, "44", "patch size 8", "40")
    refused(vision | {"model": models("llama")}, "llama", "image backbone")
    other = shutil.copytree(models("siglip"), tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": "no_such_thing"}))
    refused(vision | {"model": str(other)}, "no_such_thing")
    (other / "config.json").write_text("{")
    refused(vision | {"model": str(other)}, str(other))
    resnet = shutil.copytree(models("resnet"), tmp_path / "resnet")
    shutil.copy(f"{models('siglip')}/model.safetensors", resnet)
    refused(vision | {"model": str(resnet)}, "lacks weights")
    cut = shutil.copytree(models("siglip"), tmp_path / "cut")
    (cut / "model.safetensors").write_bytes(b"no weights")
    refused(vision | {"model": str(cut)}, "cannot be loaded")
    (cut / "model.safetensors").unlink()
    (cut / "pytorch_model.bin").write_bytes(b"a pickle")
    refused(vision | {"model": str(cut)}, "*.safetensors")


@pytest.mark.parametrize("encoder, language, words", [
    ({"kind": "vison"}, None, "vision"),
    ({"kind": "vision"}, None, "model"),
    ({"kind": "vision", "model": "m", "adapt": "some"}, None, "adapt"),
    ({"kind": "vision", "model": "m", "color": 1}, None, "color"),
    ({"kind": "vision", "model": "m", "adapt": "full", "dtype": "bfloat16"}, None, "float32"),
    ({"kind": "vlm", "model": "m"}, None, "tokens"),
    ({"kind": "vlm", "model": "m", "adapt": "frozen", "train_vision": True},
     {"kind": "tokens"}, "train_vision"),
    ({"kind": "vision", "model": "m"}, {"kind": "tokens"}, "tokens"),
    ({"kind": "tiny"}, {"kind": "tokens"}, "tokens")])
def test_a_recipe_that_contradicts_itself_is_refused(encoder, language, words):
    recipe = encoder_recipe({"kind": "tiny"}).model_dump(mode="json")
    recipe["model"]["encoder"] = encoder
    recipe |= {"language": language} if language else {}
    with pytest.raises(InputError) as error:
        parse(Recipe, recipe, "recipe.yaml")
    assert str(error.value).startswith("recipe.yaml") and words in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_on_the_command_line_reach_into_the_encoder(tmp_path):
    import yaml
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(encoder_recipe(
        {"kind": "vision", "model": "a"}).model_dump(mode="json")))
    encoder = Recipe.load(path, ["model.encoder.model=b", "model.encoder.lora.rank=3"]
                          ).model.encoder
    assert (encoder.model, encoder.lora.rank) == ("b", 3)
    with pytest.raises(InputError, match=r"model\.encoder\.lora\.rank"):
        Recipe.load(path, ["model.encoder.lora.rang=3"])


def test_a_network_without_a_named_encoder_is_tiny():
    data = PolicyConfig.load(default_checkpoint()).model_dump(mode="json")
    del data["model"]["encoder"]  # as in release 0.1.0
    assert PolicyConfig.model_validate(data).model.encoder == TinyEncoderConfig()


@pytest.mark.slow
def test_the_memory_plan_knows_what_is_frozen(models):
    plans = {}
    for adapt in ("frozen", "lora", "full"):
        recipe = encoder_recipe({"kind": "vision", "model": models("siglip"), "adapt": adapt})
        plans[adapt] = diagnose(Subject("recipe", recipe)).plan
        learner = PolicyNetwork(recipe.policy_config(("any",)))
        weights = sum(p.numel() for p in learner.parameters() if p.requires_grad) * 4e-6
        assert plans[adapt].averaged >= weights  # and the training-only head
    frozen, full = plans["frozen"], plans["full"]
    assert frozen.weights == full.weights > frozen.averaged
    assert frozen.optimizer < full.optimizer and frozen.averaged < full.averaged
    assert full.averaged <= full.weights
    assert frozen.activations < plans["lora"].activations


@pytest.mark.slow
def test_diagnose_takes_a_frozen_backbone(data, models):
    recipe = encoder_recipe({"kind": "vision", "model": models("siglip")})
    result = diagnose(Subject("recipe", recipe), [(data, 1.0)], steps=30)
    assert not [f for f in result.findings if f.error and f.check != "overfit"]
    assert "encoder.backbone" not in [b.name for b in result.blocks]
    assert result.measured_batch == result.batch_size


def test_timm_that_cannot_be_imported_is_one_sentence(models):
    try:
        import timm  # noqa: F401
    except Exception:  # a torchvision of another torch fails with RuntimeError
        refused({"kind": "vision", "library": "timm", "model": models("siglip")}, "timm",
                "torchvision")
    else:
        pytest.skip("timm is installed")


@pytest.mark.parametrize("name, adapt", [("vit_tiny_patch16_224", "lora"), ("resnet18", "frozen"),
                                         ("convnext_atto", "full")])
def test_a_backbone_of_timm(tmp_path, data, name, adapt):
    timm = pytest.importorskip("timm", reason="timm needs the torchvision of the installed torch",
                               exc_type=Exception)
    sizes = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2} if "vit" in name else {}
    torch.manual_seed(0)
    model = timm.create_model(name, **sizes)
    timm.models.save_for_hf(model, tmp_path / "model", safe_serialization="both",
                            model_args=sizes)
    recipe = encoder_recipe({"kind": "vision", "library": "timm", "adapt": adapt,
                             "model": str(tmp_path / "model"), "image_size": 32,
                             "lora": {"rank": 2}})
    train(recipe, run_options(data), tmp_path / "run")
    policy = Policy(tmp_path / "run/last")
    assert np.isfinite(policy.infer(random_observation(policy.config)).actions).all()
