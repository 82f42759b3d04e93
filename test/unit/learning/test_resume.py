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

"""Runs that are killed, stopped, out of disk or shared lose nothing and end with the same bits."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from harness.small_training import run_options, small_recipe, weights, write_dataset
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from training.data.fingerprint import of_names_and_sizes
from training.learning.train import resume, train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "demos")


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """A run of 40 steps that nothing interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(small_recipe(steps=40, save_every=4), run_options(dataset), out)
    return out


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def command(recipe, dataset, out, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    return [sys.executable, "-m", "tinyvla_ros.cli", "train", "--config", str(config),
            "--data", str(dataset), "--out", str(out), "--threads", "1"]


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def step_of(run):
    return json.loads((run / "last" / "training.json").read_text())["step"]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_ends_with_the_same_bits(dataset, whole, tmp_path, sign):
    run = tmp_path / "run"
    recipe = small_recipe(steps=40, save_every=4)
    process = subprocess.Popen(command(recipe, dataset, run, tmp_path), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: (run / "last").exists(), process)
    process.send_signal(sign)
    out, _ = process.communicate(timeout=60)
    if sign == signal.SIGTERM:
        assert process.returncode == 143
        assert f"--resume {run}" in out
    load_checkpoint(run / "last")
    assert 4 <= step_of(run) < 40
    assert resume(run)
    assert same(weights(run), weights(whole))
    report, expected = (json.loads((r / "train.json").read_text()) for r in (run, whole))
    course = [[(e["step"], e["loss"], e["validation"]) for e in r["losses"] if e["step"] % 4 == 0]
              for r in (report, expected)]
    assert course[0] == course[1]


@pytest.mark.slow
def test_two_processes_agree_with_one(dataset, tmp_path):
    recipe = small_recipe(steps=5)
    assert train(recipe, run_options(dataset), tmp_path / "one")
    arguments = [*command(recipe, dataset, tmp_path / "two", tmp_path), "--processes", "2"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    # A step moves a weight by about 3e-3. Adam turns even the rounding noise of biases without a
    # gradient (before a softmax) into steps, so some differ by more than rounding.
    assert all(torch.allclose(one[k], two[k], rtol=0.0, atol=1e-4) for k in one)
    start = small_recipe(steps=1, learning_rate=1e-9)
    assert train(start, run_options(dataset), tmp_path / "start")
    moved = weights(tmp_path / "start")
    assert max(float((one[k] - moved[k]).abs().max()) for k in one) > 3e-3
    assert json.loads((tmp_path / "two/train.json").read_text())["processes"] == 2


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(dataset, tmp_path):
    arguments = [*command(small_recipe(batch_size=7), dataset, tmp_path / "r", tmp_path),
                 "--processes", "2"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert re.search("7 .* 2 processes", done.stderr)


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_save(dataset, whole, tmp_path):
    run = tmp_path / "run"
    recipe = small_recipe(steps=40, save_every=4)
    process = subprocess.Popen(command(recipe, dataset, run, tmp_path), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: (run / "last").exists(), process)
    # From here on no file may grow beyond a kilobyte: the kernel refuses the next save.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    sentence = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(sentence) == 1
    assert f"--resume {run}" in sentence[0]
    load_checkpoint(run / "last")
    assert not list((run / "steps").glob("*.part"))
    assert resume(run)
    assert same(weights(run), weights(whole))


def test_best_and_last_and_the_snapshots_asked_for_are_kept(dataset, tmp_path):
    assert train(small_recipe(steps=10, save_every=2, snapshot_every=4), run_options(dataset),
                 tmp_path / "run")
    run = tmp_path / "run"
    best = (run / "best").resolve().name
    kept = {p.name for p in (run / "steps").iterdir()}
    assert kept == {"00000004", "00000008", "00000010", best}
    assert [p.parent.name for p in (run / "steps").rglob("state.safetensors")] == ["00000010"]
    losses = {e["step"]: e["validation"] for e in
              json.loads((run / "train.json").read_text())["losses"]}
    assert losses[int(best)] == min(losses.values())


def test_wrong_directories_are_refused(dataset, whole, tmp_path):
    with pytest.raises(InputError, match="is not a training run"):
        resume(tmp_path)
    with pytest.raises(InputError, match="is not a training run"):
        resume(whole / "last")
    with pytest.raises(InputError, match="is finished"):
        resume(whole)
    with pytest.raises(InputError, match="--resume "):
        train(small_recipe(), run_options(dataset), whole)


def test_a_run_killed_before_its_first_save_starts_again(whole, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(whole / "train.json", run)
    assert resume(run)
    assert same(weights(run), weights(whole))


def test_a_run_of_release_0_1_0_goes_on(dataset, tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    assert train(small_recipe(steps=4, save_every=4), run_options(dataset), new)
    report = json.loads((new / "train.json").read_text())
    report["recipe"]["optimization"]["steps"] = 8
    (new / "train.json").write_text(json.dumps(report))
    shutil.copytree(new, old, symlinks=True)
    report["data"][0]["fingerprint"] = of_names_and_sizes(dataset)
    (old / "train.json").write_text(json.dumps(report))
    state = old / "last" / "state.safetensors"
    with safe_open(state, "pt") as file:
        tensors = {name.replace("auxiliary_head.", "future.").replace("optimizer.", "optimiser."):
                   file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, state, file.metadata())
    assert {name.split(".")[0] for name in tensors} == {"learner", "averaged", "optimiser"}
    assert sum(".future." in name for name in tensors) > 0
    assert resume(old)
    assert resume(new)
    assert same(weights(old), weights(new))


def test_a_run_whose_data_changed_is_refused(tmp_path):
    data = write_dataset(tmp_path / "data", episodes=4)
    run = tmp_path / "run"
    assert train(small_recipe(steps=2), run_options(data), run)
    shutil.rmtree(data)
    write_dataset(data, episodes=5)
    with pytest.raises(InputError, match="changed"):
        resume(run)


def test_a_damaged_save_is_refused(whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run, symlinks=True)
    state = run / "last" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(InputError, match="is damaged"):
        resume(run)


def test_a_run_can_be_stopped_before_its_first_save(dataset, tmp_path):
    run = tmp_path / "run"
    recipe = small_recipe(steps=100000, save_every=100000)
    process = subprocess.Popen(command(recipe, dataset, run, tmp_path), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def first_step_is_logged() -> bool:  # after the loop began to listen for signals
        return any(b"train/loss" in f.read_bytes() for f in (run / "tensorboard").glob("events*"))

    wait_for(first_step_is_logged, process)
    assert not (run / "last").exists()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert f"--resume {run}" in out
    assert 1 <= step_of(run) < 100000
    assert (run / "last" / "state.safetensors").is_file()
    load_checkpoint(run / "last")
