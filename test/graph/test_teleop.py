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

"""A person drives the dry-run arm with the real node: devices, terminal, demonstrations."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import numpy as np
import pytest
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from harness.arm_descriptions import urdf
from harness.left_over import popen
from harness.teleop_moves import PAN, move, settled, still, wait_held
from harness.teleop_rig import (
    DEAD_MAN,
    DISCARD,
    FAILURE,
    MODE,
    NEXT,
    START,
    SUCCESS,
    TeleopRig,
)
from tinyvla_ros.nodes.shared.runner import LATCHED


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An SO-101 and a person with a gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("joy"), reset_s=0.1, episodes=3,
                   instruction="pick up the block", reset_service="new_scene") as rig:
        yield rig


@pytest.mark.parametrize("robot", ["so101", "ur5e"])
def test_an_axis_moves_its_joint_and_a_release_holds_the_arm(robot, tmp_path):
    with TeleopRig(tmp_path, robot) as rig:
        start = rig.position
        move(rig, PAN, amount=0.1)
        assert np.abs((rig.position - start)[1:]).max() < 1e-6
        assert np.median([c.speed for c in rig.commands]) < 0.25 * 1.1  # the parameter speed
        assert "human" in rig.commanders
        released_s = time.monotonic()
        rig.release(DEAD_MAN)
        wait_held(rig, released_s)
        assert "hold button 10 of the gamepad" in rig.status
        rig.wait(lambda: rig.commander == "", "the end of the command")
        assert not rig.wrong
        assert "Traceback" not in rig.log()


def test_a_joint_stops_at_the_end_of_its_range(rig):
    settled(rig)
    rig.engage()
    rig.push(3, 1.0)  # the elbow
    rig.wait(lambda: rig.position[2] > rig.high[2] - 1e-3, "the end of the range")
    rig.until_sent(10)
    assert not rig.wrong and rig.position[2] <= rig.high[2] + 1e-6
    rig.push(3, -1.0)
    rig.wait(lambda: rig.position[2] < rig.high[2] - 0.2, "the way back")
    settled(rig)


def test_the_services_are_those_of_a_policy(rig):
    settled(rig)
    assert rig.call("enable", SetBool.Request(data=False)).success
    rig.press(DEAD_MAN)
    rig.wait_status("disabled by the operator")
    assert rig.call("stop", Trigger.Request()).success
    rig.wait_status("stopped by the operator")
    assert not rig.call("enable", SetBool.Request(data=True)).success
    assert rig.call("reset", Trigger.Request()).success
    assert rig.call("enable", SetBool.Request(data=True)).success
    move(rig)
    settled(rig)


def test_the_end_effector_moves_when_the_description_has_come(rig):
    pytest.importorskip("mink", reason="needs the extra teleop")
    settled(rig)
    publisher = rig.node.create_publisher(String, "robot_description", LATCHED)
    try:
        publisher.publish(String(data=urdf()))
        rig.wait(lambda: "end_effector" in rig.values.get("modes", ""), "the kinematics")
        rig.tap(MODE, lambda: rig.values["mode"] == "end_effector", "the mode")
        rig.engage()
        start = rig.position
        rig.push(0, 1.0)  # left
        rig.wait(lambda: np.abs(rig.position - start).max() > 0.05, "motion")
        assert not rig.wrong
        settled(rig)
    finally:
        if rig.values["mode"] != "joints":
            rig.tap(MODE, lambda: rig.values["mode"] == "joints", "the mode")
        rig.node.destroy_publisher(publisher)


@pytest.fixture
def terminal(tmp_path):
    """``tinyvla teleop --input keyboard`` in a terminal, with the arm that it drives."""
    ours, its = pty.openpty()
    with TeleopRig(tmp_path, starts_node=False) as rig:
        process = popen(
            [sys.executable, "-m", "tinyvla_ros.cli", "teleop", "--robot", str(rig.path),
             "--input", "keyboard", "--namespace", rig.namespace], stdin=its,
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        rig.processes["tinyvla teleop"] = process
        rig.wait(lambda: rig.state and "dead man is released" in rig.status, "the node")
        yield rig, ours, process
    os.close(ours)
    os.close(its)


def press_space(rig: TeleopRig, terminal: int) -> None:
    """Switch the dead man on, again where a pause of the machine swallowed the key."""
    while rig.status != "running":
        os.write(terminal, b" ")
        again_s = time.monotonic() + 3.0
        rig.wait(lambda end_s=again_s: rig.status == "running" or time.monotonic() > end_s,
                 "running")


def hold_key(rig: TeleopRig, terminal: int, key: bytes, until: Callable[[], object]) -> None:
    """Hold a key down, as a terminal repeats it."""
    deadline = time.monotonic() + 60.0
    while not until():
        assert time.monotonic() < deadline, rig.status
        press_space(rig, terminal)
        os.write(terminal, key)
        time.sleep(0.03)


def test_keys_of_a_terminal_move_the_arm_while_they_are_held(terminal):
    rig, keys, process = terminal
    assert not termios.tcgetattr(keys)[3] & termios.ECHO
    place = rig.position
    os.write(keys, b"qqq")
    rig.until_sent(20)
    assert np.abs(rig.position - place).max() < 1e-3  # the dead man is off
    press_space(rig, keys)
    hold_key(rig, keys, b"q", lambda: rig.position[0] - place[0] > 0.1)
    rig.wait_still()  # let go of: it stops although the dead man is on
    place = rig.position
    rig.until_sent(25)
    assert np.abs(rig.position - place).max() < 1e-3
    hold_key(rig, keys, b"a", lambda: place[0] - rig.position[0] > 0.05)
    escaped_s = time.monotonic()
    os.write(keys, b"\x1b")
    wait_held(rig, escaped_s)
    assert not rig.wrong
    del rig.processes["tinyvla teleop"]
    process.send_signal(signal.SIGINT)
    assert process.wait(30.0) == 130
    assert termios.tcgetattr(keys)[3] & termios.ECHO


def test_a_terminal_that_is_gone_holds_the_arm(terminal):
    rig, keys, process = terminal
    press_space(rig, keys)
    killed_s = time.monotonic()
    del rig.processes["tinyvla teleop"]
    process.send_signal(signal.SIGKILL)  # its node ends with it, and brings the arm to rest
    wait_held(rig, killed_s)


def test_demonstrations_are_recorded_one_after_the_other(rig):
    settled(rig)
    rig.events.clear()

    def tap(button: int, text: str) -> None:
        """Press until it has its effect, again if the arm's place was not known just then."""
        while True:
            said: list[str] = []  # the next message may follow at once

            def is_answered(said=said) -> bool:
                said.append(rig.values["message"])
                return text in said[-1] or "Not started" in said[-1]

            rig.press(button)
            rig.wait(is_answered, text)
            rig.until_sent(5)
            rig.release(button)
            rig.until_sent(5)
            if text in said[-1]:
                return

    def ready(number: int) -> None:
        rig.wait(lambda: f"Ready for demonstration {number} of 3" in rig.values["message"],
                 "the end of the pause")

    tap(SUCCESS, "ignored while waiting")
    tap(START, "Demonstration 1 of 3 is being recorded")
    move(rig)
    tap(SUCCESS, "kept as a success")
    ready(2)
    tap(START, "Demonstration 2 of 3")
    tap(DISCARD, "thrown away")
    ready(2)
    tap(START, "Demonstration 2 of 3")
    tap(FAILURE, "kept as a failure")
    ready(3)
    tap(NEXT, "Demonstration 3 of 3")
    tap(NEXT, "All 3 are recorded")
    tap(START, "All 3 demonstrations are recorded")
    rig.wait(lambda: len(rig.events) >= 8, "the events")
    assert [(e.kind, e.values["index"], e.outcome) for e in rig.events] == [
        ("begin", "0", "unknown"), ("end", "0", "success"),
        ("begin", "1", "unknown"), ("abort", "1", "discarded"),
        ("begin", "1", "unknown"), ("end", "1", "failure"),
        ("begin", "2", "unknown"), ("end", "2", "success")]
    assert rig.events[3].values["discard"] == "true"
    assert rig.resets == 3
    assert {(e.values["commander"], e.values["instruction"], e.values["total"])
            for e in rig.events} == {("human", "pick up the block", "3")}
    settled(rig)


def test_the_dead_man_must_be_pressed_again_for_a_new_scene(tmp_path):
    with TeleopRig(tmp_path, reset_service="new_scene", reset_s=0.1) as rig:
        rig.wait_status("the dead man is released")  # it hears the gamepad
        rig.tap(START, lambda: "being recorded" in rig.values["message"], "the demonstration")
        move(rig)
        rig.press(SUCCESS)
        rig.wait(lambda: rig.resets == 1, "the new scene")
        rig.wait_status("release it first")
        still(rig, lambda: None)
        move(rig)
