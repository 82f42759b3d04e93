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

"""``tinyvla language-vs-success``: the instruction of every episode, and the report."""

from __future__ import annotations

import json

import pytest

from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.tables import table_cells
from sim_bridge.episodes import EpisodeSpec
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import TWINS, twin
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.config import PolicyConfig
from training.experiments.language_success import (
    check_wordings,
    choose_instruction,
    read_wordings,
    twin_instructions,
)
from training.learning.recipe import Recipe

INSTRUCTIONS = {"reach-v3": "reach the red target", "button-press-v3": "press the red button"}
WORDINGS = {"reach-v3": ["go to the red target", "sing me a song"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("language") / "checkpoint"
    write_random_checkpoint(path, tiny_policy_config(language={"kind": "hashed", "dim": 128}))
    return path


def test_the_instruction_depends_on_task_and_seed_alone():
    def chosen(condition: str, index: int) -> str | None:
        return choose_instruction(condition, EpisodeSpec(index, "reach-v3", 50001), INSTRUCTIONS,
                                  WORDINGS)

    assert chosen("right", 7) == "reach the red target"
    assert chosen("unseen", 7) == chosen("unseen", 0) == "sing me a song"
    assert chosen("other", 7) == chosen("other", 0) == "press the red button"
    assert chosen("none", 7) is None


def test_a_twin_has_the_same_objects_and_other_words():
    robot = SimulatedRobotConfig.load()
    pairs = {task: robot.instruction(task) for pair in TWINS for task in pair}
    config = tiny_policy_config(instructions=tuple(pairs.values()))
    twins = twin_instructions(list(pairs), robot, config)
    assert twins["faucet-open-v3"] == "turn the faucet off"
    assert all(twins[twin(task)] == pairs[task] for task in pairs)
    with pytest.raises(InputError, match="No task looks like hammer-v3"):
        twin_instructions(["hammer-v3"], robot, config)
    with pytest.raises(InputError, match="Unknown instruction"):
        twin_instructions(["door-open-v3"], robot, tiny_policy_config())
    # One that takes any words would take them for some other task that it knows.
    known = PolicyConfig.load(share_directory() / "checkpoints" / "metaworld-mt10")
    with pytest.raises(InputError, match="Unknown instruction 'reach the red target behind"):
        twin_instructions(["reach-v3"], robot, known)


def test_the_shipped_unseen_wordings_were_never_trained_on():
    config = share_directory() / "config"
    recipe = Recipe.load(config / "train" / "mt10.yaml")
    wordings = read_wordings(config / "mt10_unseen_wordings.yaml")
    robot = SimulatedRobotConfig.load()
    assert [robot.instruction(task) for task in wordings] == list(recipe.paraphrases)
    check_wordings(wordings, list(wordings), recipe.policy_config(tuple(recipe.paraphrases)),
                   unseen=True)


@pytest.mark.simulator
@pytest.mark.slow
def test_a_run_gives_instructions_and_reports_refusals(checkpoint, tmp_path, capsys):
    file = tmp_path / "wordings.yaml"
    file.write_text("reach-v3: [sing me a song]\n")
    arguments = ["language-vs-success", "--checkpoint", str(checkpoint), "--out",
                 str(tmp_path / "out"), "--wordings", str(file), "--told", "right", "unseen",
                 "--episodes", "1", "--workers", "1"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert table_cells(text, "refused, arm not moved") == ["0 of 1", "1 of 1"]
    lines = [json.loads(line) for line in
             (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()]
    assert [(r["told"], r["refused"], r["steps"] > 0) for r in lines] == [
        ("right", False, True), ("unseen", True, False)]
    assert (tmp_path / "out" / "language.png").stat().st_size > 1000
    assert main(arguments) == 0  # nothing is done twice
    assert len((tmp_path / "out" / "episodes.jsonl").read_text().splitlines()) == 2


@pytest.mark.simulator
@pytest.mark.parametrize(("content", "more", "parts"), [
    ("reach-v3: [Reach the red  target]", [], ["'Reach the red  target'", "reach-v3"]),
    ("reach-v3: go", [], ["wordings.yaml", "'reach-v3: [go to the red dot]'"]),
    ("reach-v3: [go on]", ["--tasks", "reach-v3", "button-press-v3"],
     ["button-press-v3", "--told"]),
    ("reach-v3: [go on]", [], ["reach-v3", "--told other", "two tasks"]),
    ("juggle-v3: [go on]", [], ["'juggle-v3'", "'reach-v3'"]),
    ("reach-v3: [go on]", ["--seed", "3"], ["3", "at least 50"]),
])
def test_bad_input_is_one_sentence(checkpoint, tmp_path, capsys, content, more, parts):
    file = tmp_path / "wordings.yaml"
    file.write_text(content)
    assert main(["language-vs-success", "--checkpoint", str(checkpoint), "--out",
                 str(tmp_path / "out"), "--wordings", str(file), *more]) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in parts), error
    assert error.count("\n") == 1
