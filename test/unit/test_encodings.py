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

"""No text file depends on the locale of the machine: every one names its encoding."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = ("text", "universal_newlines")


def names_no_encoding(call: ast.Call) -> bool:
    """Whether a call opens text, or reads that of a process, in the encoding of the locale."""
    keywords = {k.arg: k.value for k in call.keywords}
    if "encoding" in keywords:
        return False
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in ("read_text", "write_text"):
        return len(call.args) < (1 if name == "read_text" else 2)
    if any(getattr(keywords.get(key), "value", None) is True for key in TEXT):
        return True
    if name != "open" or getattr(getattr(function, "value", None), "id", "") == "av":
        return False
    # open(path, mode) and path.open(mode); a mode without "b" is text.
    modes = [a.value for a in (*call.args[:2], keywords.get("mode"))
             if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    is_mode = [m for m in modes if set(m) <= set("rwaxbt+")]
    return bool(is_mode) and "b" not in is_mode[-1]


def test_the_check_sees_what_it_looks_for():
    for text in ("p.read_text()", "p.write_text(t)", "p.open('w')", "open(p, 'a')",
                 "run(c, text=True)"):
        assert names_no_encoding(ast.parse(text).body[0].value), text
    for text in ("p.read_text('utf-8')", "p.write_text(t, encoding='utf-8')", "p.open('rb')",
                 "open(p, 'wb')", "run(c, text=True, encoding='utf-8')", "av.open(p, 'w')"):
        assert not names_no_encoding(ast.parse(text).body[0].value), text


def test_every_text_file_names_its_encoding():
    files = [path for room in ("tinyvla_ros", "sim_bridge", "training", "scripts", "launch")
             for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    assert [f"{path.relative_to(ROOT)}:{node.lineno}" for path in files
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and names_no_encoding(node)] == []
