# SPDX-License-Identifier: Apache-2.0
"""Events on the ``episode`` topic, from Python to a DiagnosticStatus and back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tinyvla_ros.core.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.core.errors import MessageError


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
    assert (read.integer("index"), read.text("task"), read.flag("success")) == (3, "push", True)
    assert (read.real("return"), read.numbers("latency_ms")) == (1.5, (20.0, 30.5))


@pytest.mark.parametrize(("kind", "values", "outcome"), [
    (END, {"success": "True"}, "success"), (END, {"success": "false"}, "failure"),
    (END, {}, "unknown"), (END, {"success": "perhaps"}, "unknown"), (BEGIN, {}, "unknown"),
    (ABORT, {"success": "true"}, "aborted")])
def test_outcomes(kind, values, outcome):
    assert EpisodeEvent(kind, values).outcome == outcome


@pytest.mark.parametrize("read", [
    lambda e: e.text("x"), lambda e: e.integer("seed"), lambda e: e.real("seed"),
    lambda e: e.flag("seed"), lambda e: e.numbers("seed"), lambda e: e.numbers("steps")])
def test_a_value_that_cannot_be_read_is_named(read):
    with pytest.raises(MessageError, match=r"'x'.*seed|seed 'many'|steps '5'"):
        read(EpisodeEvent(END, {"seed": "many", "steps": "5"}))
