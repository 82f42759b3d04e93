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

"""``tinyvla recipe``: what it writes for which data, and that training and a robot take it."""

from __future__ import annotations

import itertools
import math
import os
import shutil

import numpy as np
import pytest
import yaml

from harness import bags, dataset_verdicts, datasets, odd_datasets, own_data, small_training
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.resources import share_directory
from training.learning.recipe import Recipe

JOINTS, LEROBOT = own_data.JOINTS, own_data.LEROBOT


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A dataset of a user's arm; tests must not change it."""
    return own_data.write_own_data(tmp_path_factory.mktemp("own") / "data")


@pytest.fixture
def write(tmp_path, capsys):
    """Run the command; returns recipe, text of the file and what was printed."""
    numbers = itertools.count()

    def run(*sources, **options):
        out = tmp_path / f"recipe_{next(numbers)}.yaml"
        more = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        code = main(["recipe", "--from", *map(str, sources), "--out", str(out), *more])
        said = capsys.readouterr()
        assert code == 0, said.err
        return Recipe.load(out), out.read_text(), said.out
    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run the command, which must refuse in one sentence and write nothing."""
    def run(*sources, **options):
        out = tmp_path / "refused.yaml"
        more = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        assert main(["recipe", "--from", *map(str, sources), "--out", str(out), *more]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
        assert not out.exists() and not list(tmp_path.glob("*.part"))
        return said.err
    return run


def uncommented(text: str) -> list[str]:
    """Return the lines with a value that have no comment, on the line or above."""
    bare, above = [], ""
    for line in text.splitlines():
        value = line.split(": ", 1)[-1] if ": " in line else line.strip().removeprefix("- ")
        opens = line.rstrip().endswith(":")
        if not line.lstrip().startswith("#") and not opens and " # " not in value + line and \
                not above.lstrip().startswith("#"):
            bare.append(line)
        above = line
    return bare


def test_every_value_says_where_it_comes_from(write, own, tmp_path):
    for options in ({}, {"robot": own_data.write_contract(tmp_path / "arm.yaml")}):
        _, text, _ = write(own, **options)
        assert uncommented(text) == []
        for word in ("data:", "default", *(["contract:"] if options else [])):
            assert f"# {word}" in text


def test_data_of_an_arm_without_a_contract(write, own):
    recipe, text, said = write(own)
    assert list(recipe.cameras) == ["front", "wrist"]
    assert recipe.cameras["front"].model_dump() == {"height": 48, "width": 64, "crop": None}
    assert recipe.state == recipe.action.channels == JOINTS
    assert recipe.action.dt == pytest.approx(1 / 30)
    assert recipe.action.horizon == 32 and recipe.action.n_action_steps == 16
    assert recipe.model.committed_rows == 0
    assert recipe.action.relative == {n: n for n in JOINTS if n != "gripper"}
    assert recipe.optimization.future_frames == (3, 6, 12, 24, "gripper", "end")
    assert recipe.language.kind == "table"
    assert recipe.optimization.validation_fraction * 4 == pytest.approx(1)
    assert recipe.action.units == ("unknown",) * 3
    assert "TODO" in text and "--robot" in said


def test_limits_hold_all_actions_and_are_not_far_beyond(write, own):
    action = write(own)[0].action
    assert action.low[0] <= -1 and action.high[0] >= 1
    assert action.low[0] > -1.2 and action.high[0] < 1.2
    assert (action.low[2], action.high[2]) == (0, 1), "a gripper of two values has them as limits"


def test_units_and_limits_are_those_of_the_contract(write, own, tmp_path):
    actions = {n: c | {"unit": "rad"} for n, c in own_data.CONTRACT["actions"].items()}
    actions["elbow"] = actions["elbow"] | {"high": 0.5}
    robot = own_data.write_contract(tmp_path / "arm.yaml", actions=actions)
    recipe, text, said = write(own, robot=robot)
    assert recipe.action.units == ("rad",) * 3
    assert recipe.action.low == (-1.5,) * 3
    assert recipe.action.high[0] == 1.5
    assert 1 <= recipe.action.high[1] < 1.01, "never narrower than the data"
    assert "beyond the contract's 0.5" in text and "safety layer" in said


def test_data_of_lerobot_in_degrees_with_videos_and_a_rate_of_fractions(write, tmp_path):
    root = own_data.write_own_data(tmp_path / "so101", LEROBOT, fps=30, unit=50.0,
                                   size=(120, 160), cameras=["front"])
    datasets.to_video(root, "front", "libx264")
    datasets.edit_info(root, lambda i: i.update(fps=30.0))
    recipe, *_ = write(root)
    camera = recipe.cameras["front"]
    assert (camera.height, camera.width) == (96, 128)
    assert recipe.state == recipe.action.channels == LEROBOT
    assert recipe.action.low[0] <= -50 and recipe.action.high[0] >= 50
    assert "gripper" not in recipe.optimization.future_frames, "no channel has exactly that name"


def test_control_steps_and_plans_are_found(write, tmp_path):
    root = own_data.write_own_data(tmp_path / "steps", fps=20, steps=4, plan_rows=24)
    recipe, text, _ = write(root)
    assert recipe.action.channels == JOINTS and recipe.action.dt == pytest.approx(0.0125)
    assert recipe.action.horizon == 24 and "expert_plan" in text
    assert recipe.action.n_action_steps == 12
    assert recipe.model.committed_rows == 0
    assert recipe.optimization.future_frames[:4] == (2, 4, 8, 16), "as default.yaml at 20 fps"


@pytest.mark.parametrize(("names", "channels"), [
    (("joint.1", "joint.2", "joint.3"), None), (("a.pos", "b.pos", "c.pos"), None),
    (("a_t0", "b_t0", "c_t0"), ("a", "b", "c")), (("a.0", "b.0", "c.0"), ("a", "b", "c"))])
def test_names_with_numbers(write, tmp_path, names, channels):
    recipe, *_ = write(own_data.write_own_data(tmp_path / "data", names))
    assert recipe.action.channels == (names if "pos" in names[0] or "joint" in names[0]
                                      else recipe.action.channels)
    assert set(recipe.action.channels) in ({*names}, {*(channels or names)})


def test_states_that_are_of_no_use_are_left_out_and_named(write, tmp_path):
    root = own_data.write_own_data(tmp_path / "data", states={
        "stuck": 0.3, "lost": math.nan, "wheel": 0.0})
    recipe, _, said = write(root)
    assert recipe.state == JOINTS
    assert "State stuck is left out, it is 0.3 in every frame" in said
    assert "State lost is left out, it is never finite" in said


def test_a_state_that_measures_an_action_stays(write, tmp_path):
    root = own_data.write_own_data(tmp_path / "data", states={"lift": 0.3})
    actions = {n: c for n, c in own_data.CONTRACT["actions"].items() if n != "gripper"}
    actions["gripper"] = own_data.CONTRACT["actions"]["gripper"] | {"state": "lift"}
    robot = own_data.write_contract(tmp_path / "arm.yaml", actions=actions)
    assert "lift" in write(root, robot=robot)[0].state


def test_joints_that_turn_without_end(write, tmp_path):
    note = {"observation.state": {"shoulder": 2 * math.pi}, "action": {"shoulder": "shoulder"}}
    noted = own_data.write_own_data(tmp_path / "noted", continuous=note)
    plain = own_data.write_own_data(tmp_path / "plain")
    limits = {k: v for k, v in own_data.CONTRACT["actions"]["shoulder"].items()
              if k not in ("low", "high")}
    robot = own_data.write_contract(tmp_path / "arm.yaml", actions=own_data.CONTRACT["actions"] | {
        "shoulder": limits | {"continuous": True}})
    recipe, text, said = write(noted, robot=robot)
    assert recipe.action.high[0] == pytest.approx(math.pi) and "turns without end" in text
    assert "continuous" not in said
    said = write(plain, robot=robot)[2]
    assert '"continuous": {"shoulder": "shoulder"}' in said, "what to write is said"


@pytest.mark.parametrize(("size", "wanted"), [
    ((480, 640), (96, 128)), ((720, 1280), (96, 168)), ((1024, 1280), (96, 120)),
    ((96, 96), (96, 96)), ((50, 50), (48, 48)), ((640, 480), (128, 96)), ((64, 64), (64, 64))])
def test_images_keep_their_proportions(size, wanted):
    from training.data.stored_images import StoredImages
    from training.recipe_writing.cameras import Camera
    from training.recipe_writing.choices import image_size
    height, width = image_size(Camera(*size, StoredImages()))
    assert (height, width) == wanted
    assert abs(width / height / (size[1] / size[0]) - 1) < 0.02


def test_many_tasks_are_read_by_their_words(write, tmp_path):
    root = own_data.write_own_data(tmp_path / "data", tasks=["go left", "go right", "stop", "up"])
    recipe, *_ = write(root)
    assert recipe.language.kind == "hashed" and recipe.model.instruction_dim == 64
    assert recipe.optimization.batch_size == 64


@pytest.mark.parametrize(("frames", "relative", "steps"), [
    (19, (), 2000), (20000, (), 9500), (10 ** 6, (), 16000), (20000, ("elbow",), 5000)])
def test_steps_follow_from_the_frames(own, frames, relative, steps):
    from unittest.mock import PropertyMock, patch

    from training.recipe_writing.choices import optimization
    from training.recipe_writing.summary import DataSummary, read_data
    data = read_data([own], None)
    with patch.object(DataSummary, "frames", PropertyMock(return_value=frames)):
        found = optimization(data, relative)
    assert found["steps"].value == steps
    assert ("skip_still" in found) == bool(relative), "pauses are those of positions"


def test_exported_bags_keep_the_size_of_their_images(write, tmp_path):
    bag = bags.write(tmp_path / "bag", bags.arm_messages(3.0))
    robot = bags.arm_contract(tmp_path)
    assert bags.export(tmp_path / "data", bag, "--robot", robot, "--fps", 30, "--actions",
                       "state", "--size", 16) == 0
    recipe, text, _ = write(tmp_path / "data", robot=robot)
    assert {c.height for c in recipe.cameras.values()} == {16}
    assert "cannot be shrunk again" in text
    assert recipe.action.channels == ("joint_1", "elbow")


@pytest.mark.slow
@pytest.mark.simulator
def test_collected_demonstrations_give_the_default_recipe(write, tmp_path):
    from training.data.collect import collect
    collect(["reach-v3"], 2, 0, tmp_path / "data", workers=1, plan_rows=24)
    folder = share_directory() / "config"
    recipe, *_ = write(tmp_path / "data", robot=folder / "robots" / "metaworld.yaml")
    default = Recipe.load(folder / "train" / "default.yaml")
    assert recipe.cameras == default.cameras and recipe.action == default.action
    assert set(recipe.state) == set(default.state)
    assert recipe.diffusion == default.diffusion and recipe.model == default.model


def test_what_is_written_is_trained_and_runs_on_the_robot(write, own, tmp_path, capsys):
    robot = own_data.write_contract(tmp_path / "arm.yaml")
    write(own, robot=robot)
    tiny = ["model.image_channels=8", "model.keypoints=4", "model.condition_dim=16",
            "model.denoiser_channels=[16, 16, 16]", "optimization.steps=3",
            "optimization.batch_size=4", "optimization.precision=float32"]
    code = main(["train", "--config", str(tmp_path / "recipe_0.yaml"), "--data", str(own),
                 "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"),
                 *(part for s in tiny for part in ("--set", s))])
    assert code == 0
    assert main(["robot", "check", str(robot), "--checkpoint", str(tmp_path / "run/last")]) == 0
    assert "own arm fits" in capsys.readouterr().out


def test_two_datasets_become_one_recipe(write, own, tmp_path):
    other = own_data.write_own_data(tmp_path / "other", tasks=["stack"], cameras=["front"])
    recipe, _, said = write(own, other)
    assert list(recipe.cameras) == ["front"] and "camera wrist is missing" in said


@pytest.mark.parametrize("row", dataset_verdicts.ROWS.values(), ids=dataset_verdicts.ROWS)
def test_odd_data_give_a_recipe_that_training_takes_or_one_sentence(row, tmp_path, capsys):
    root, out = dataset_verdicts.build(row, tmp_path / "data"), tmp_path / "recipe.yaml"
    code = main(["recipe", "--from", str(root), "--out", str(out)])
    said = capsys.readouterr()
    assert code == (0 if out.exists() else 2) and said.err.count("\n") == (code == 2), said.err
    if row.verdict == dataset_verdicts.ACCEPTED:
        assert code == 0, said.err
    if code == 0 and row.alone in ("", dataset_verdicts.ACCEPTED):
        assert main(["data", "check", str(root), "--out", str(tmp_path / "check"), "--config",
                     str(out)]) == 0


@pytest.mark.parametrize(("changes", "words"), [
    ({"fps": 20}, ("30 frames per second", "has 20")),
    ({"names": ("a", "b", "c")}, ("shoulder, elbow, gripper", "a, b, c")),
    ({"cameras": ["side"]}, ("no color camera", "that all have", "side")),
    ({"continuous": {"observation.state": {"elbow": 6.283}, "action": {"elbow": "elbow"}}},
     ("note other joints that turn",)),
])
def test_datasets_that_disagree_are_refused(refused, own, tmp_path, changes, words):
    other = own_data.write_own_data(tmp_path / "other", **changes)
    said = refused(own, other)
    assert all(word in said for word in (*words, str(other)))


@pytest.mark.parametrize(("break_it", "words"), [
    (shutil.rmtree, ("no meta/info.json",)),
    (lambda root: (root / "data/chunk-000/file-000.parquet").write_bytes(b"cut"), ("cut short",)),
    (odd_datasets.info(total_frames=0), ("no frames",)),
    (odd_datasets.info(total_episodes=7), ("7 episodes", "episode table")),
    (odd_datasets.info(codebase_version="v2.1"), ("'v2.1'", "convert")),
    (odd_datasets.feature("action", names=None), ("'action'", "--robot")),
    (odd_datasets.feature("observation.state", names=["x"]), ("'observation.state'",
                                                                  "name every")),
    (odd_datasets.one("action", 3, [np.nan, 0.0]), ("'dx'", "not finite")),
    (lambda root: odd_datasets.edit_info(root, lambda i: [
        i["features"].pop(n) for n in list(i["features"]) if "images" in n]), ("camera",)),
])
def test_a_broken_dataset_is_one_sentence(refused, root, break_it, words):
    break_it(root)
    said = refused(root)
    assert all(word in said for word in (*words, str(root))), said


@pytest.mark.parametrize(("changes", "words"), [
    ({"actions": {n.upper(): c for n, c in own_data.CONTRACT["actions"].items()},
      "outputs": [{"type": "joint_trajectory", "topic": "t", "channels": [
          n.upper() for n in JOINTS]}]}, ("'SHOULDER'", "known: 'shoulder'")),
    ({"actions": own_data.CONTRACT["actions"] | {"elbow": own_data.CONTRACT["actions"][
        "elbow"] | {"low": 100.0, "high": 100.5}}}, ("'elbow'", "100 to 100.5 rad")),
    ({"cameras": {"top": {"topic": "top"}}}, ("'front'", "known: 'top'")),
    ({"joint_states": {"topic": "j", "names": {"wrist": "joint_6"}}}, ("'wrist'",
                                                                       "would not run")),
    ({"actions": own_data.CONTRACT["actions"] | {"elbow": own_data.CONTRACT["actions"][
        "elbow"] | {"state": "elbow_joint"}}}, ("'elbow_joint'", "known: 'shoulder'")),
])
def test_a_contract_that_does_not_fit_is_one_sentence(refused, own, tmp_path, changes, words):
    said = refused(own, robot=own_data.write_contract(tmp_path / "arm.yaml", **changes))
    assert all(word in said for word in words), said


def test_nothing_is_overwritten_and_nowhere_is_said(own, tmp_path, capsys):
    there = tmp_path / "mine.yaml"
    there.write_text("mine")
    assert main(["recipe", "--from", str(own), "--out", str(there)]) == 2
    assert there.read_text() == "mine" and "nothing was overwritten" in capsys.readouterr().err
    assert main(["recipe", "--from", str(own), "--out", str(tmp_path / "no/where.yaml")]) == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(own, tmp_path, capsys):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    assert main(["recipe", "--from", str(own), "--out", str(folder / "r.yaml")]) == 2
    assert "may write to" in capsys.readouterr().err


def test_the_contract_of_the_tests_and_a_recipe_of_small_data_are_valid(write, tmp_path):
    RobotContract.load(own_data.write_contract(tmp_path / "arm.yaml"))
    recipe, text, _ = write(small_training.write_dataset(tmp_path / "small"))
    assert recipe.action.channels == ("dx", "gripper")
    assert yaml.safe_load(text)["action"]["low"][1] == -1
