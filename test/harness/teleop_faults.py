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

"""What goes wrong with a gamepad, a leader arm or the arm while a person drives."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from sensor_msgs.msg import JointState, Joy

from harness.teleop_moves import LIFT, settled, wait_held
from harness.teleop_rig import TeleopRig
from tinyvla_ros.core.ros.messages import set_stamp


@dataclass(frozen=True)
class Wrong:
    """Something wrong with what a person sends, while the arm moves.

    Attributes:
        name: for the test.
        begin: breaks it.
        says: what the node's status must have, a regular expression.
        end: repairs it.
    """

    name: str
    begin: Callable[[TeleopRig], None]
    says: str
    end: Callable[[TeleopRig], None] = lambda rig: None


def joy(change: Callable[[Joy], object]) -> Callable[[TeleopRig], None]:
    """Change the messages of the gamepad; what the function returns is not looked at."""
    def begin(rig: TeleopRig) -> None:
        rig.joy = lambda msg: (change(msg), [msg])[1]
    return begin


def axis(value: float) -> Callable[[TeleopRig], None]:
    return joy(lambda msg: msg.axes.__setitem__(LIFT, value))


def shifted(seconds: float, name: str = "joy") -> Callable[[TeleopRig], None]:
    def begin(rig: TeleopRig) -> None:
        def change(msg):
            set_stamp(msg.header.stamp, rig.now_ns() + round(seconds * 1e9))
            return [msg]
        setattr(rig, name, change)
    return begin


def unstamped(name: str = "joy") -> Callable[[TeleopRig], None]:
    def begin(rig: TeleopRig) -> None:
        setattr(rig, name, lambda msg: (set_stamp(msg.header.stamp, 0), [msg])[1])
    return begin


def frozen(name: str = "joy") -> Callable[[TeleopRig], None]:
    def begin(rig: TeleopRig) -> None:
        kept: list = []
        setattr(rig, name, lambda msg: [(kept.append(msg), kept[0])[1]])
    return begin


def silent(name: str = "joy") -> Callable[[TeleopRig], None]:
    return lambda rig: setattr(rig, name, lambda msg: [])


def second(kind: type, topic: str) -> tuple[Callable, Callable]:
    """A second publisher, which says nothing."""
    made: list = []
    return (lambda rig: made.append(rig.node.create_publisher(kind, topic, 10)),
            lambda rig: rig.node.destroy_publisher(made.pop()))


def leader(change: Callable[[JointState], object]) -> Callable[[TeleopRig], None]:
    def begin(rig: TeleopRig) -> None:
        rig.leader_joy = lambda msg: (change(msg), [msg])[1]
    return begin


def position(index: int, value: float) -> Callable[[TeleopRig], None]:
    return leader(lambda msg: msg.position.__setitem__(index, value))


def jumped(rig: TeleopRig) -> None:
    place = rig.leader["wrist_roll"]
    rig.leader["wrist_roll"] = place + (1.2 if place < 0 else -1.2)


def stopped_arm(rig: TeleopRig) -> None:
    rig.signal("dry_run_arm_node", signal.SIGSTOP)


def continued_arm(rig: TeleopRig) -> None:
    rig.signal("dry_run_arm_node", signal.SIGCONT)


def set_field(name: str, value: object) -> Callable:
    return lambda msg: setattr(msg, name, value)


def check(rig: TeleopRig, wrong: Wrong, go: Callable[[TeleopRig], None]) -> None:
    """The arm moves, something is wrong, it holds and says why, and moves again after it."""
    settled(rig)
    go(rig)
    begun_s, before = time.monotonic(), len(rig.statuses)
    wrong.begin(rig)
    try:
        # Some are true for one message alone.
        rig.wait(lambda: any(re.search(wrong.says, s) for s in rig.statuses[before:]), wrong.says)
        if wrong.begin is stopped_arm:  # its place cannot be seen
            rig.wait(lambda: rig.is_held, "a hold")
        else:
            wait_held(rig, begun_s)
    finally:
        wrong.end(rig)
    assert not rig.wrong
    settled(rig)
    go(rig)
    settled(rig)
