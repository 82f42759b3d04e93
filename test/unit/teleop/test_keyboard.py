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

"""Keys of a terminal: which count as held, and that nothing stays stuck."""

from __future__ import annotations

import pytest

from tinyvla_ros.teleop.keyboard import ALONE_S, HOLD_S, KEYS, NUMBERS, Keyboard
from tinyvla_ros.teleop.mapping import Mapping

NOW = 50.0
OTHER_EVENTS = [b"\x1b", b"z", b"\xff", "ü".encode(), b"\x1b[15~", b"\x00"]


def held(keyboard: Keyboard, now_s: float) -> set[str]:
    return {key for key, on in zip(KEYS, keyboard.buttons(now_s), strict=True) if on}


@pytest.fixture
def keyboard() -> Keyboard:
    keyboard = Keyboard()
    keyboard.type(b" ", NOW)
    assert keyboard.is_engaged(NOW)
    return keyboard


def test_a_key_is_held_for_a_moment_after_its_last_repeat(keyboard):
    for i in range(10):
        keyboard.type(b"w", NOW + 1 + 0.04 * i)
    last = NOW + 1 + 0.36
    assert held(keyboard, last + HOLD_S - 0.01) == {"space", "w"}
    assert held(keyboard, last + HOLD_S + 0.01) == {"space"}


def test_space_switches_on_and_off_at_once(keyboard):
    keyboard.type(b" ", NOW + 0.05)
    assert held(keyboard, NOW + 0.06) == set()
    keyboard.type(b" ", NOW + 1.0)
    assert keyboard.is_engaged(NOW + 1.0)


def test_a_space_bar_that_is_held_leaves_it_off(keyboard):
    for i in range(40):
        keyboard.type(b" ", NOW + 0.5 + 0.03 * i)
    assert not keyboard.is_engaged(NOW + 1.8)


@pytest.mark.parametrize("data", OTHER_EVENTS, ids=repr)
def test_anything_else_switches_off(keyboard, data):
    keyboard.type(data, NOW + 1.0)
    assert held(keyboard, NOW + 1.0) == set()


def test_keys_with_a_meaning_do_not_switch_off(keyboard):
    for key in set(KEYS) - {"space", "enter", "up", "down", "left", "right"}:
        keyboard.type(key.encode(), NOW + 1.0)
    keyboard.type(b"\x1b[A\x1b[B\x1b[C\x1b[D\r", NOW + 1.0)
    assert held(keyboard, NOW + 1.0) == set(KEYS)


def test_a_keyboard_that_is_left_alone_switches_off(keyboard):
    assert keyboard.is_engaged(NOW + ALONE_S - 0.1)
    assert not keyboard.is_engaged(NOW + ALONE_S + 0.1)
    keyboard.type(b"w", NOW + ALONE_S + 1.0)  # nor does a key bring it back
    assert not keyboard.is_engaged(NOW + ALONE_S + 1.0)


def test_nothing_is_held_after_release(keyboard):
    keyboard.type(b"w", NOW + 0.01)
    keyboard.release()
    assert held(keyboard, NOW + 0.02) == set()


def test_the_mapping_of_the_keyboard_names_its_keys():
    mapping = Mapping.load("keyboard")
    assert mapping.dead_man == NUMBERS["space"]
    assert mapping.mode == NUMBERS["m"]
    assert mapping.needed_buttons == len(KEYS) and mapping.needed_axes == 0
    assert [mapping.joints[str(i)].buttons for i in range(1, 8)] == [
        (NUMBERS[a], NUMBERS[b]) for a, b in ("qa", "ws", "ed", "rf", "tg", "yh", "uj")]
    ways = {"x": "ws", "y": "ad", "z": "rf", "roll": "uj", "pitch": "ik", "yaw": "qe"}
    assert {d: c.buttons for d, c in mapping.end_effector.items()} == {
        d: (NUMBERS[a], NUMBERS[b]) for d, (a, b) in ways.items()}
    assert mapping.episode.success == NUMBERS["up"] and mapping.episode.discard == NUMBERS["left"]
