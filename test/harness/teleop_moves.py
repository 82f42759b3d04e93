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

"""What a person does with a ``TeleopRig``: good motions, and waiting for what they lead to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.teleop_rig import TeleopRig

PAN, LIFT = 0, 1  # axes of the gamepad, and the joints that they move


def move(rig: TeleopRig, axis: int = PAN, value: float = 1.0, amount: float = 0.02) -> None:
    """Move a joint by a good person, towards the middle of its range, by so much, rad."""
    if abs(rig.position[axis] + 0.2 * value) > 1.5:
        value = -value
    before = rig.position
    while abs(rig.position[axis] - before[axis]) < amount:
        rig.engage()
        rig.push(axis, value)
        rig.wait(lambda: abs(rig.position[axis] - before[axis]) > amount
                 or rig.must_release, "motion")
    assert not rig.wrong


def lead(rig: TeleopRig, joint: str = "shoulder_pan") -> None:
    """Move a joint by a good leader, who engages again after a pause of the machine."""
    before = rig.state[joint]
    sign = -1.0 if before > 0 else 1.0
    while abs(rig.state[joint] - before) <= 0.1:
        rig.let_go()
        rig.leader = dict(rig.state)
        rig.engage()
        rig.wait(lambda: rig.values.get("aligned") == "true" or rig.status != "running",
                 "alignment")
        for _ in range(30):
            rig.leader[joint] += sign * 0.01
            rig.until_sent(1)
        rig.wait(lambda: abs(rig.state[joint] - before) > 0.1 or rig.status != "running",
                 "motion")
    assert not rig.wrong


def wait_held(rig: TeleopRig, since_s: float) -> None:
    """Wait for a hold after a time, and that nothing moves the arm after it.

    After a pause of the machine the arm may have been held before, and there is no other hold.
    """
    rig.wait(lambda: rig.is_held and (rig.commands[-1].time_s > since_s
                                      or "running" not in rig.status), "a hold")
    rig.wait_rest()
    place, count = rig.position, len(rig.commands)
    rig.until_sent(15)
    assert np.abs(rig.position - place).max() < 1e-3
    assert all(c.is_hold for c in rig.commands[count:])


def settled(rig: TeleopRig) -> None:
    """Release everything and let the arm come to rest."""
    rig.let_go()
    rig.wait(lambda: "running" not in rig.status, "the release")
    rig.wait_rest()


def still(rig: TeleopRig, act: Callable[[], None]) -> None:
    """Something that must not move the arm."""
    rig.wait_rest()
    place = rig.position
    act()
    rig.until_sent(20)
    assert np.abs(rig.position - place).max() < 1e-3
    assert not rig.wrong
