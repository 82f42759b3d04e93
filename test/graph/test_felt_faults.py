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

"""Faults of wrenches, vectors and efforts hold the arm, and the reason names the stream."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from geometry_msgs.msg import WrenchStamped

from harness.arm_rig import JOINTS, MessageFilters, Rig, feeling_robot
from harness.faults import shifted, unstamped

pytestmark = pytest.mark.alone


@dataclass(frozen=True)
class FeltFault:
    """Something that fails.

    Attributes:
        name: of the fault.
        stream: ``wrench``, ``vector`` or ``joints``, whose messages are changed.
        change: returns what to publish in place of a message.
        reason: words of a status of the node.
    """

    name: str
    stream: str
    change: Callable[[object], list]
    reason: tuple[str, ...]


def edit(change: Callable[[object], object]) -> Callable[[object], list]:
    def edited(msg) -> list:
        change(msg)
        return [msg]
    return edited


def force(value: float):
    return edit(lambda msg: setattr(msg.wrench.force, "y", value))


def data(*values: float):
    return edit(lambda msg: setattr(msg, "data", list(values)))


def effort(*values: float):
    return edit(lambda msg: setattr(msg, "effort", list(values)))


STALE_WRENCH = ("wrench/hand is stale", "0.06 s")
EFFORT = f"effort of joint '{JOINTS[2]}'"
FAULTS = [
    FeltFault("wrench dies", "wrench", lambda msg: [], STALE_WRENCH),
    FeltFault("wrench is NaN", "wrench", force(math.nan), ("wrench", "'hand_fy' is nan")),
    FeltFault("wrench is infinite", "wrench", force(math.inf), ("wrench", "'hand_fy' is inf")),
    FeltFault("wrench is unstamped", "wrench", unstamped, ("wrench", "stamp is 0 s")),
    FeltFault("wrench is old", "wrench", shifted(-0.5), ("wrench", "s old when it comes")),
    FeltFault("wrench of the future", "wrench", shifted(5.0), ("wrench", "in the future")),
    # A clock that was set back: everything before is forgotten.
    FeltFault("stamps of the wrench go back", "wrench", shifted(-0.1), ("waiting for camera",)),
    FeltFault("vector dies", "vector", lambda msg: [], ("vector/tip is stale",)),
    FeltFault("vector is NaN", "vector", data(0.0, math.nan), ("tactile", "'tip_1' is nan")),
    FeltFault("vector is too long", "vector", data(0.0, 0.0, 0.0), (
        "tactile", "3 numbers", "names 2 (tip_0, tip_1)")),
    FeltFault("vector is empty", "vector", data(), ("tactile", "0 numbers")),
    FeltFault("effort is NaN", "joints", effort(0.0, 0.0, math.nan, 0.0, 0.0, 0.0), (
        "joint_states", EFFORT, "nan")),
    FeltFault("efforts are too few", "joints", effort(0.0), (
        "joint_states", "6 names and 1 efforts")),
    FeltFault("efforts are missing", "joints", effort(), ("joint_states is stale",)),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm that feels, driven by a policy node in its own process."""
    with Rig(tmp_path_factory.mktemp("rig"), contract=feeling_robot()) as rig:
        rig.start()
        yield rig
        rig.filters = MessageFilters()


def said(rig: Rig, words: tuple[str, ...]) -> bool:
    return any(all(w in status for w in words) for status in rig.statuses)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_arm_holds_names_the_stream_and_moves_again(rig, fault):
    rig.wait_running()
    begun = len(rig.commands)
    rig.statuses.clear()
    setattr(rig.filters, fault.stream, fault.change)
    try:
        rig.wait(lambda: said(rig, fault.reason), f"{fault.reason}")
        rig.wait(lambda: any(c.is_hold for c in rig.commands[begun:]), "a hold")
    finally:
        rig.filters = MessageFilters()
    rig.wait_running()
    assert [c.wrong for c in rig.commands[begun:] if c.wrong] == []


def test_what_the_policy_does_not_use_may_be_wrong(rig):
    """The efforts of other joints, and the velocities."""
    rig.wait_running()
    rig.filters.joints = lambda msg: edit(lambda m: setattr(m, "velocity", [math.nan] * 6))(
        *effort(math.nan, math.inf, 0.1, math.nan, 0.0, 0.0)(msg))
    begun = time.monotonic()
    rig.wait(lambda: sum(not c.is_hold for c in rig.since(begun)) >= 15, "chunks")
    rig.filters = MessageFilters()


def test_two_wrenches_on_a_topic_hold_the_arm(rig):
    rig.wait_running()
    begun = len(rig.commands)
    rig.statuses.clear()
    second = rig.node.create_publisher(WrenchStamped, "wrench", 5)

    def both(msg):
        second.publish(msg)
        return [msg]

    rig.filters.wrench = both
    try:
        rig.wait(lambda: said(rig, ("wrench has several publishers: /rig, /rig",)), "the reason")
        rig.wait(lambda: any(c.is_hold for c in rig.commands[begun:]), "a hold")
    finally:
        rig.filters = MessageFilters()
        rig.node.destroy_publisher(second)
    rig.wait_running()


def test_diagnostics_have_age_and_rate_of_every_stream(rig):
    rig.wait_running()
    streams = ("camera/front", "camera/wrist", "joint_states", "wrench/hand", "vector/tip")
    rig.wait(lambda: all(float(rig.policy_values.get(f"rate_hz {s}", 0)) > 5 for s in streams),
             "rates")
