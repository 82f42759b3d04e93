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

"""Tasks and paths in any language, on terminals and in locales that lack their letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from harness import bags, datasets
from tinyvla_ros.core.output import not_encodable
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

TASK = "推方块 schön"
# The last one is what Python takes LC_ALL=C for if it is told not to use UTF-8.
LOCALES = {"ascii": {"PYTHONIOENCODING": "ascii"}, "latin-1": {"PYTHONIOENCODING": "latin-1"},
           "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return datasets.write_dataset(tmp_path_factory.mktemp("words") / "demos", tasks=(TASK,) * 3)


def tinyvla(locale: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tinyvla_ros.cli", *map(str, arguments)], check=False,
        capture_output=True, env={**os.environ, **LOCALES[locale]})


@pytest.mark.parametrize("locale", LOCALES)
def test_a_task_in_another_language_is_printed_and_kept(dataset, tmp_path, locale):
    done = tinyvla(locale, "data", "check", dataset, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert b"\\u63a8\\u65b9\\u5757" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert TASK in json.dumps(report, ensure_ascii=False)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_bag_of_another_language_is_listed_or_the_locale_blamed(tmp_path, locale):
    bags.write(tmp_path / "bag", bags.lockstep(), bags.custom(instruction=TASK))
    done = tinyvla(locale, "bag", "info", tmp_path / "bag")
    assert done.returncode == (2 if locale == "C" else 0), done.stderr
    assert b"Traceback" not in done.stderr
    if locale == "C":
        assert b"LC_ALL" in done.stdout + done.stderr
        assert b"damaged" not in done.stdout + done.stderr


def test_names_that_no_parameter_can_hold_are_refused():
    name = os.fsdecode(b"/tmp/gr\xf6sse")  # of a file system from before UTF-8
    with pytest.raises(UnicodeEncodeError) as caught:
        node_command(NodeDescription("policy_node", {"checkpoint": name}))
    sentence = not_encodable(caught.value)
    assert r"\udcf6" in sentence and "rename" in sentence
