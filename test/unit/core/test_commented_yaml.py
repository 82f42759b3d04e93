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

"""YAML with comments, and the lines of it that are still open."""

from __future__ import annotations

import pytest
import yaml

from tinyvla_ros.core.commented_yaml import (
    PLACEHOLDER,
    WIDTH,
    Noted,
    commented_yaml,
    open_lines,
    refuse_placeholders,
)
from tinyvla_ros.core.errors import InputError

TREE = {"name": Noted("arm #1", "TODO: a name"), "rate": Noted(30.0, "measured"),
        "camera": {"size": {"height": 96}, "topic": Noted("a/b", "long " * 40)},
        "none": Noted(None), "low": [Noted(-1.0, "data"), Noted(PLACEHOLDER, "TODO: which?")],
        "outputs": [{"type": "twist", "channels": Noted({"x": Noted({"to": "y"}, "an axis")},
                                                        "axes")}],
        "names": Noted([f"joint_{i}" for i in range(20)], "many")}
PLAIN = {"name": "arm #1", "rate": 30.0, "camera": {"size": {"height": 96}, "topic": "a/b"},
         "none": None, "low": [-1.0, "???"],
         "outputs": [{"type": "twist", "channels": {"x": {"to": "y"}}}],
         "names": [f"joint_{i}" for i in range(20)]}


def test_values_come_back_and_lines_are_short():
    text = commented_yaml(TREE, ["of a test"])
    assert yaml.safe_load(text) == PLAIN
    assert text.startswith("# of a test\n") and "# measured" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_open_lines_have_their_number_key_and_question():
    text = commented_yaml(TREE)
    name, low = open_lines(text)
    assert (name.number, name.question, name.key) == (1, "a name", "")
    assert (low.question, low.key) == ("which?", "low.1")
    assert text.splitlines()[low.number - 1].strip().startswith("- ???")
    assert open_lines("a: 1  # done\nb: 'x # TODO: no comment'\n") == []


def test_a_question_may_stand_above_its_line():
    long = "which unit " * 12
    (line,) = open_lines(commented_yaml({"a": {"unit": Noted(PLACEHOLDER, f"TODO: {long}")}}))
    assert line.key == "a.unit" and line.question == long.strip()


def test_a_placeholder_is_refused_with_its_question(tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("a: {b: 1}\nc: ???  # TODO: how long?\nd: [1, '???']\n???: 3\n")
    with pytest.raises(InputError) as err:
        refuse_placeholders(file)
    for words in (str(file), "line 2", "'c'", "how long?", "3, 4"):
        assert words in str(err.value)
    file.write_text("a: what???  # ???\n")
    refuse_placeholders(file)
