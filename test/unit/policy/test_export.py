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

"""``tinyvla export``: what it writes does what torch does, or it writes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.compiled import TOLERANCE, compiled_copy, largest_difference
from harness.policies import tiny_policy_config, write_random_checkpoint
from tinyvla_ros.cli.main import main, run_command
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.backends.compiled_file import CompiledFile
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.export import comparison
from tinyvla_ros.policy.policy import Policy

SMALL = {"image_channels": 8, "keypoints": 4, "instruction_dim": 4, "condition_dim": 16,
         "denoiser_channels": [8, 16, 16]}


def agree(checkpoint: Path, instruction: str = "") -> float:
    return largest_difference(Policy(checkpoint, backend="torch"),
                              Policy(checkpoint, backend="onnxruntime"), instruction)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metaworld-3task", "metaworld-mt50"])
def test_a_shipped_checkpoint_compiled_acts_as_in_torch(name, tmp_path):
    path = compiled_copy(default_checkpoint().parent / name, tmp_path, 2)
    torch = Policy(path, backend="torch", sample_steps=2)
    assert largest_difference(torch, Policy(path, backend="onnxruntime")) < TOLERANCE
    pytest.importorskip("openvino")
    assert largest_difference(torch, Policy(path, backend="openvino")) < TOLERANCE


ONE_STEP = {"sample_steps": 1}


@pytest.mark.parametrize("changes", [
    {"diffusion": {"prediction": "epsilon", "sample_steps": 2},
     "model": SMALL | {"committed_rows": 8},
     "cameras": {"side": {"height": 24, "width": 24}, "wrist": {"height": 32, "width": 48}}},
    {"diffusion": ONE_STEP, "cameras": {"side": {"height": 24, "width": 24}}},
    {"diffusion": ONE_STEP, "cameras": {name: {"height": 24, "width": 32}
                                        for name in ("side", "wrist", "front")}}],
    ids=["epsilon, committed rows, cameras of two sizes", "one camera", "three cameras"])
def test_every_kind_of_policy_is_compiled(changes, tmp_path):
    write_random_checkpoint(tmp_path / "c", tiny_policy_config(**changes))
    assert agree(compiled_copy(tmp_path / "c", tmp_path)) < TOLERANCE


def test_known_and_new_wordings_act_as_in_torch(tmp_path):
    write_random_checkpoint(tmp_path / "c", tiny_policy_config(
        instructions=["open the door", "close the drawer"], language={"kind": "hashed"},
        diffusion=ONE_STEP))
    path = compiled_copy(tmp_path / "c", tmp_path)
    for words in ("close the drawer", "please close that drawer now"):
        assert agree(path, words) < TOLERANCE
    silent = [Policy(path, ignore_instruction=True, backend=b) for b in ("torch", "onnxruntime")]
    assert largest_difference(*silent) < TOLERANCE
    assert largest_difference(silent[1], Policy(path, backend="onnxruntime")) > TOLERANCE


def test_a_policy_of_lerobot_is_compiled(tmp_path):
    from harness.lerobot_source import CASES, import_case, write_lerobot_checkpoint

    case = CASES["buffers"]
    case = case | {"config": case["config"] | {"num_inference_steps": 2}}  # each is unrolled
    write_lerobot_checkpoint(tmp_path / "source", case)
    path = import_case(tmp_path, case)
    assert run_command(["export", str(path)]) == 0
    assert agree(path) < TOLERANCE


@pytest.mark.slow
def test_a_pretrained_vision_encoder_is_compiled_too(tmp_path):
    pytest.importorskip("transformers")
    from harness.small_models import write_vision_model

    model = write_vision_model(tmp_path / "siglip")
    write_random_checkpoint(tmp_path / "c", tiny_policy_config(diffusion=ONE_STEP, model=SMALL | {
        "encoder": {"kind": "vision", "model": str(model), "image_size": 32}}))
    assert agree(compiled_copy(tmp_path / "c", tmp_path)) < TOLERANCE


def test_a_language_model_is_refused_by_name(tmp_path, capsys):
    pytest.importorskip("transformers")
    from harness.small_models import write_vlm

    model = write_vlm(tmp_path / "vlm")
    write_random_checkpoint(tmp_path / "c", tiny_policy_config(
        instructions=["go", "stay"], language={"kind": "tokens"},
        model=SMALL | {"encoder": {"kind": "vlm", "model": str(model), "image_size": 32}}))
    assert main(["export", str(tmp_path / "c")]) == 2
    assert "encoder vlm" in (error := capsys.readouterr().err)
    assert "torch" in error
    assert not (tmp_path / "c" / "policy.onnx").exists()


def test_steps_and_file_are_as_asked(tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "other.onnx"
    assert load_checkpoint(tiny_checkpoint).config.diffusion.sample_steps != 1
    assert run_command(["export", str(tiny_checkpoint), "--sample-steps", "1", "--out",
                        str(out)]) == 0
    assert CompiledFile.read(out).sample_steps == 1
    assert "1 sampling step" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.onnx"]


def test_slow_operations_are_gone(tiny_checkpoint, tmp_path):
    # Another version of the exporter may write a graph that is no longer recognized.
    path = compiled_copy(tiny_checkpoint, tmp_path) / "policy.onnx"
    graph, steps = onnx.load(path).graph, CompiledFile.read(path).sample_steps
    kinds = Counter(node.op_type for node in graph.node)
    products = [n for n in graph.node if n.op_type == "Gemm" and n.input[1].endswith(".condition")]
    assert len(products) == 1  # what all blocks make of the condition, once for all steps
    weights = {w.name: w for w in graph.initializer}
    kernels = [len(weights[n.input[1]].dims) for n in graph.node if n.op_type == "Conv"]
    assert set(kernels) == {4}
    assert not kinds["ConvTranspose"]
    assert steps > 1
    assert kinds["BatchNormalization"] == 8 + steps * 15  # of the cameras, of five blocks a step


def test_other_weights_in_the_graph_are_noticed(tiny_checkpoint, tmp_path):
    path = compiled_copy(tiny_checkpoint, tmp_path)
    model = onnx.load(path / "policy.onnx")
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > 100:
            weight.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), weight.name))
    onnx.save(model, path / "policy.onnx")
    checkpoint = load_checkpoint(path)
    with pytest.raises(InputError, match="differs from torch"):
        comparison.compare(CompiledFile.of(checkpoint), checkpoint, 2,
                           comparison.made_up_cases(checkpoint))


def test_what_differs_is_not_kept(tmp_path, monkeypatch):
    path = tmp_path / "c"
    write_random_checkpoint(path, tiny_policy_config(
        diffusion=ONE_STEP, cameras={"side": {"height": 24, "width": 24}}))
    before = sorted(p.name for p in path.iterdir())
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="not kept"):
        run_command(["export", str(path)])
    assert sorted(p.name for p in path.iterdir()) == before


@pytest.mark.parametrize("steps, words", [("51", "from 1 to 50"), ("0", "--sample-steps is 0")])
def test_steps_out_of_range_are_refused(tiny_checkpoint, steps, words):
    with pytest.raises(InputError, match=words):
        run_command(["export", str(tiny_checkpoint), "--sample-steps", steps])
