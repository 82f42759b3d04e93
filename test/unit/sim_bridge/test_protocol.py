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

"""Protocols: the files, what contradicts them, and evaluations and demonstrations under them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from harness.policies import tiny_policy_config, write_random_checkpoint
from sim_bridge.protocol import Protocol, trained_with
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import MT50
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.config import PolicyConfig

SMALL = {"description": "a small one", "tasks": ["reach-v3", "button-press-v3"],
         "cameras": ["corner2"], "state": ["ee_x", "ee_y", "ee_z", "r_close"],
         "horizons": [40, 24], "episodes": 2, "demonstrations": 1}


def write_protocol(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


@pytest.fixture(scope="module")
def corner2(tmp_path_factory):
    """A checkpoint with random weights that uses nothing but what corner2.yaml allows."""
    path = tmp_path_factory.mktemp("corner2") / "checkpoint"
    write_random_checkpoint(path, tiny_policy_config(
        cameras={"corner2": {"height": 48, "width": 48}}, state=SMALL["state"]))
    return path


def refused(capfd, *arguments) -> str:
    assert main(list(map(str, arguments))) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    return err


def test_the_files_say_what_they_are_for():
    names = {p.stem for p in (share_directory() / "config/protocols").glob("*.yaml")}
    protocols = {name: Protocol.load(name) for name in names}
    assert {"ours", "corner2"} <= names
    for name, protocol in protocols.items():
        assert (protocol.name, protocol.tasks) == (name, MT50)
        assert protocol.horizon == 500
        assert 400 in protocol.horizons
    allowed = [protocols[n].demonstrations for n in ("ours", "corner2", "ours-dagger")]
    assert allowed == [50, 50, 400]
    assert protocols["corner2"].cameras == ("corner2",)
    assert protocols["corner2"].state == ("ee_x", "ee_y", "ee_z", "r_close")
    assert protocols["ours"].cameras == tuple(SimulatedRobotConfig.load().cameras)


def test_the_shipped_checkpoint_of_mt10_may_be_evaluated_by_ours():
    path = share_directory() / "checkpoints" / "metaworld-mt10"
    assert trained_with(path) == 50
    Protocol.load("ours").check_policy(PolicyConfig.load(path), trained_with(path))


@pytest.mark.parametrize(("changes", "words"), [
    ({"cameras": ["top"]}, ("'top'", "corner2")),
    ({"tasks": ["reach-v2"]}, ("'reach-v2'", "'reach-v3'")),
    ({"state": ["goal_x"]}, ("'goal_x'", "'ee_x'")),
    ({"horizons": [501]}, ("horizons", "501", "500")),
    ({"horizons": [40, 40]}, ("40", "once")),
    ({"tasks": ["mt50", "reach-v3"]}, ("reach-v3", "once")),
    ({"success": "the last step"}, ("success", "any step")),
    ({"seeds": 3}, ("'seeds'",)),
    ({"episodes": None}, ("episodes", "None"))])
def test_a_file_that_cannot_be_used_is_one_sentence(changes, words, tmp_path, capfd):
    path = write_protocol(tmp_path / "mine.yaml", **changes)
    error = refused(capfd, "evaluate", "--protocol", path)
    assert all(word in error for word in ("mine.yaml", *words)), error


def test_nobody_elses_file_is_called_as_one_of_ours(tmp_path, capfd):
    """Results would say that they are of ``ours``."""
    path = write_protocol(tmp_path / "ours.yaml")
    assert "another name" in refused(capfd, "evaluate", "--protocol", path)
    path = write_protocol(tmp_path / "mine.yaml", name="ours")
    assert "leave the name out" in refused(capfd, "evaluate", "--protocol", path)
    packaged = share_directory() / "config" / "protocols" / "ours.yaml"
    assert Protocol.load(packaged) == Protocol.load("ours")


@pytest.mark.parametrize("text", ["description: [x", "- a", "", "\0"])
def test_a_damaged_file_is_one_sentence(text, tmp_path, capfd):
    (tmp_path / "mine.yaml").write_text(text)
    assert "mine.yaml" in refused(capfd, "evaluate", "--protocol", tmp_path / "mine.yaml")


@pytest.mark.simulator
@pytest.mark.parametrize(("arguments", "words"), [
    (["--protocol", "corner3"], ("'corner3'", "'corner2'", "'ours'")),
    (["--protocol", "nowhere/mine.yaml"], ("nowhere/mine.yaml", "No such file")),
    (["--protocol", "ours", "--tasks", "reach-v2"], ("'reach-v2'", "ours", "'reach-v3'")),
    (["--protocol", "ours", "--episodes", "51"], ("51", "ours", "50")),
    (["--protocol", "ours", "--horizon", "400"], ("400", "ours", "500")),
    (["--protocol", "ours", "--tasks", "reach-v3"], ("camera corner2", "side, front, wrist")),
    (["--horizon", "501"], ("horizon", "501", "500"))])
@pytest.mark.parametrize("command", ["sim-eval", "evaluate"])
def test_what_contradicts_the_protocol_is_refused(command, arguments, words, corner2, tmp_path,
                                                  capfd):
    if command == "sim-eval":
        pytest.importorskip("rclpy")
    error = refused(capfd, command, "--checkpoint", corner2, "--out", tmp_path / "out",
                    *arguments)
    assert all(word in error for word in words), error
    assert not (tmp_path / "out").exists()


def test_a_policy_that_uses_more_state_or_demonstrations_is_refused(tiny_config):
    protocol = Protocol.load("ours")
    protocol.check_policy(tiny_config, 50)
    protocol.check_policy(tiny_config, None)
    with pytest.raises(InputError, match=r"51 demonstrations.*ours.*50"):
        protocol.check_policy(tiny_config, 51)
    with pytest.raises(InputError, match=r"right_j0.*ee_x alone"):
        protocol.model_copy(update={"state": ("ee_x",)}).check_policy(tiny_config, 1)


@pytest.mark.parametrize(("report", "known"), [
    ({"demonstrations": {"a": 3, "b": 7}, "episodes": 9, "init": None}, 7),
    ({"episodes": 100, "held_out_episodes": 20, "init": None}, 40),
    ({"demonstrations": {"a": 3}, "init": {"digest": "0"}}, None),
    ({"demonstrations": {"a": 3}, "all_demonstrations": {"a": 8, "b": 5}, "init": {}}, 8),
    ({"demonstrations": {"a": 3}, "all_demonstrations": None, "init": {}}, None),
    ({"imported_from": "elsewhere"}, None),
    ({}, None),
    (None, None)])
def test_demonstrations_are_what_the_checkpoint_tells(report, known, tmp_path, tiny_config):
    write_random_checkpoint(tmp_path, tiny_config)
    (tmp_path / "training.json").unlink()
    if report is not None:
        (tmp_path / "training.json").write_text(json.dumps(report))
    assert trained_with(tmp_path) == known


def test_a_damaged_training_report_is_one_sentence(tmp_path):
    for text in ('{"demonstrations": ["a"]}', '{"episodes": ', "[]"):
        (tmp_path / "training.json").write_text(text)
        with pytest.raises(InputError, match=r"training\.json"):
            trained_with(tmp_path)


@pytest.mark.simulator
@pytest.mark.slow
def test_an_evaluation_is_stamped_and_ends_at_the_horizon(corner2, tmp_path, capfd):
    protocol = write_protocol(tmp_path / "mine.yaml")
    out = tmp_path / "out"
    assert main(["evaluate", "--checkpoint", str(corner2), "--protocol", str(protocol),
                 "--workers", "1", "--out", str(out)]) == 0
    stamp = json.loads((out / "results.json").read_text())["protocol"]
    assert (stamp["protocol"], stamp["whole_protocol"]) == ("mine", True)
    assert (stamp["horizon"], stamp["horizons"]) == (40, [24, 40])
    assert list(stamp["cameras"]) == ["corner2"]
    assert (stamp["state"], stamp["seeds"]) == (SMALL["state"], [0, 1])
    assert stamp["demonstrations"] == 1
    assert stamp["policy"] == {"cameras": ["corner2"], "state": SMALL["state"],
                               "demonstrations": None}
    assert {"success", "backend", "versions"} <= stamp.keys()
    lines = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert [(line["task"], line["seed"]) for line in lines] == [
        ("reach-v3", 0), ("reach-v3", 1), ("button-press-v3", 0), ("button-press-v3", 1)]
    assert all(line["steps"] == 40 for line in lines if not line["success"])
    assert not all(line["success"] for line in lines)
    printed = capfd.readouterr().out
    assert "within 24 steps" in printed
    assert "does not tell how many demonstrations" in printed


@pytest.mark.simulator
@pytest.mark.slow
def test_demonstrations_of_a_protocol(tmp_path, capfd):
    protocol = write_protocol(tmp_path / "mine.yaml")
    out = tmp_path / "data"
    for more, words in ((["--episodes", "2"], ("2", "mine", "1")),
                        (["--cameras", "side"], ("side", "mine", "corner2")),
                        (["--tasks", "push-v3"], ("'push-v3'", "mine")),
                        (["--scenes", "shared"], ("shared", "mine"))):
        error = refused(capfd, "collect", "--protocol", protocol, "--out", out, *more)
        assert all(word in error for word in words), error
    assert "--tasks is missing" in refused(capfd, "collect", "--out", out)
    assert main(["collect", "--protocol", str(protocol), "--workers", "1", "--plan-rows", "0",
                 "--out", str(out)]) == 0
    info = json.loads((out / "meta/info.json").read_text())
    assert info["total_episodes"] == 2
    assert [n for n in info["features"] if "images" in n] == ["observation.images.corner2"]
