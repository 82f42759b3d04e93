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

"""A checkpoint becomes a better one by what people and it did, and nothing is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from harness import bags
from harness.saved_results import write_results
from harness.small_training import small_recipe
from tinyvla_ros.cli.main import main, run_command
from tinyvla_ros.core.files import checkpoint_digest
from training.bag_export.commanders import parts_of
from training.improve.judgment import judge
from training.improve.rules import RULES, shares

DT = 0.0125
SECONDS = 3.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Demonstrations of the toy arm, and a checkpoint that was trained with them for two steps."""
    folder = tmp_path_factory.mktemp("trained")
    for number in range(3):
        bags.write(folder / "bags" / f"{number}", bags.realtime(SECONDS - 0.2 * number),
                   bags.custom(commander="human"))
    assert bags.export(folder / "data", folder / "bags") == 0
    recipe = small_recipe(steps=2, save_every=2).model_dump(mode="json")
    recipe |= {"cameras": {c: {"height": bags.SIZE, "width": bags.SIZE} for c in bags.CAMERAS},
               "state": list(bags.STATE)}
    recipe["diffusion"] |= {"sample_steps": 1}  # each is unrolled, where policies are compiled
    recipe["action"] |= {"dt": DT, "horizon": 16, "n_action_steps": 4}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert run_command(["train", "--config", str(folder / "recipe.yaml"), "--data",
                        str(folder / "data"), "--threads", "1", "--out",
                        str(folder / "run")]) == 0
    return folder


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """A policy's success, its failure, and an episode in which a person took over for a while."""
    folder = tmp_path_factory.mktemp("episodes")
    said = bags.claims((0.0, "policy_node", "policy"))
    bags.write(folder / "a_success", [*bags.realtime(SECONDS), *said])
    bags.write(folder / "b_failure", [*bags.realtime(SECONDS), *said],
               bags.custom(outcome="failure"))
    bags.write(folder / "c_both", [*bags.realtime(SECONDS), *bags.claims(
        (0.0, "policy_node", "policy"), (1.0, "policy_node", "human"),
        (2.0, "policy_node", "policy"))])
    return folder


def arguments(trained, episodes, out, **more) -> list[str]:
    """Return a command line with a few steps of training."""
    options = {"data": trained / "data", "out": out, "steps": 4, "threads": 1, "workers": 1} | more
    return ["improve", str(trained / "run/last"), str(episodes),
            *(text for name, value in options.items()
              for text in (f"--{name.replace('_', '-')}", str(value)))]


def seconds(dataset) -> list[tuple[float, float]]:
    """Return begin and end of the episodes of a dataset, s of the recordings."""
    about = json.loads((dataset / "meta/bags.json").read_text())["episodes"]
    return [tuple((e[k] - bags.SIM_NS) / 1e9 for k in ("first_stamp_ns", "last_stamp_ns"))
            for e in about]


def test_a_persons_part_is_learned_and_the_checkpoint_names_its_parent(
        trained, episodes, tmp_path, capfd):
    parent = trained / "run/last"
    before = bags.contents(parent.resolve())
    out = tmp_path / "out"
    assert main(arguments(trained, episodes, out)) == 0
    assert "not judged" in capfd.readouterr().out
    (part,) = seconds(out / "data/human")
    assert part == pytest.approx((1.0, 2.0), abs=0.1)
    report = json.loads((out / "checkpoint/training.json").read_text())
    assert report["init"]["digest"] == checkpoint_digest(parent)
    assert {d["name"]: d["weight"] for d in report["data"]} == {"data": 0.5, "human": 0.5}
    own = json.loads((parent / "training.json").read_text())["recipe"]["optimization"]
    assert report["recipe"]["optimization"]["learning_rate"] == own["learning_rate"] / 3
    assert not (out / "checkpoint/state.safetensors").exists()
    assert (out / "checkpoint/policy.onnx").is_file(), "what a robot runs"
    assert bags.contents(parent.resolve()) == before

    done = bags.contents(out)
    assert main(arguments(trained, episodes, out)) == 0
    assert bags.contents(out) == done, "the same command again has nothing to do"
    assert main(arguments(trained, episodes, out, rule="success")) == 2
    assert "another rule" in capfd.readouterr().err
    assert bags.contents(out) == done


def test_what_led_to_a_takeover_is_left_out(trained, episodes, tmp_path):
    out = tmp_path / "out"
    # Somebody has changed the policy since it was trained.
    changed = shutil.copytree(trained / "run/last", tmp_path / "changed")
    config = json.loads((changed / "config.json").read_text())
    config["action"]["n_action_steps"] = 5
    (changed / "config.json").write_text(json.dumps(config))
    command = arguments(trained, episodes, out, rule="mixed", lead_up=0.5, share=0.4)
    assert main([command[0], str(changed), *command[2:]]) == 0
    made = json.loads((out / "checkpoint/config.json").read_text())
    assert made["action"]["n_action_steps"] == 5
    whole, first, second = seconds(out / "data/policy")
    assert whole[1] > 2.5, "of the successful episode"
    assert first[1] == pytest.approx(0.5, abs=0.1)
    assert second[0] == pytest.approx(2.0, abs=0.1)
    report = json.loads((out / "run/train.json").read_text())
    assert {d["name"]: d["weight"] for d in report["data"]} == {
        "data": 0.6, "human": 0.2, "policy": 0.2}


def test_what_was_stopped_goes_on_and_ends_like_what_was_not(trained, episodes, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    # Successes teach without a person.
    more = {"steps": 12, "set": "optimization.save_every=1", "rule": "success"}
    command = [sys.executable, "-m", "tinyvla_ros.cli",
               *arguments(trained, episodes, stopped, **more)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env={**os.environ, "PYTHONUNBUFFERED": "1"})
    deadline = time.monotonic() + 120.0
    while not (stopped / "run/last").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    text = process.communicate()[0].decode()
    assert process.returncode in (0, 143), text  # it may have been faster
    assert main(arguments(trained, episodes, stopped, **more)) == 0
    assert main(arguments(trained, episodes, whole, **more)) == 0
    assert len(seconds(whole / "data/episodes")) == 2
    assert checkpoint_digest(whole / "checkpoint") == checkpoint_digest(stopped / "checkpoint")


@pytest.mark.parametrize(("change", "words"), [
    ({"share": 1.0}, ("--share", "1")),
    ({"lead_up": 2.0}, ("--lead-up", "mixed")),
    ({"rule": "best"}, ("--rule is best", "mixed")),
    ({"data": "/nowhere"}, ("/nowhere", "LeRobotDataset")),
    ({"set": "optimization.stepz=3"}, ("stepz",)),
    ({"tolerance": -1}, ("--tolerance", "-1")),
])
def test_bad_options_are_one_sentence(trained, episodes, tmp_path, capfd, change, words):
    assert main(arguments(trained, episodes, tmp_path / "out", **change)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and all(w in error for w in words), error
    assert not (tmp_path / "out").exists()


def test_episodes_without_a_person_are_refused_where_one_is_needed(trained, episodes, tmp_path,
                                                                   capfd):
    assert main(arguments(trained, episodes / "a_success", tmp_path / "out")) == 2
    said = capfd.readouterr()
    assert "no human commanded in it" in said.out
    assert "nothing for the rule human" in said.err


def test_a_checkpoint_without_a_recipe_is_refused(trained, episodes, tmp_path, capfd):
    bare = shutil.copytree(trained / "run/last", tmp_path / "bare")
    (bare / "training.json").unlink()
    command = arguments(trained, episodes, tmp_path / "out")
    assert main([command[0], str(bare), *command[2:]]) == 2
    assert "does not hold the recipe" in capfd.readouterr().err


@pytest.mark.parametrize(("before", "after", "is_better", "words"), [
    ([0] * 20, [1] * 20, True, "Better: 20 episodes gained, 0 lost"),
    ([0, 0, 1], [1, 1, 0], True, "may be chance"),
    ([1, 0], [1, 0], False, "Not better"),
    ([1, 1, 0], [0, 0, 1], False, "Not better"),
])
def test_a_new_checkpoint_is_judged_by_the_episodes_that_changed(tmp_path, before, after,
                                                                 is_better, words):
    found = judge(write_results(tmp_path / "before", {"reach-v3": list(map(bool, before))}),
                  write_results(tmp_path / "after", {"reach-v3": list(map(bool, after))},
                                demonstrations=63))
    assert found.is_better == is_better
    assert words in found.sentence
    assert "McNemar" in found.table


def test_a_task_that_is_forgotten_outweighs_what_is_gained(tmp_path):
    old = write_results(tmp_path / "old", {"reach-v3": [False] * 20, "push-v3": [True] * 20})
    new = write_results(tmp_path / "new", {"reach-v3": [True] * 20,
                                           "push-v3": [True] * 10 + [False] * 10})
    found = judge(old, new)
    assert found.gained > found.lost
    assert not found.is_better and "push-v3 became worse" in found.sentence


def test_shares_of_what_is_there_add_up():
    mixed = RULES["mixed"]
    assert shares(mixed, 0.5) == {"human": 0.25, "policy": 0.25}
    assert shares(mixed[:1], 0.5) == {"human": 0.5}


def test_a_lead_up_longer_than_a_part_leaves_nothing_of_it():
    names = np.array(["policy"] * 10 + ["human"] * 10 + ["policy"] * 10)
    assert parts_of(names, "policy", 4) == [(0, 6), (20, 30)]
    assert parts_of(names, "policy", 20) == [(20, 30)]
    assert parts_of(names, "human", 0) == [(10, 20)]
