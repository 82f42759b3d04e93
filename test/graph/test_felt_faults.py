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

import copy
import math
import time
from collections.abc import Callable

import pytest
from geometry_msgs.msg import WrenchStamped

from harness.arm_contract import JOINTS, SHARED, feeling_robot
from harness.arm_rig import MessageFilters, Rig
from harness.fault_outcomes import hold_or_pause
from harness.faults import Fault, shifted, unstamped


def felt(name: str, stream: str, change: Callable[[object], list], reason: tuple[str, ...]
         ) -> Fault:
    """Return the fault that changes messages, until a status of the node has the words.

    Args:
        name: of the fault.
        stream: ``wrench``, ``vector`` or ``joints``, whose messages are changed.
        change: returns what to publish in place of a message.
        reason: words of the status.
    """
    def begin(rig: Rig) -> float:
        rig.statuses.clear()
        first: list[float] = []

        def changed(msg) -> list:
            first.append(time.monotonic())
            return change(msg)

        setattr(rig.filters, stream, changed)
        rig.wait(lambda: said(rig, reason), f"{reason}")
        return first[0]
    return Fault(name, begin)


def set_back(seconds: float):
    """Return a change that publishes each message, and two more with stamps from before it."""
    def change(msg) -> list:
        before, and_again = copy.deepcopy(msg), copy.deepcopy(msg)
        return [msg, *shifted(-seconds)(before), *shifted(1e-3 - seconds)(and_again)]
    return change


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


STALE_WRENCH = ("wrench/hand is stale", f"{SHARED.states} s")
EFFORT = f"effort of joint '{JOINTS[2]}'"
FAULTS = [
    felt("wrench dies", "wrench", lambda msg: [], STALE_WRENCH),
    felt("wrench is NaN", "wrench", force(math.nan), ("wrench", "'hand_fy' is nan")),
    felt("wrench is infinite", "wrench", force(math.inf), ("wrench", "'hand_fy' is inf")),
    felt("wrench is unstamped", "wrench", unstamped, ("wrench", "stamp is 0 s")),
    felt("wrench is old", "wrench", shifted(-0.5), ("wrench", "s old when it comes")),
    felt("wrench of the future", "wrench", shifted(5.0), ("wrench", "in the future")),
    # A clock that is set back: everything before is forgotten, each time.
    felt("stamps of the wrench go back", "wrench", set_back(0.1), ("waiting for camera",)),
    felt("vector dies", "vector", lambda msg: [], ("vector/tip is stale",)),
    felt("vector is NaN", "vector", data(0.0, math.nan), ("tactile", "'tip_1' is nan")),
    felt("vector is too long", "vector", data(0.0, 0.0, 0.0), (
        "tactile", "3 numbers", "names 2 (tip_0, tip_1)")),
    felt("vector is empty", "vector", data(), ("tactile", "0 numbers")),
    felt("effort is NaN", "joints", effort(0.0, 0.0, math.nan, 0.0, 0.0, 0.0), (
        "joint_states", EFFORT, "nan")),
    felt("efforts are too few", "joints", effort(0.0), (
        "joint_states", "6 names and 1 efforts")),
    felt("efforts are missing", "joints", effort(), ("joint_states is stale",)),
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
    hold_or_pause(rig, fault)


def test_what_the_policy_does_not_use_may_be_wrong(rig):
    """The efforts of other joints, and the velocities."""
    rig.wait_running()
    rig.filters.joints = lambda msg: edit(lambda m: setattr(m, "velocity", [math.nan] * 6))(
        *effort(math.nan, math.inf, 0.1, math.nan, 0.0, 0.0)(msg))
    begun = time.monotonic()
    rig.wait(lambda: sum(not c.is_hold for c in rig.since(begun)) >= 15, "chunks")
    rig.filters = MessageFilters()


def test_two_wrenches_on_a_topic_hold_the_arm(rig):
    second = rig.node.create_publisher(WrenchStamped, "wrench", 5)

    def both(msg):
        second.publish(msg)
        return [msg]

    try:
        hold_or_pause(rig, felt("two wrenches", "wrench", both,
                                ("wrench has several publishers: /rig, /rig",)))
    finally:
        rig.node.destroy_publisher(second)
    rig.wait_running()


def test_diagnostics_have_age_and_rate_of_every_stream(rig):
    rig.wait_running()
    streams = ("camera/front", "camera/wrist", "joint_states", "wrench/hand", "vector/tip")
    rig.wait(lambda: all(float(rig.policy_values.get(f"rate_hz {s}", 0)) > 5 for s in streams),
             "rates")
