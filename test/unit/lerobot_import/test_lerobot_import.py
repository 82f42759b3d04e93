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

"""Policies trained with LeRobot: our actions are those of LeRobot's library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from harness.lerobot_source import (
    CASES,
    CHANNELS,
    EXECUTE,
    JOINTS,
    SEED,
    drive,
    frames,
    import_case,
    observation,
    write_lerobot_checkpoint,
)
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import UnknownInstructionError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.types import Prefix
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy

# What LeRobot 0.6.1, and for "buffers" 0.3.3, answered; made by
# benchmarks/lerobot_equality.py --record.
RECORDED = Path(__file__).parents[2] / "data" / "lerobot_actions.json"
# Ours are computed in float64, so what is left is the rounding of LeRobot's float32 in the
# recording, the same on every machine: 2.4e-6, 3.3e-6, 0.8e-6 and, where sampling amplifies it,
# 2.8e-5. In float32 ours add a rounding that differs between AVX2, AVX-512 and plain kernels.
ROUNDING = {"processors": 5e-6, "buffers": 5e-6, "mean_std": 5e-6, "resize": 5e-5}
FLOAT32 = 1e-4


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A function that returns a case's folder: ``source``, and ``imported`` by the command."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            write_lerobot_checkpoint(made[name] / "source", CASES[name])
            import_case(made[name], CASES[name])
        return made[name]

    return folder


@pytest.mark.parametrize("name", CASES)
def test_actions_are_those_of_lerobot(folders, name):
    theirs = np.array(json.loads(RECORDED.read_text())[name]["actions"])
    imported = folders(name) / "imported"
    ours = drive(imported, CASES[name], exact=True)
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.1
    assert np.abs(ours - theirs).max() < ROUNDING[name]
    assert np.abs(drive(imported, CASES[name]) - ours).max() < FLOAT32


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_a_wrapped_network_are_the_same(folders, tmp_path, prefix):
    write_lerobot_checkpoint(tmp_path / "source", CASES["processors"])
    file = tmp_path / "source" / "model.safetensors"
    save_file({prefix + name: tensor for name, tensor in load_file(file).items()}, file)
    import_case(tmp_path, CASES["processors"])
    assert checkpoint_digest(tmp_path / "imported") == \
        checkpoint_digest(folders("processors") / "imported")


def test_the_checkpoint_describes_itself(folders):
    path = folders("processors") / "imported"
    config = load_checkpoint(path).config
    assert list(config.cameras) == ["front", "wrist"]
    assert (config.cameras["front"].height, config.cameras["front"].width) == (64, 56)
    assert config.state == JOINTS
    assert config.action.channels == CHANNELS
    assert config.action.dt == pytest.approx(0.1)
    assert config.action.horizon == 15  # of 16 steps, the first is in the past
    assert config.action.n_action_steps == EXECUTE
    came_from = json.loads((path / "training.json").read_text())["imported_from"]
    assert came_from["name"] == "source"
    assert str(path.parent) not in json.dumps(came_from)  # checkpoints are shared
    assert came_from["type"] == "diffusion"
    assert came_from["layout"] == "processors"
    assert came_from["sampler_as_trained"] is True
    card = (path / "README.md").read_text()
    assert "LeRobot" in card
    assert "shoulder, elbow, wrist" in card


def test_limits_are_those_of_the_demonstrations(folders):
    folder = folders("processors")
    from safetensors.numpy import load_file
    stats = load_file(next((folder / "source").glob("policy_post*.safetensors")))
    action = load_checkpoint(folder / "imported").config.action
    assert action.low == pytest.approx(stats["action.min"].tolist())
    assert action.high == pytest.approx(stats["action.max"].tolist())


def test_noise_is_seeded_by_stamp_and_seed(folders):
    path = folders("processors") / "imported"
    seen = observation(frames(CASES["processors"])[0], 0)
    policy = Policy(path, seed=SEED)
    first = policy.infer(seen).actions
    assert np.array_equal(policy.infer(seen).actions, first)
    assert not np.array_equal(policy.infer(replace(seen, stamp_ns=7)).actions, first)
    assert not np.array_equal(Policy(path, seed=SEED + 1).infer(seen).actions, first)


def test_other_words_than_the_ones_given_are_refused(folders):
    policy = Policy(folders("processors") / "imported")
    seen = observation(frames(CASES["processors"])[0], 0)
    with pytest.raises(UnknownInstructionError, match="'go'"):
        policy.infer(replace(seen, instruction="dance"))


@pytest.mark.parametrize("name", ["processors", "buffers"])
def test_a_chunk_goes_on_from_a_plan(folders, name):
    policy = Policy(folders(name) / "imported")
    seen = observation(frames(CASES[name])[0], 0)
    free = policy.infer(seen).actions
    rows = len(free)
    plan = np.clip(free + 0.2, policy.config.action.low, policy.config.action.high)
    weights = np.zeros(rows, np.float32)
    weights[:3] = 1.0
    joined = policy.infer(seen, Prefix(plan.astype(np.float32), weights)).actions
    assert np.array_equal(joined[:3], plan[:3].astype(np.float32))
    assert not np.array_equal(joined[3:], free[3:])
    none = policy.infer(seen, Prefix(plan.astype(np.float32), np.zeros(rows, np.float32)))
    assert np.allclose(none.actions, free, atol=1e-6)


def test_the_card_names_another_sampler(folders, tmp_path, capsys):
    out = tmp_path / "fast"
    assert main([*_arguments(folders("processors") / "source", out), "--sampler", "ddim",
                 "--sample-steps", "2"]) == 0
    assert out.name in capsys.readouterr().out
    config = load_checkpoint(out).config
    assert config.model.noise_scheduler_type == "DDIM"
    assert config.diffusion.sample_steps == 2
    assert "chunks differ from LeRobot's" in (out / "README.md").read_text()
    assert Policy(out).infer(observation(frames(CASES["processors"])[0], 0)).actions.shape == (
        15, 2)


def test_names_rate_and_task_come_from_the_dataset(folders, tmp_path):
    dataset = _dataset(tmp_path)
    out = tmp_path / "out"
    assert main(["import", str(folders("processors") / "source"), "--out", str(out),
                 "--dataset", str(dataset)]) == 0
    config = load_checkpoint(out).config
    assert config.state == ("a.pos", "b.pos", "c.pos")
    assert config.action.channels == ("a.pos", "b.pos")
    assert config.action.dt == pytest.approx(1 / 30)
    assert config.instructions == ("put the block away",)


def test_limits_come_from_the_dataset_if_the_checkpoint_has_none(folders, tmp_path):
    out = tmp_path / "out"
    assert main(["import", str(folders("mean_std") / "source"), "--out", str(out),
                 "--dataset", str(_dataset(tmp_path))]) == 0
    action = load_checkpoint(out).config.action
    assert (action.low, action.high) == ((-0.25, -0.5), (0.25, 0.5))


def test_degrees_become_radians(folders, tmp_path):
    folder, out = folders("processors"), tmp_path / "out"
    assert main([*_arguments(folder / "source", out), "--degrees", "shoulder"]) == 0
    policy = Policy(out, seed=SEED)
    seen = observation(frames(CASES["processors"])[0], 0)
    turned = replace(seen, state=dict(seen.state) | {
        "shoulder": np.deg2rad(seen.state["shoulder"])})
    before = Policy(folder / "imported", seed=SEED).infer(seen).actions
    assert np.allclose(policy.infer(turned).actions, before * np.deg2rad([1.0, 180 / np.pi]),
                       atol=1e-5)
    assert policy.config.action.units == ("rad", "as in the dataset")


def test_the_shipped_checkpoint_stays_what_it_is():
    checkpoint = load_checkpoint(default_checkpoint())
    report = json.loads((Path(default_checkpoint()) / "evaluation.json").read_text())
    assert checkpoint.config.model.kind == "tinyvla"
    assert checkpoint.digest in json.dumps(report)


def _arguments(source: Path, out: Path) -> list[str]:
    return ["import", str(source), "--out", str(out), "--fps", "10", "--state-names",
            ",".join(JOINTS), "--action-names", ",".join(CHANNELS), "--instruction", "go"]


def _dataset(folder: Path) -> Path:
    """The metadata of a LeRobotDataset, as its library writes them."""
    meta = folder / "dataset" / "meta"
    meta.mkdir(parents=True)
    features = {"observation.state": {"dtype": "float32", "shape": [3],
                                      "names": {"motors": ["a.pos", "b.pos", "c.pos"]}},
                "action": {"dtype": "float32", "shape": [2], "names": ["a.pos", "b.pos"]}}
    (meta / "info.json").write_text(json.dumps({"codebase_version": "v2.1", "fps": 30,
                                                "features": features}))
    (meta / "tasks.jsonl").write_text('{"task_index": 0, "task": "put the block away"}\n')
    (meta / "stats.json").write_text(json.dumps({"action": {"min": [-0.25, -0.5],
                                                            "max": [0.25, 0.5]}}))
    return folder / "dataset"
