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

"""Events on the ``episode`` topic, from Python to a DiagnosticStatus and back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import Json

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent

NUMBERS = Json[tuple[float, ...]]


def test_what_is_written_is_read_back():
    event = EpisodeEvent.make(END, {
        "index": 3, "task": "push", "success": True, "return": 1.5, "latency_ms": [20.0, 30.5]})
    msg = SimpleNamespace()
    event.fill(msg, SimpleNamespace, "bridge: episode", "simulator")
    assert (msg.name, msg.message, msg.hardware_id) == ("bridge: episode", "end", "simulator")
    assert [(v.key, v.value) for v in msg.values] == [
        ("index", "3"), ("task", "push"), ("success", "True"), ("return", "1.5"),
        ("latency_ms", "[20.0, 30.5]")]
    read = EpisodeEvent.read(msg)
    assert read == event
    assert (read.value("index", int), read.value("task")) == (3, "push")
    assert read.value("success", bool) is True
    assert (read.value("return", float), read.value("latency_ms", NUMBERS)) == (1.5, (20.0, 30.5))


@pytest.mark.parametrize(("kind", "values", "outcome"), [
    (END, {"success": "True"}, "success"), (END, {"success": "false"}, "failure"),
    (END, {}, "unknown"), (END, {"success": "perhaps"}, "unknown"), (BEGIN, {}, "unknown"),
    (ABORT, {"success": "true"}, "aborted"), (ABORT, {"discard": "True"}, "discarded"),
    (ABORT, {"discard": "false"}, "aborted"), (END, {"discard": "true"}, "unknown")])
def test_outcomes(kind, values, outcome):
    assert EpisodeEvent(kind, values).outcome == outcome


@pytest.mark.parametrize(("name", "kind", "words"), [
    ("x", str, "'x'.*seed"), ("seed", int, "seed 'many'"), ("seed", float, "seed 'many'"),
    ("seed", bool, "seed 'many'"), ("seed", NUMBERS, "seed 'many'"),
    ("steps", NUMBERS, "steps '5'")])
def test_a_value_that_cannot_be_read_is_named(name, kind, words):
    with pytest.raises(MessageError, match=words):
        EpisodeEvent(END, {"seed": "many", "steps": "5"}).value(name, kind)
