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

"""Which backend runs a checkpoint: what ``auto`` takes, and what is refused with which advice."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from harness.compiled import compiled_copy
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy


@pytest.fixture(scope="module")
def compiled(tiny_checkpoint, tmp_path_factory) -> Path:
    """A checkpoint with a policy.onnx of two steps; tests must not change it."""
    return compiled_copy(tiny_checkpoint, tmp_path_factory.mktemp("backends"))


@pytest.fixture
def stale(compiled, tmp_path) -> Path:
    """The same, after its normalizer was fitted again."""
    path = shutil.copytree(compiled, tmp_path / "stale")
    tensors = load_file(path / "normalizer.safetensors")
    tensors["state_mean"] += 1.0
    save_file(tensors, path / "normalizer.safetensors")
    return path


def name_of(*arguments, **options) -> str:
    return Policy(*arguments, **options).backend.name


def test_auto_takes_what_fits(compiled, tiny_checkpoint, caplog):
    assert name_of(compiled) == "onnxruntime"
    assert name_of(tiny_checkpoint) == "torch"
    assert name_of(load_checkpoint(compiled)) == "torch"
    assert name_of(compiled, backend="torch") == "torch"
    assert not caplog.records


def test_a_stale_file_is_refused_and_auto_says_so(stale, caplog):
    with pytest.raises(CheckpointError, match=r"policy\.onnx was made of checkpoint .* tinyvla "
                                              "export"):
        Policy(stale, backend="onnxruntime")
    assert name_of(stale) == "torch"
    [record] = caplog.records
    assert "was made of checkpoint" in record.getMessage()
    assert "torch" in record.getMessage()


def test_other_sampling_steps_are_refused_and_auto_says_so(compiled, caplog):
    with pytest.raises(InputError, match=r"for 2 sampling steps, not 5; .*--sample-steps 5"):
        Policy(compiled, backend="onnxruntime", sample_steps=5)
    policy = Policy(compiled, sample_steps=5)
    assert (policy.backend.name, policy.backend.sample_steps) == ("torch", 5)
    assert "made for 2 sampling steps" in caplog.text
    assert name_of(compiled, sample_steps=2) == "onnxruntime"


def test_a_missing_file_is_refused(tiny_checkpoint):
    with pytest.raises(CheckpointError, match=r"has no policy\.onnx; type: tinyvla export"):
        Policy(tiny_checkpoint, backend="onnxruntime")


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_damaged_file_is_refused(compiled, tmp_path, content):
    path = shutil.copytree(compiled, tmp_path / "c")
    file = path / "policy.onnx"
    file.write_bytes(file.read_bytes()[:20000] if content is None else content)
    with pytest.raises(CheckpointError, match="is damaged or was not made by 'tinyvla export'"):
        Policy(path, backend="onnxruntime")


def test_a_missing_package_is_named_with_the_way_out(compiled, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install onnxruntime, or use backend .*torch"):
        Policy(compiled, backend="onnxruntime")
    assert name_of(compiled) == "torch"
    assert "pip install onnxruntime" in caplog.text


def test_without_torch_the_reason_is_an_error(stale, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CheckpointError, match="was made of checkpoint"):
        Policy(stale)


@pytest.mark.parametrize("options, words", [
    ({"backend": "onnx"}, "Unknown backend 'onnx'; give one of auto, onnxruntime"),
    ({"backend": "onnxruntime", "device": "cuda"}, "onnxruntime runs on cpu"),
    ({"backend": "tensorrt"}, "tensorrt runs on cuda"),
    ({"device": "cuda:x"}, "Unknown device 'cuda:x'")])
def test_what_does_not_go_together_is_refused(compiled, options, words):
    with pytest.raises(InputError, match=words):
        Policy(compiled, **options)


def test_tensorrt_that_this_onnxruntime_lacks_is_refused(compiled):
    import onnxruntime

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has TensorRT")
    with pytest.raises(InputError, match="has no TensorRT"):
        Policy(compiled, device="cuda", backend="tensorrt")
