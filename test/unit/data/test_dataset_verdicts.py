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

"""``data check`` and ``train`` agree about every dataset, and both name what is odd about it."""

from __future__ import annotations

import json

import pytest
import yaml

from harness import datasets
from harness.dataset_verdicts import (
    ACCEPTED,
    DOCS,
    END,
    REFUSED,
    ROWS,
    START,
    WARNED,
    build,
    table,
)
from harness.small_training import small_recipe
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe for the dataset before it is made odd."""
    data = small_recipe(steps=1, batch_size=4, future_frames=[2, "end"]).model_dump(mode="json")
    data["cameras"] = {"front": {"height": datasets.SIZE, "width": datasets.SIZE}}
    data["state"] = ["angle", "x"]
    data["action"] |= {"channels": ["dx", "dy"], "units": ["rad", "m"], "dt": 0.1, "horizon": 4,
                       "n_action_steps": 1}
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def check(root, out, *arguments):
    """Return the verdict of ``data check`` and what it says."""
    try:
        code = run_command(["data", "check", str(root), "--out", str(out), *arguments])
    except InputError as err:  # the command prints it and ends with 2
        return REFUSED, [str(err)]
    findings = json.loads((out / "report.json").read_text())["findings"]
    errors = [f["text"] for f in findings if f["error"]]
    assert code == (1 if errors else 0)
    if errors:
        return REFUSED, errors
    return (WARNED if findings else ACCEPTED), [f["text"] for f in findings]


def train(root, run, recipe, capsys):
    """Return the verdict of ``train`` and what it says."""
    capsys.readouterr()
    try:
        code = run_command(["train", "--config", str(recipe), "--data", str(root), "--out",
                            str(run), "--threads", "1"])
    except InputError as err:
        return REFUSED, [str(err)]
    assert code == 0
    assert (run / "last/model.safetensors").is_file()
    warnings = [line.split("warning: ", 1)[1] for line in capsys.readouterr().err.splitlines()
                if "warning: " in line]
    return (WARNED if warnings else ACCEPTED), warnings


@pytest.mark.parametrize("name", ROWS)
def test_check_and_train_agree(name, recipe, tmp_path, capsys):
    row = ROWS[name]
    root = build(row, tmp_path / "demos")
    checked, found = check(root, tmp_path / "check", "--config", str(recipe))
    trained, said = train(root, tmp_path / "run", recipe, capsys)
    assert (checked, trained) == (row.verdict, row.verdict), (found, said)
    for words in row.says:
        assert any(words in text for text in found), found
        assert any(words in text for text in said), said
    assert all(text.endswith(".") and "\n" not in text for text in [*found, *said])
    # What stops training, or what it warns of, is what the check says.
    assert all(any(text in told for told in said) for text in found if row.verdict == WARNED)
    assert row.verdict != REFUSED or any(text in said[0] for text in found)
    alone, found = check(root, tmp_path / "alone")
    assert alone == (row.alone or row.verdict), found


def test_the_documentation_shows_this_table():
    shown = DOCS.read_text().split(START)[1].split(END)[0].strip()
    assert shown == table(), "PYTHONPATH=test python -m harness.dataset_verdicts writes it"
