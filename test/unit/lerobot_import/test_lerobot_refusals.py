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

"""What ``tinyvla import`` does not take: one sentence each, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.lerobot_source import CASES, CHANNELS, JOINTS, write_lerobot_checkpoint
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.lerobot_import.normalization import linear

NAMES = ["--state-names", ",".join(JOINTS), "--action-names", ",".join(CHANNELS)]
REST = ["--fps", "10", "--instruction", "go"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One directory per layout; tests that change one copy it."""
    root = tmp_path_factory.mktemp("sources")
    return {name: write_lerobot_checkpoint(root / name, CASES[name])
            for name in ("processors", "buffers")}


@pytest.fixture
def source(sources, tmp_path):
    return Path(shutil.copytree(sources["processors"], tmp_path / "source"))


def refused(source: Path, capsys, *words: str, arguments=(*NAMES, *REST)) -> None:
    out = source.parent / "out"
    assert main(["import", str(source), "--out", str(out), *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert not out.exists()


def edit(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: c.update(type="act"), ["'act'", "only LeRobot's 'diffusion'"]),
    (lambda c: c.update(type="smolvla"), ["'smolvla'"]),
    (lambda c: c.pop("type"), ["names no policy type"]),
    (lambda c: (c.pop("type"), c.update(input_shapes={})), ["format of 2024"]),
    (lambda c: c.update(use_peft=True), ["adapter", "merge"]),
    (lambda c: c["input_features"].update(
        {"observation.environment_state": {"type": "ENV", "shape": [4]}}),
     ["observation.environment_state"]),
    (lambda c: [c["input_features"].pop(k) for k in list(c["input_features"]) if "images" in k],
     ["no image"]),
    (lambda c: c["input_features"].pop("observation.state"), ["no observation.state"]),
    (lambda c: c["input_features"]["observation.images.front"].update(shape=[3, 32, 32]),
     ["[3, 32, 32]"]),
    (lambda c: c.update(vision_backbone="resnet101"), ["vision_backbone", "resnet101"]),
    (lambda c: c.update(noise_scheduler_type="PNDM"), ["noise_scheduler_type", "PNDM"]),
    (lambda c: c.update(beta_schedule="sigmoid"), ["schedule", "sigmoid"]),
    (lambda c: c.update(crop_shape=[100, 100]), ["crop_shape", "[64, 56]"]),
    (lambda c: c.update(horizon=15), ["horizon 15", "multiple of 4"]),
    (lambda c: c.update(n_action_steps=16), ["n_action_steps 16"]),
    (lambda c: c.update(down_dims=[16, 64]), ["shape", "do not belong together"]),
    (lambda c: c.update(use_group_norm=False), ["lacks", "60 missing"]),
    (lambda c: c.pop("down_dims"), ["down_dims", "missing"]),
])
def test_configurations(source, capsys, change, words):
    edit(source / "config.json", change)
    refused(source, capsys, *words)


def test_unknown_processor_steps(source, capsys):
    edit(source / "policy_preprocessor.json", lambda p: p["steps"].insert(
        0, {"registry_name": "relative_actions_processor", "config": {}}))
    refused(source, capsys, "relative_actions_processor", "normalizer_processor")


def test_missing_processor(source, capsys):
    (source / "policy_postprocessor.json").unlink()
    refused(source, capsys, "policy_postprocessor.json")


def test_missing_statistics(source, capsys):
    next(source.glob("policy_pre*.safetensors")).unlink()
    refused(source, capsys, "safetensors", "missing")


def test_statistics_of_other_names(source, capsys):  # huggingface/lerobot#821
    for file in source.glob("policy_*.safetensors"):
        save_file({f"so100.buffer.{n}": t for n, t in load_file(file).items()}, file)
    refused(source, capsys, "'observation.state'", "so100.buffer.action")


def test_old_layout_without_statistics(sources, tmp_path, capsys):
    source = Path(shutil.copytree(sources["buffers"], tmp_path / "source"))
    weights = load_file(source / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k.startswith("diffusion.")},
              source / "model.safetensors")
    refused(source, capsys, "observation.state", "policy_preprocessor.json")


def test_non_finite_weights(source, capsys):
    weights = load_file(source / "model.safetensors")
    weights["diffusion.unet.final_conv.1.bias"].fill_(float("nan"))
    save_file(weights, source / "model.safetensors")
    refused(source, capsys, "final_conv.1.bias", "non-finite")


def test_weights_of_something_else(source, capsys):
    save_file({"model.layer": torch.zeros(1)}, source / "model.safetensors")
    refused(source, capsys, "'model.layer'")


def test_damaged_weights(source, capsys):
    (source / "model.safetensors").write_bytes(b"\x80\x04pickle")
    refused(source, capsys, "damaged")


def test_missing_weights(source, capsys):
    (source / "model.safetensors").rename(source / "model.bin")
    refused(source, capsys, "no model.safetensors", "save_pretrained")


def test_no_directory_and_the_one_above(source, capsys):
    refused(source.parent / "nothing", capsys, "not a directory")
    source.rename(source.parent / "pretrained_model")
    out = source.parent.parent / "out"
    assert main(["import", str(source.parent), "--out", str(out), *NAMES, *REST]) == 2
    assert "pretrained_model" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "words"), [
    ([*REST], ["action", "--action-names"]),
    ([*NAMES, "--instruction", "go"], ["--fps"]),
    ([*NAMES, "--fps", "10"], ["--instruction"]),
    ([*NAMES, *REST, "--fps", "0"], ["--fps is 0", "1000"]),
    ([*REST, "--state-names", "a,b", "--action-names", "x,y"], ["2 names", "3 entries"]),
    ([*REST, "--state-names", "a,b,b", "--action-names", "x,y"], ["once"]),
    ([*NAMES, *REST, "--sample-steps", "0"], ["--sample-steps is 0"]),
    ([*NAMES, *REST, "--sample-steps", "11"], ["sample_steps 11", "train_steps 10"]),
    ([*NAMES, *REST, "--degrees", "elbow,wrst"], ["'wrst'", "Did you mean 'wrist'"]),
    ([*NAMES, *REST, "--dataset", "/nowhere"], ["/nowhere/meta/info.json"]),
])
def test_what_the_command_line_must_say(source, capsys, arguments, words):
    refused(source, capsys, *words, arguments=arguments)


def test_an_output_that_is_there(source, capsys):
    assert main(["import", str(source), "--out", str(source), *NAMES, *REST]) == 2
    assert "nothing was overwritten" in capsys.readouterr().err


def test_other_normalizations():
    with pytest.raises(InputError, match="'LOG'"):
        linear("LOG", {}, 2, "action", 1e-8, False)
    with pytest.raises(InputError, match="'std'"):
        linear("MEAN_STD", {"mean": torch.zeros(2)}, 2, "action", 1e-8, False)
    with pytest.raises(InputError, match="3 values of 'min' for 2"):
        linear("MIN_MAX", {"min": torch.zeros(3), "max": torch.ones(3)}, 2, "state", 1e-8, False)
    with pytest.raises(InputError, match="out of order"):
        linear("MIN_MAX", {"min": torch.ones(2), "max": torch.zeros(2)}, 2, "state", 1e-8, False)


def test_an_entry_that_never_changed():
    stats = {"min": torch.tensor([0.5, 0.0]), "max": torch.tensor([0.5, 1.0])}
    found = linear("MIN_MAX", stats, 2, "state", 1e-8, False)
    value = torch.tensor([0.5, 0.25])
    assert ((value - found.origin) / found.spread - found.offset).tolist() == [-1.0, -0.5]
    assert (found.low < found.high).all()
