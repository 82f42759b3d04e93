# SPDX-License-Identifier: Apache-2.0
"""``tinyvla language-vs-success``: who is told what, and what comes of it."""

from __future__ import annotations

import json

import pytest

from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.tables import table_cells
from sim_bridge.episodes import EpisodeSpec
from sim_bridge.robot_config import RobotConfig
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.resources import share_directory
from training.experiments.language_success import check_wordings, read_wordings, words
from training.learning.recipe import Recipe

SAID = {"reach-v3": "reach the red target", "button-press-v3": "press the red button"}
WORDINGS = {"reach-v3": ["go to the red target", "sing me a song"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("told") / "checkpoint"
    write_random_checkpoint(path, tiny_policy_config(language={"kind": "hashed", "dim": 128}))
    return path


def test_what_is_told_depends_on_task_and_seed_alone():
    spec = EpisodeSpec(7, "reach-v3", 50001)
    assert words("right", spec, SAID, WORDINGS) == "reach the red target"
    assert words("unseen", spec, SAID, WORDINGS) == "sing me a song"
    assert words("other", spec, SAID, WORDINGS) == "press the red button"
    assert words("none", spec, SAID, WORDINGS) is None
    moved = EpisodeSpec(0, "reach-v3", 50001)
    assert all(words(t, spec, SAID, WORDINGS) == words(t, moved, SAID, WORDINGS)
               for t in ("unseen", "other"))


def test_the_shipped_unseen_wordings_were_never_trained_on():
    config = share_directory() / "config"
    recipe = Recipe.load(config / "train" / "mt10.yaml")
    wordings = read_wordings(config / "mt10_unseen_wordings.yaml")
    robot = RobotConfig.load()
    assert [robot.instruction(task) for task in wordings] == list(recipe.paraphrases)
    check_wordings(wordings, list(wordings), recipe.policy_config(tuple(recipe.paraphrases)),
                   unseen=True)


@pytest.mark.slow
def test_a_run_tells_refuses_and_reports(checkpoint, tmp_path, capsys):
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


@pytest.mark.parametrize(("content", "more", "message"), [
    ("reach-v3: [Reach the red  target]", [], "was trained on; take it out"),
    ("reach-v3: go", [], "no mapping of tasks to lists of wordings"),
    ("reach-v3: [go on]", ["--tasks", "reach-v3", "button-press-v3"],
     "no unseen wording for button-press-v3"),
    ("reach-v3: [go on]", [], "reach-v3 alone, and --told other needs another"),
    ("juggle-v3: [go on]", [], "Unknown task 'juggle-v3'"),
    ("reach-v3: [go on]", ["--seed", "3"], "kept for published"),
])
def test_bad_input_is_one_sentence(checkpoint, tmp_path, capsys, content, more, message):
    file = tmp_path / "wordings.yaml"
    file.write_text(content)
    assert main(["language-vs-success", "--checkpoint", str(checkpoint), "--out",
                 str(tmp_path / "out"), "--wordings", str(file), *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
