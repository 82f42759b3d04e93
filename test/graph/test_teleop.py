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

"""A person drives the dry-run arm with the real node; nothing that goes wrong moves it."""

from __future__ import annotations

import math
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from harness.arm_descriptions import urdf
from harness.teleop_rig import (
    AXES,
    DEAD_MAN,
    DISCARD,
    FAILURE,
    MODE,
    NEXT,
    START,
    SUCCESS,
    TeleopRig,
)
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.nodes.shared.runner import LATCHED

pytestmark = pytest.mark.alone

PAN, LIFT = 0, 1  # axes of the gamepad, and the joints that they move


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An SO-101 and a person with a gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("joy"), reset_s=0.1, episodes=3,
                   instruction="pick up the block", reset_service="new_scene") as rig:
        yield rig


@pytest.fixture(scope="module")
def led(tmp_path_factory):
    """An SO-101 and a leader arm, whose dead man is on the gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("leader"), input="leader") as rig:
        rig.leader = dict(rig.state)
        yield rig


def move(rig: TeleopRig, axis: int = PAN, value: float = 1.0) -> None:
    """Move a joint by a good person, towards the middle of its range."""
    if abs(rig.position[axis] + 0.2 * value) > 1.5:
        value = -value
    before = rig.position
    while abs(rig.position[axis] - before[axis]) < 0.02:
        rig.engage()
        rig.push(axis, value)
        rig.wait(lambda: abs(rig.position[axis] - before[axis]) > 0.02 or rig.must_release,
                 "motion")
    assert not rig.wrong


def lead(rig: TeleopRig, joint: str = "shoulder_pan") -> None:
    """Move a joint by a good leader."""
    rig.let_go()
    rig.leader = dict(rig.state)
    rig.engage()
    rig.wait(lambda: rig.values.get("aligned") == "true", "alignment")
    before = rig.state[joint]
    sign = -1.0 if before > 0 else 1.0
    for _ in range(30):
        rig.leader[joint] += sign * 0.01
        rig.until_sent(1)
    rig.wait(lambda: abs(rig.state[joint] - before) > 0.1, "motion")
    assert not rig.wrong


def wait_held(rig: TeleopRig, since_s: float) -> None:
    """Wait for a hold after a time, and that nothing moves the arm after it."""
    rig.wait(lambda: rig.commands[-1].is_hold and rig.commands[-1].time_s > since_s, "a hold")
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


# ---- driving ------------------------------------------------------------------------------


@pytest.mark.parametrize("robot", ["so101", "ur5e"])
def test_an_axis_moves_its_joint_and_a_release_holds_the_arm(robot, tmp_path):
    with TeleopRig(tmp_path, robot) as rig:
        rig.engage()
        start = rig.position
        rig.push(PAN, 1.0)
        rig.wait(lambda: rig.position[0] - start[0] > 0.1, "motion")
        assert np.abs((rig.position - start)[1:]).max() < 1e-6
        assert np.median([c.speed for c in rig.commands]) < 0.25 * 1.1  # the parameter speed
        assert "human" in rig.commanders
        released_s = time.monotonic()
        rig.release(DEAD_MAN)
        wait_held(rig, released_s)
        assert "hold button 10 of the gamepad" in rig.status
        rig.wait(lambda: rig.commanders[-1] == "", "the end of the command")
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
        rig.tap(MODE)
        rig.wait(lambda: rig.values["mode"] == "end_effector", "the mode")
        rig.engage()
        start = rig.position
        rig.push(0, 1.0)  # left
        rig.wait(lambda: np.abs(rig.position - start).max() > 0.05, "motion")
        assert not rig.wrong
        settled(rig)
    finally:
        if rig.values["mode"] != "joints":
            rig.tap(MODE)
        rig.node.destroy_publisher(publisher)
    rig.wait(lambda: rig.values["mode"] == "joints", "the mode")


def test_a_follower_goes_slowly_to_its_leader_and_then_follows(led):
    settled(led)
    led.leader = dict(led.state)
    led.leader["elbow_flex"] += 1.0 if led.state["elbow_flex"] < 0 else -1.0
    first = len(led.commands)
    led.engage()
    led.wait(lambda: led.values.get("aligned") == "true", "alignment")
    # The parameter align_speed; a busy machine may make up for a late command.
    assert np.median([c.speed for c in led.commands[first:]]) < 0.15 * 1.1
    lead(led, "wrist_roll")
    assert not led.wrong
    settled(led)


# ---- everything that may go wrong ---------------------------------------------------------


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


BY_JOY = [
    Wrong("axis is NaN", axis(math.nan), "Axis 1 is nan"),
    Wrong("axis is infinite", axis(math.inf), "Axis 1 is inf"),
    Wrong("axis is minus infinite", axis(-math.inf), "Axis 1 is -inf"),
    Wrong("axis is huge", axis(1e30), r"Axis 1 is 1e\+30"),
    Wrong("too few axes", joy(set_field("axes", [0.0, 1.0])), "2 axes"),
    Wrong("another number of axes", joy(set_field("axes", [1.0] * (AXES + 2))), "8 axes"),
    Wrong("too few buttons", joy(set_field("buttons", [1] * 5)), "5 buttons"),
    Wrong("empty message", joy(lambda m: (set_field("axes", [])(m), set_field("buttons", [])(m))),
          "0 axes"),
    Wrong("button is no button", joy(lambda m: m.buttons.__setitem__(2, -7)), "Button 2 is -7"),
    Wrong("unplugged", silent(), "joy is stale"),
    Wrong("frozen driver", frozen(), "joy is stale|s old"),
    Wrong("stale stamps", shifted(-5.0), "5.0"),
    Wrong("stamps of the future", shifted(5.0), "in the future"),
    Wrong("no stamps", unstamped(), "stamp is 0 s"),
    Wrong("two gamepads", *(lambda b, e: (b, "joy has several publishers", e))(
        *second(Joy, "joy"))),
    Wrong("the joint states stop", stopped_arm, "joint_states|s old", continued_arm),
    Wrong("released", lambda rig: rig.release(DEAD_MAN), "the dead man is released"),
]
BY_LEADER = [
    Wrong("leader is NaN", position(2, math.nan), "nan"),
    Wrong("leader is infinite", position(0, math.inf), "inf"),
    Wrong("leader lacks a joint", leader(lambda m: (m.name.pop(), m.position.pop())),
          "has no joint"),
    Wrong("leader has more names than positions", leader(lambda m: m.position.pop()),
          "names and"),
    Wrong("leader names a joint twice", leader(lambda m: (
        m.name.append(m.name[0]), m.position.append(1.0))), "twice"),
    Wrong("leader says nothing", leader(lambda m: (set_field("name", [])(m),
                                                   set_field("position", [])(m))), "no joint"),
    Wrong("leader is unplugged", silent("leader_joy"), "leader/joint_states is stale"),
    Wrong("leader is frozen", frozen("leader_joy"), "leader/joint_states is stale|s old"),
    Wrong("leader's stamps are stale", shifted(-5.0, "leader_joy"), "5.0"),
    Wrong("leader's stamps are of the future", shifted(5.0, "leader_joy"), "in the future"),
    Wrong("leader has no stamps", unstamped("leader_joy"), "stamp is 0 s"),
    Wrong("leader jumps", jumped, "jumped by"),
    Wrong("two leaders", *(lambda b, e: (b, "leader/joint_states has several publishers", e))(
        *second(JointState, "leader/joint_states"))),
    Wrong("the dead man is released", lambda rig: rig.release(DEAD_MAN),
          "the dead man is released"),
]


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
            rig.wait(lambda: rig.commands[-1].is_hold, "a hold")
        else:
            wait_held(rig, begun_s)
    finally:
        wrong.end(rig)
    assert not rig.wrong
    settled(rig)
    go(rig)
    settled(rig)


@pytest.mark.parametrize("wrong", BY_JOY, ids=lambda w: w.name)
def test_a_gamepad_that_goes_wrong_holds_the_arm(rig, wrong):
    check(rig, wrong, move)


@pytest.mark.parametrize("wrong", BY_LEADER, ids=lambda w: w.name)
def test_a_leader_that_goes_wrong_holds_the_arm(led, wrong):
    check(led, wrong, lead)


def still(rig: TeleopRig, act: Callable[[], None]) -> None:
    """Something that must not move the arm."""
    rig.wait_rest()
    place = rig.position
    act()
    rig.until_sent(20)
    assert np.abs(rig.position - place).max() < 1e-3
    assert not rig.wrong


def test_a_gamepad_that_is_plugged_in_again_with_everything_pressed_moves_nothing(rig):
    settled(rig)
    move(rig)
    rig.joy = lambda msg: []
    rig.wait_status("stale")
    rig.wait_rest()

    def plug_in():
        rig.joy = lambda msg: [msg]
        rig.wait_status("release it first")
    still(rig, plug_in)
    settled(rig)


def test_an_axis_that_is_deflected_at_engagement_moves_nothing(rig):
    settled(rig)
    rig.push(PAN, 0.9)
    rig.until_sent(5)

    def press():
        rig.press(DEAD_MAN)
        rig.wait_status("running")
        rig.wait(lambda: "axis 0" in rig.values["stuck"], "the hint")
    still(rig, press)
    rig.push(PAN, 0.0)
    rig.until_sent(3)
    before = rig.position[0]
    rig.push(PAN, -0.9 if before > 0 else 0.9)
    rig.wait(lambda: abs(rig.position[0] - before) > 0.02, "motion after it was at rest")
    settled(rig)


def test_a_button_that_is_stuck_at_engagement_moves_nothing(rig):
    settled(rig)
    rig.press(0)  # opens the gripper
    rig.until_sent(5)
    still(rig, lambda: (rig.press(DEAD_MAN), rig.wait_status("running")))
    settled(rig)


def test_switching_the_mode_during_motion_stops_it_until_the_stick_was_at_rest(rig):
    pytest.importorskip("mink", reason="needs the extra teleop")
    publisher = rig.node.create_publisher(String, "robot_description", LATCHED)
    try:
        publisher.publish(String(data=urdf()))
        rig.wait(lambda: "end_effector" in rig.values.get("modes", ""), "the kinematics")
        move(rig)
        rig.tap(MODE)
        rig.wait(lambda: rig.values["mode"] == "end_effector", "the mode")
        rig.wait_still()
        place = rig.position
        rig.until_sent(15)
        assert np.abs(rig.position - place).max() < 2e-3
        assert not rig.wrong
    finally:
        settled(rig)
        if rig.values["mode"] != "joints":
            rig.tap(MODE)
            rig.wait(lambda: rig.values["mode"] == "joints", "the mode")
        rig.node.destroy_publisher(publisher)


def test_every_button_at_once_moves_nothing_out_of_the_limits(rig):
    settled(rig)
    rig.engage()
    for value in (1.0, -1.0, 0.37):
        for number in range(AXES):
            rig.axes[number] = value
        rig.until_sent(25)
    assert not rig.wrong
    settled(rig)


def test_a_leader_out_of_range_is_followed_to_the_end_of_the_range(led):
    settled(led)
    led.leader = dict(led.state)
    led.engage()
    led.wait(lambda: led.values.get("aligned") == "true", "alignment")
    while led.leader["wrist_roll"] < led.high[4] + 0.3:
        led.leader["wrist_roll"] += 0.03
        led.until_sent(1)
    led.wait(lambda: led.position[4] > led.high[4] - 2e-3, "the end of the range")
    led.until_sent(10)
    assert not led.wrong and led.position[4] <= led.high[4] + 1e-6
    settled(led)


def test_a_leader_with_joints_of_others_is_followed(led):
    def more(msg):
        msg.name += ["wheel", "mirror"]
        msg.position.extend([math.nan, 1e9])
        return [msg]
    settled(led)
    led.leader = dict(led.state)
    led.engage()
    led.leader_joy = more
    led.until_sent(3)
    before = led.state["wrist_flex"]
    for _ in range(20):
        led.leader["wrist_flex"] += -0.01 if before > 0 else 0.01
        led.until_sent(1)
    led.wait(lambda: abs(led.state["wrist_flex"] - before) > 0.1, "motion")
    assert not led.wrong
    settled(led)


@pytest.mark.parametrize("buttons", [[DEAD_MAN], [0, DEAD_MAN, 3]], ids=["dead man", "several"])
def test_buttons_that_are_held_at_the_start_move_nothing(tmp_path, buttons):
    rig = TeleopRig(tmp_path)
    rig.press(*buttons)
    rig.push(PAN, 1.0)
    with rig:
        rig.wait_status("release it first")
        still(rig, lambda: None)
        assert not rig.commands
        assert not rig.events
        move(rig)


def test_a_policy_that_commands_the_same_arm_holds_it(rig):
    from harness.teleop_rig import JointTrajectory
    settled(rig)
    move(rig)
    begun_s = time.monotonic()
    rival = rig.node.create_publisher(JointTrajectory, rig.contract.outputs[0].topic, 10)
    try:
        rig.wait_status("may command")
        wait_held(rig, begun_s)
    finally:
        rig.node.destroy_publisher(rival)
    settled(rig)
    move(rig)
    settled(rig)


def test_a_leader_without_a_gamepad_is_engaged_by_the_service(tmp_path):
    with TeleopRig(tmp_path, input="leader", mapping="") as rig:
        rig.leader = dict(rig.state)
        rig.wait_status("disabled")
        still(rig, lambda: rig.leader.update(elbow_flex=rig.state["elbow_flex"] + 0.3))
        assert rig.call("enable", SetBool.Request(data=True)).success
        rig.wait(lambda: rig.values.get("aligned") == "true", "alignment")
        released_s = time.monotonic()
        rig.leader["elbow_flex"] -= 0.3
        rig.until_sent(1)
        assert rig.call("enable", SetBool.Request(data=False)).success
        wait_held(rig, released_s)
        assert not rig.wrong


@pytest.fixture
def terminal(tmp_path):
    """``tinyvla teleop --input keyboard`` in a terminal, with the arm that it drives."""
    ours, its = pty.openpty()
    with TeleopRig(tmp_path, starts_node=False) as rig:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinyvla_ros.cli", "teleop", "--robot", str(rig.path),
             "--input", "keyboard", "--namespace", rig.namespace], stdin=its,
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
        rig.processes["tinyvla teleop"] = process
        rig.wait(lambda: rig.state and "dead man is released" in rig.status, "the node")
        yield rig, ours, process
    os.close(ours)
    os.close(its)


def hold_key(rig: TeleopRig, terminal: int, key: bytes, until: Callable[[], object]) -> None:
    """Hold a key down, as a terminal repeats it."""
    deadline = time.monotonic() + 60.0
    while not until():
        assert time.monotonic() < deadline, rig.status
        os.write(terminal, key)
        time.sleep(0.03)


def test_keys_of_a_terminal_move_the_arm_while_they_are_held(terminal):
    rig, keys, process = terminal
    assert not termios.tcgetattr(keys)[3] & termios.ECHO
    place = rig.position
    os.write(keys, b"qqq")
    rig.until_sent(20)
    assert np.abs(rig.position - place).max() < 1e-3  # the dead man is off
    os.write(keys, b" ")
    rig.wait_status("running")
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
    os.write(keys, b" ")
    rig.wait_status("running")
    killed_s = time.monotonic()
    del rig.processes["tinyvla teleop"]
    process.send_signal(signal.SIGKILL)  # its node ends with it, and brings the arm to rest
    wait_held(rig, killed_s)


# ---- demonstrations -----------------------------------------------------------------------


def test_demonstrations_are_recorded_one_after_the_other(rig):
    settled(rig)
    rig.events.clear()

    def tap(button: int, text: str) -> None:
        rig.tap(button)
        rig.wait(lambda: text in rig.values["message"], text)

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
        rig.tap(START)
        move(rig)
        rig.press(SUCCESS)
        rig.wait(lambda: rig.resets == 1, "the new scene")
        rig.wait_status("release it first")
        still(rig, lambda: None)
        move(rig)


