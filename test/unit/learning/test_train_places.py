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

"""Where data, images and processes are: what is elsewhere is found, what is not there is said."""

from __future__ import annotations

import shutil

import pytest
import torch
import yaml

from harness.datasets import edit_info
from harness.small_training import run_options, small_recipe, weights, write_dataset
from tinyvla_ros.cli.main import main, run_command
from tinyvla_ros.core.errors import InputError
from training.learning.mixture import load_mixture
from training.learning.run_directory import RunDirectory
from training.learning.train import resume, train


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(small_recipe(steps=4, save_every=2).model_dump(mode="json")))
    return path


def stopped_run(tmp_path, *roots):
    """Return a run of four steps that has saved two of them."""
    whole = small_recipe(steps=4, save_every=2)
    run = tmp_path / "run"
    train(small_recipe(steps=2, save_every=2), run_options(*roots), run)
    report = RunDirectory.open(run).report()
    report["recipe"] = whole.model_dump(mode="json")
    RunDirectory.open(run).write_report(report)
    return run


def test_a_run_goes_on_when_its_data_have_moved(data, tmp_path):
    root = shutil.copytree(data, tmp_path / "here")
    run = stopped_run(tmp_path, root)
    shutil.rmtree(root.with_name("here.cache"), ignore_errors=True)
    moved = root.rename(tmp_path / "there")
    with pytest.raises(InputError, match=f"here.*--resume {run} --data"):
        resume(run)
    assert run_command(["train", "--resume", str(run), "--data", str(moved)]) == 0
    assert RunDirectory.open(run).report()["data"][0]["path"] == str(moved)
    train(small_recipe(steps=4, save_every=2), run_options(moved), tmp_path / "whole")
    a, b = weights(run), weights(tmp_path / "whole")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_other_data_are_not_taken_for_moved_ones(data, tmp_path):
    run = stopped_run(tmp_path, data)
    other = write_dataset(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=r"other.*fingerprint"):
        resume(run, places=[other])
    with pytest.raises(InputError, match=r"1 dataset.*names 2"):
        resume(run, places=[data, other])
    with pytest.raises(InputError, match=r"=2.*weight"):
        run_command(["train", "--resume", str(run), "--data", f"{tmp_path / 'gone'}=2"])


def test_images_of_a_read_only_disk_are_decoded_elsewhere(data, tmp_path, config):
    disk = tmp_path / "disk"
    root = shutil.copytree(data, disk / "demos")
    # A file where the directory would be: nobody, not even root, can write below it.
    (disk / "demos.cache").write_text("")
    arguments = ["train", "--config", str(config), "--data", str(root), "--out"]
    with pytest.raises(InputError, match=r"demos\.cache.*--cache DIR"):
        run_command([*arguments, str(tmp_path / "a")])
    assert run_command([*arguments, str(tmp_path / "b"), "--cache", str(tmp_path / "cache")]) == 0
    assert list((tmp_path / "cache").glob("*/images.npy"))


def test_datasets_of_several_robots_are_named(data, tmp_path):
    other = shutil.copytree(data, tmp_path / "other")
    edit_info(other, lambda i: i.update(robot_type="so100"))
    recipe = small_recipe()
    notes = [n.text for n in load_mixture([(data, 1.0), (other, 1.0)], recipe,
                                          tmp_path / "cache").notes]
    assert any("'so100'" in n and "'test'" in n for n in notes)
    assert not any("robots" in n.text for n in load_mixture([(data, 1.0)], recipe,
                                                            tmp_path / "cache").notes)


def test_tasks_that_differ_in_case_and_blanks_are_one(data, tmp_path):
    other = write_dataset(tmp_path / "other", tasks=(" GO", "stay"))
    mixture = load_mixture([(data, 1.0), (other, 1.0)], small_recipe(), tmp_path / "cache")
    assert mixture.tasks == ("go", "stay")
    assert set(mixture.task_index.tolist()) == {0, 1}


@pytest.mark.parametrize(("arguments", "words"), [
    (["--device", "mps"], ("'mps'", "cpu")),
    (["--device", "xpu"], ("'xpu'", "cpu")),
    (["--device", "meta"], ("'meta'", "cpu")),
    (["--device", "cuda:99"], ("'cuda:99'", "cpu")),
    (["--device", "cuda:99", "--processes", "2"], ("'cuda:99'", "cpu")),
    (["--processes", "3"], ("8", "3")),
    (["--set", "optimization.validation_fraction=0.99"], ("0.99", "6")),
    (["--processes", "3", "--set", "optimization.batch_size=9", "--set", "state=[z]"], ("'z'",)),
])
def test_what_stops_a_run_is_said_before_it_starts(data, tmp_path, config, capfd, arguments,
                                                   words):
    code = main(["train", "--config", str(config), "--data", str(data), "--out",
                 str(tmp_path / "run"), *arguments])
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert error.startswith("error: ") and error.endswith(".")
    assert all(word in error for word in words)
    assert not list((tmp_path / "run").glob("*/*"))


def test_compiling_without_a_compiler_is_refused_at_once(data, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"optimization\.compile.*g\+\+"):
        train(small_recipe(compile=True), run_options(data), tmp_path / "run")
