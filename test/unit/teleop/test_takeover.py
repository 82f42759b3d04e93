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

"""Who has the arm, whatever the person's device does."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.mapping import Mapping
from tinyvla_ros.teleop.takeover import TakeoverSwitch

TIMEOUT_S = 0.2


class Person:
    """Somebody with a gamepad of one axis and one button, beside a policy."""

    def __init__(self):
        mapping = parse(Mapping, {"name": "device", "dead_man": 0, "joints": {1: {"axis": 0}}},
                        "device")
        self.joystick = Joystick(mapping, "/joy", TIMEOUT_S)
        self.begun = 0
        self.switch = TakeoverSwitch(self.joystick, self.joystick.problem, self._begin)
        self.now_s = 100.0

    def _begin(self) -> None:
        self.begun += 1

    def send(self, held: int, axis: float = 0.0) -> str:
        """Send a message; return who has the arm."""
        self.now_s += 0.05
        with suppress(MessageError):
            self.joystick.receive([axis], [held], round(self.now_s * 1e9), self.now_s)
        return self.wait(0.0)

    def wait(self, seconds: float) -> str:
        """Send nothing for a while; return who has the arm."""
        self.now_s += seconds
        self.switch.tick(self.now_s)
        if not self.switch.drives:
            return "policy"
        return "nobody" if self.switch.problem else "human"


def silent(person: Person) -> None:
    person.wait(TIMEOUT_S + 0.1)


def nonsense(person: Person) -> None:
    person.send(1, axis=float("nan"))


def test_a_dead_man_takes_the_arm_and_gives_it_back():
    person = Person()
    assert [person.send(held) for held in (0, 1, 1, 0, 0, 1)] == [
        "policy", "human", "human", "policy", "policy", "human"]
    assert person.begun == person.switch.count == 2


def test_a_device_that_was_never_there_leaves_the_arm_to_the_policy():
    person = Person()
    assert person.wait(10.0) == "policy"
    assert person.send(1) == "policy", "it was not seen released"
    silent(person)
    nonsense(person)
    assert person.wait(0.0) == "policy"


@pytest.mark.parametrize("lose", [silent, nonsense])
def test_a_device_that_is_lost_leaves_the_arm_to_nobody(lose):
    person = Person()
    person.send(0)
    assert person.send(1) == "human"
    lose(person)
    assert person.wait(0.0) == "nobody"
    assert "was lost" in person.switch.problem
    assert person.send(1) == "nobody", "it was pressed before it came back"
    assert person.send(0) == "nobody", "the page that comes back says that, too"
    assert person.send(1) == "human"
    assert person.begun == 2, "the motion begins anew"
    assert person.send(0) == "policy"


@pytest.mark.parametrize("lose", [silent, nonsense])
def test_somebody_may_give_the_arm_of_a_lost_person_to_the_policy(lose):
    person = Person()
    person.send(0)
    person.send(1)
    person.switch.forget()
    assert person.wait(0.0) == "human", "nobody takes the arm from a person who holds the dead man"
    lose(person)
    person.switch.forget()
    assert person.wait(0.0) == "policy"
