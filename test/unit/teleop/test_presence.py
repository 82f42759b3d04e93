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


"""A device that is silent, and one whose messages were read late."""

from __future__ import annotations

import pytest

from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.mapping import Mapping
from tinyvla_ros.teleop.presence import Presence

TIMEOUT, PERIOD_NS = 0.06, 20_000_000


@pytest.fixture
def presence():
    presence = Presence(TIMEOUT)
    presence.hear(PERIOD_NS, 0.02)
    return presence


def test_nobody_is_missed_who_was_never_there():
    presence = Presence(TIMEOUT)
    assert not presence.is_known and not presence.miss(1e9)


def test_what_is_sent_after_a_silence_comes_back(presence):
    assert not presence.is_silent(0.08)
    assert presence.is_silent(0.12)
    assert presence.comes_back(6 * PERIOD_NS, 0.12)
    presence.hear(6 * PERIOD_NS, 0.12)
    assert not presence.comes_back(7 * PERIOD_NS, 0.14)


def test_messages_that_were_read_late_are_no_silence(presence):
    for number in range(2, 7):
        assert not presence.comes_back(number * PERIOD_NS, 0.12)
        presence.hear(number * PERIOD_NS, 0.12)


def test_who_was_missed_comes_back_whatever_the_stamps_say(presence):
    """Simulated time may be slow, and the clock of a driver may be set back."""
    assert presence.miss(0.12)
    assert presence.comes_back(PERIOD_NS + 1, 0.13)


def test_a_clock_that_was_set_back_during_a_silence_is_no_late_message(presence):
    assert presence.comes_back(1, 0.12)


def test_a_dead_man_counts_on_when_its_messages_are_read_late_and_not_after_a_loss():
    mapping = Mapping.load("game_controller")
    stick, axes = Joystick(mapping, "joy", TIMEOUT), [0.0] * mapping.needed_axes
    buttons = [0] * mapping.needed_buttons
    stick.receive(axes, buttons, 1, 0.0)
    buttons[mapping.dead_man] = 1
    stick.receive(axes, buttons, PERIOD_NS, 0.02)
    assert not stick.problem(0.02)
    for number in range(2, 7):  # all at once, by a process that was held up
        stick.receive(axes, buttons, number * PERIOD_NS, 0.12)
    assert not stick.problem(0.12)
    assert "stale" in stick.problem(0.2)
    stick.receive(axes, buttons, 10 * PERIOD_NS, 0.21)
    assert "release it first" in stick.problem(0.21)
