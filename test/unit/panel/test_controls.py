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

"""Who drives, and what becomes of a driver who is not heard of."""

from __future__ import annotations

import pytest

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.panel import joy_layout
from tinyvla_ros.panel.controls import OLDEST_VIEW_S, PRESS_S, RELEASE_S, Controls
from tinyvla_ros.panel.requests import read_request
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.mapping import DIRECTIONS, Mapping

TIMEOUT = 0.1
REST = (0.0,) * joy_layout.AXES


class Heard:
    """What the arm hears."""

    def __init__(self):
        self.joy, self.losses = [], 0

    def lose(self) -> None:
        self.losses += 1


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def controls(heard):
    return Controls(TIMEOUT, lambda axes, buttons: heard.joy.append((axes, buttons)), heard.lose)


def test_one_page_drives_and_the_others_watch(controls, heard):
    controls.take("a")
    with pytest.raises(InputError, match="Another page drives"):
        controls.take("b")
    for act in (lambda: controls.drive("b", True, REST, 0.0, 0.0), lambda: controls.check("b"),
                lambda: controls.press("b", "mode", 0.0)):
        with pytest.raises(InputError):
            act()
    controls.lost("b")
    controls.leave("b")
    assert controls.driver == "a"
    controls.leave("a")
    controls.take("b")
    assert controls.driver == "b" and not heard.losses


def test_nobody_drives_without_taking_the_controls(controls, heard):
    with pytest.raises(InputError, match="press Drive"):
        controls.drive(None, True, REST, 0.0, 0.0)
    controls.tick(0.0)
    assert not heard.joy and not heard.losses


def test_the_state_is_repeated_while_it_is_fresh_and_then_the_driver_is_lost_once(controls, heard):
    controls.take("a")
    controls.drive("a", True, REST, 0.0, 0.0)
    for tick in range(1, 6):
        controls.tick(0.02 * tick)
    assert len(heard.joy) == 6 and heard.joy[-1][1][joy_layout.DEAD_MAN] == 1
    for tick in range(6, 20):
        controls.tick(0.02 * tick)
    assert len(heard.joy) == 6 and heard.losses == 1


def test_who_was_lost_must_press_anew(controls, heard):
    """The arm reads only the newest message: one that says released would hide the loss."""
    controls.take("a")
    controls.drive("a", True, REST, 0.0, 0.0)
    controls.lost("a")
    for now_s, held in ((0.1, True), (0.2, False), (0.3, False)):
        controls.drive("a", held, REST, now_s, now_s)
    assert len(heard.joy) == 1 and heard.losses == 1
    controls.drive("a", True, REST, 0.4, 0.4)
    assert heard.joy[-1][1][joy_layout.DEAD_MAN] == 0, "first it is seen released"
    controls.drive("a", True, REST, 0.4 + RELEASE_S, 0.4 + RELEASE_S)
    assert heard.joy[-1][1][joy_layout.DEAD_MAN] == 1 and heard.losses == 1


@pytest.mark.parametrize("way", ["lost", "leave"])
def test_a_page_that_goes_while_it_holds_is_a_loss(controls, heard, way):
    controls.take("a")
    controls.drive("a", True, REST, 0.0, 0.0)
    getattr(controls, way)("a")
    assert heard.losses == 1
    controls.tick(0.01)
    assert len(heard.joy) == 1, "what was pressed is not repeated"


def test_a_page_that_goes_without_holding_gives_nothing_up(controls, heard):
    controls.take("a")
    controls.drive("a", False, REST, 0.0, 0.0)
    controls.leave("a")
    assert heard.losses == 0


def test_a_driver_who_sees_the_arm_late_is_lost(controls, heard):
    controls.take("a")
    controls.drive("a", True, REST, 10.0, 10.0)
    controls.drive("a", True, REST, 10.0, 10.05)
    assert heard.losses == 0
    controls.drive("a", True, REST, 10.0, 10.1 + TIMEOUT + OLDEST_VIEW_S)
    assert heard.losses == 1 and controls.is_lost
    sent = len(heard.joy)
    controls.drive("a", False, REST, 10.1, 10.8)
    assert len(heard.joy) == sent, "that is no release"


def test_a_press_is_refused_while_the_driver_is_lost(controls, heard):
    controls.take("a")
    controls.drive("a", True, REST, 0.0, 0.0)
    controls.lost("a")
    with pytest.raises(InputError, match="hold it anew"):
        controls.press("a", "discard", 0.1)


def test_a_press_lasts_for_some_messages(controls, heard):
    controls.take("a")
    controls.drive("a", False, REST, 0.0, 0.0)
    controls.press("a", "success", 0.0)
    controls.drive("a", False, REST, 0.01, 0.01)
    assert heard.joy[-1][1][joy_layout.SUCCESS] == 1
    controls.drive("a", False, REST, PRESS_S + 0.01, PRESS_S + 0.01)
    assert not any(heard.joy[-1][1])


def test_the_shipped_mapping_is_the_layout():
    mapping = Mapping.load("panel")
    assert mapping.dead_man == joy_layout.DEAD_MAN and mapping.mode == joy_layout.MODE
    assert [mapping.joints[str(i + 1)].axis for i in range(joy_layout.JOINTS)] == list(
        joy_layout.JOINT_AXES)
    assert [mapping.end_effector[d].axis for d in DIRECTIONS] == list(joy_layout.END_EFFECTOR_AXES)
    assert mapping.gripper.axis == joy_layout.GRIPPER_AXIS
    assert mapping.needed_axes == joy_layout.AXES
    for name in ("start", "success", "failure", "discard"):
        assert getattr(mapping.episode, name) == joy_layout.PRESSES[name]


def test_a_joystick_without_axes_is_a_device_that_is_gone():
    joystick = Joystick(Mapping.load("panel"), "/joy", 10.0)
    held = [1, *[0] * (len(joy_layout.BUTTONS) - 1)]
    joystick.receive(REST, [0] * len(held), 1, 0.0)
    joystick.receive(REST, held, 2, 0.02)
    assert not joystick.problem(0.02)
    with pytest.raises(InputError, match="gone"):
        joystick.receive((), (), 3, 0.04)
    assert "gone" in joystick.problem(0.04) and not joystick.is_released(0.04)


DRIVE = '{"do": "drive", "held": true, "heard": 1, "axes": [%s]}'


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", '{"do": "fly"}', '{"do": "drive"}', DRIVE % "0",
    '{"do": "stop", "more": 1}', '{"do": "instruct", "text": ""}',
    '{"do": "label", "what": "win"}', '{"do": "take", "id": -1}',
    DRIVE % ", ".join(["NaN"] * joy_layout.AXES), DRIVE % ", ".join(["2"] * joy_layout.AXES)])
def test_what_no_page_sends_is_one_sentence(text):
    with pytest.raises(InputError) as info:
        read_request(text)
    assert "\n" not in str(info.value)


def test_the_page_is_installed_with_the_package():
    from tinyvla_ros.panel import server
    folder = share_directory() / "tinyvla_ros" / "panel" / "page"
    assert folder.is_dir() is False or all((folder / f).is_file() for f in server.FILES.values())


def test_a_silent_page_is_noticed_when_its_time_is_over_and_not_at_the_tick_after(controls, heard):
    controls.take("a")
    controls.drive("a", True, REST, 0.0, now_s := 0.005)
    while not heard.losses:
        now_s += controls.due_s(now_s)
        controls.tick(now_s)
    assert now_s == pytest.approx(0.005 + TIMEOUT, abs=0.002)
    assert len(heard.joy) > TIMEOUT / 0.03, "meanwhile the state is repeated"
