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

"""A gamepad: nothing moves but by a held dead man, and nothing that is stuck moves."""

from __future__ import annotations

import math

import pytest

from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.mapping import Control, Mapping

DEVICE = {"name": "device", "dead_man": 0, "mode": 1, "dead_zone": 0.1,
          "triggers": {2: {"rest": 1.0, "pressed": -1.0}},
          "joints": {1: {"axis": 0}, 2: {"axis": 1, "scale": -0.5}, 3: {"axis": 2},
                     4: {"plus": 2, "minus": 3}},
          "gripper": {"plus": 4, "minus": 5}, "episode": {"start": 6}, "stuck_after": 5.0}
SHIPPED = sorted(p.stem for p in (share_directory() / "config" / "teleop").glob("*.yaml"))


class Person:
    """Somebody with the device in hand, at 20 messages a second."""

    def __init__(self, **changes):
        self.mapping = parse(Mapping, DEVICE | changes, "device")
        self.joystick = Joystick(self.mapping, "/joy", 0.2)
        self.now_s, self.stamp_ns = 100.0, 1
        self.axes, self.buttons = [0.0, 0.0, 1.0], [0] * 7

    def send(self, seconds: float = 0.0, **values) -> list[str]:
        """Send messages for some seconds, at least one; values are ``a0`` and ``b0``."""
        for key, value in values.items():
            (self.axes if key[0] == "a" else self.buttons)[int(key[1:])] = value
        pressed, until = [], self.now_s + seconds
        while True:
            self.now_s, self.stamp_ns = self.now_s + 0.05, self.stamp_ns + 50_000_000
            pressed += self.joystick.receive(self.axes, self.buttons, self.stamp_ns, self.now_s)
            if self.now_s >= until:
                return pressed

    def engage(self) -> Person:
        self.send(b0=0)
        self.send(b0=1)
        assert not self.problem
        return self

    @property
    def problem(self) -> str:
        return self.joystick.problem(self.now_s)

    def joint(self, number: int) -> float:
        return self.joystick.deflection(self.mapping.joints[str(number)])


@pytest.fixture
def person() -> Person:
    return Person().engage()


def test_axes_and_buttons_move_joints_with_scale_and_dead_zone(person):
    person.send(a0=0.09, a1=1.0, b2=1)
    assert person.joint(1) == 0.0
    assert person.joint(2) == -0.5
    assert person.joint(4) == 1.0
    person.send(a0=0.55, b2=1, b3=1)
    assert person.joint(1) == pytest.approx(0.5)
    assert person.joint(4) == 0.0  # both directions


def test_nothing_moves_without_the_dead_man(person):
    person.send(a0=1.0)
    assert person.joint(1) == 1.0
    person.send(b0=0)
    assert person.joint(1) == 0.0
    assert "hold button 0 of the device" in person.problem


def test_a_dead_man_that_is_held_at_the_start_counts_when_it_was_released():
    person = Person()
    person.send(b0=1, a0=1.0)
    assert "release it first" in person.problem
    assert person.joint(1) == 0.0
    person.send(a0=0.0)
    person.engage()
    person.send(a0=1.0)
    assert person.joint(1) == 1.0


def test_what_is_deflected_at_engagement_counts_when_it_was_at_rest(person):
    person.send(b0=0, a0=0.8, b2=1)
    person.send(b0=1)
    assert not person.problem
    assert person.joint(1) == person.joint(4) == 0.0
    assert "axis 0" in person.joystick.stuck() and "button 2" in person.joystick.stuck()
    person.send(a0=0.9, a1=1.0)
    assert person.joint(1) == 0.0 and person.joint(2) == -0.5  # the others count
    person.send(a0=0.0, b2=0)
    person.send(a0=0.8, b2=1)
    assert person.joint(1) > 0.7 and person.joint(4) == 1.0


def test_an_axis_that_does_not_change_for_long_is_stuck(person):
    person.send(4.0, a0=0.7)
    assert person.joint(1) > 0.6
    person.send(2.0)
    assert person.joint(1) == 0.0
    person.send(a0=0.71)
    assert person.joint(1) == 0.0
    person.send(a0=0.0)
    person.send(a0=0.7)
    assert person.joint(1) > 0.6


@pytest.mark.parametrize("at_rest", [1.0, 0.0], ids=["rests at +1", "says 0 until moved"])
def test_a_trigger_at_rest_moves_nothing(at_rest):
    person = Person()
    person.axes[2] = at_rest
    person.engage()
    assert person.joint(3) == 0.0
    person.send(a2=0.9)
    person.send(a2=-1.0)
    assert person.joint(3) == 1.0
    person.send(a2=1.0)
    assert person.joint(3) == 0.0


def test_messages_that_stop_release_the_dead_man(person):
    person.send(a0=1.0)
    person.now_s += 0.21
    assert "stale" in person.problem
    person.send()  # it comes back with everything pressed
    assert "release it first" in person.problem
    assert person.joint(1) == 0.0


def test_a_repeated_message_is_none(person):
    for _ in range(10):
        person.now_s += 0.05
        person.joystick.receive(person.axes, person.buttons, person.stamp_ns, person.now_s)
    assert "stale" in person.problem


@pytest.mark.parametrize(("axes", "buttons", "names"), [
    ([math.nan, 0.0, 1.0], [1] + [0] * 6, ["Axis 0", "nan"]),
    ([0.0, math.inf, 1.0], [1] + [0] * 6, ["Axis 1", "inf"]),
    ([0.0, 1e9, 1.0], [1] + [0] * 6, ["Axis 1", "1e+09", "-1 to 1"]),
    ([0.0, 0.0], [1] + [0] * 6, ["2 axes", "3"]),
    ([], [], ["is gone"]),
    ([0.0, 0.0, 1.0], [1] + [0] * 2, ["3 buttons", "7"]),
    ([0.0, 0.0, 1.0, 0.0], [1] + [0] * 6, ["4 axes", "before had 3"]),
    ([0.0, 0.0, 1.0], [-3] + [0] * 6, ["Button 0", "-3"])])
def test_what_cannot_be_used_is_refused_and_releases_the_dead_man(person, axes, buttons, names):
    with pytest.raises(MessageError) as error:
        person.joystick.receive(axes, buttons, person.stamp_ns + 1, person.now_s)
    assert all(name in str(error.value) for name in names), error.value
    assert str(error.value) in person.problem
    person.send(a0=1.0)  # good again, and still pressed
    assert "release it first" in person.problem and person.joint(1) == 0.0


def test_buttons_report_when_they_go_down(person):
    assert person.send(b1=1, b6=1) == ["start", "mode"]
    assert person.send(0.3) == []
    person.send(b1=0, b6=0)
    assert person.send(b6=1) == ["start"]


def test_a_button_that_is_stuck_at_the_start_reports_nothing():
    person = Person()
    assert person.send(0.3, b6=1) == []


def test_a_lone_gripper_button_opens_and_closes_in_turn():
    person = Person(gripper={"plus": 4}).engage()
    signs = []
    for _ in range(3):
        person.send(b4=1)
        signs.append(person.joystick.gripper())
        person.send(b4=0)
        assert person.joystick.gripper() == 0.0
    assert signs == [1.0, -1.0, 1.0]


def test_after_another_meaning_a_control_counts_when_it_was_at_rest(person):
    person.send(a0=1.0)
    person.joystick.require_rest()
    assert person.joint(1) == 0.0


@pytest.mark.parametrize("name", SHIPPED)
def test_a_device_at_rest_moves_nothing(name):
    mapping = Mapping.load(name)
    joystick = Joystick(mapping, "/joy", 0.2)
    axes, buttons = [0.0] * mapping.needed_axes, [0] * mapping.needed_buttons
    for trigger, where in mapping.triggers.items():
        axes[trigger] = where.rest
    for stamp, held in enumerate((0, 1), 1):
        buttons[mapping.dead_man] = held
        joystick.receive(axes, buttons, stamp, 1.0)
    assert not joystick.problem(1.0)
    for place, control in mapping.controls():
        assert joystick.deflection(control) == 0.0, place
    assert joystick.gripper() == 0.0
    assert len(mapping.joints) >= 6 and len(mapping.end_effector) == 6


@pytest.mark.parametrize(("change", "names"), [
    ({"mode": 0}, ["button 0", "dead_man", "mode"]),
    ({"joints": {1: {}}}, ["axis", "plus"]),
    ({"joints": {1: {"axis": 0, "scale": 0}}}, ["scale 0"]),
    ({"joints": {1: {"axis": -1}}}, ["-1"]),
    ({"joints": {1: {"plus": 6}}}, ["button 6", "episode.start", "joints.1"]),
    ({"triggers": {2: {"rest": 1, "pressed": 1}}}, ["rest", "pressed"]),
    ({"end_effector": {"up": {"axis": 0}}}, ["up"]),
    ({"dead_zone": 0}, ["dead_zone"]),
    ({"deadman": 3}, ["deadman", "dead_man"])])
def test_a_mapping_that_cannot_be_used_is_refused(change, names):
    with pytest.raises(InputError) as error:
        parse(Mapping, DEVICE | change, "device.yaml")
    assert all(n in str(error.value) for n in names), error.value


def test_an_unknown_mapping_names_the_known_ones():
    with pytest.raises(InputError, match="xbox"):
        Mapping.load("xbx")
    with pytest.raises(InputError, match=r"nothing\.yaml"):
        Mapping.load("nothing.yaml")


def test_a_control_of_two_triggers_goes_both_ways():
    person = Person(triggers={1: {"rest": 0, "pressed": -1}, 2: {"rest": 0, "pressed": -1}},
                    joints={1: {"axis": 1, "minus_axis": 2}})
    person.axes = [0.0, 0.0, 0.0]
    person.engage()
    control = Control(axis=1, minus_axis=2)
    person.send(a1=-1.0)
    assert person.joystick.deflection(control) == 1.0
    person.send(a1=0.0, a2=-1.0)
    assert person.joystick.deflection(control) == -1.0
