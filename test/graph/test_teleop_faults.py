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

"""What a person sends may be wrong in many ways: nothing of it moves the arm."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from sensor_msgs.msg import Joy
from std_msgs.msg import String

from harness.arm_descriptions import urdf
from harness.teleop_faults import (
    Wrong,
    axis,
    check,
    continued_arm,
    frozen,
    joy,
    second,
    set_field,
    shifted,
    silent,
    stopped_arm,
    unstamped,
)
from harness.teleop_moves import PAN, move, settled, still, wait_held
from harness.teleop_rig import (
    AXES,
    DEAD_MAN,
    MODE,
    TeleopRig,
)
from tinyvla_ros.nodes.shared.runner import LATCHED


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An SO-101 and a person with a gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("joy"), reset_s=0.1, episodes=3,
                   instruction="pick up the block", reset_service="new_scene") as rig:
        yield rig


BY_JOY = [
    Wrong("axis is NaN", axis(math.nan), "Axis 1 is nan"),
    Wrong("axis is infinite", axis(math.inf), "Axis 1 is inf"),
    Wrong("axis is minus infinite", axis(-math.inf), "Axis 1 is -inf"),
    Wrong("axis is huge", axis(1e30), r"Axis 1 is 1e\+30"),
    Wrong("too few axes", joy(set_field("axes", [0.0, 1.0])), "2 axes"),
    Wrong("another number of axes", joy(set_field("axes", [1.0] * (AXES + 2))), "8 axes"),
    Wrong("too few buttons", joy(set_field("buttons", [1] * 5)), "5 buttons"),
    Wrong("empty message", joy(lambda m: (set_field("axes", [])(m), set_field("buttons", [])(m))),
          "is gone"),
    Wrong("button is no button", joy(lambda m: m.buttons.__setitem__(2, -7)), "Button 2 is -7"),
    Wrong("unplugged", silent(), "joy is stale"),
    Wrong("frozen driver", frozen(), "joy is stale|s old"),
    Wrong("stale stamps", shifted(-5.0), "s old when it comes"),
    Wrong("stamps of the future", shifted(5.0), "in the future"),
    Wrong("no stamps", unstamped(), "stamp is 0 s"),
    Wrong("two gamepads", *(lambda b, e: (b, "joy has several publishers", e))(
        *second(Joy, "joy"))),
    Wrong("the joint states stop", stopped_arm, "joint_states|s old", continued_arm),
    Wrong("released", lambda rig: rig.release(DEAD_MAN), "the dead man is released"),
]
@pytest.mark.parametrize("wrong", BY_JOY, ids=lambda w: w.name)
def test_a_gamepad_that_goes_wrong_holds_the_arm(rig, wrong):
    check(rig, wrong, move)


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


def press_again(rig: TeleopRig) -> None:
    """Press the dead man, whatever else is pressed; again after a pause of the machine."""
    while rig.status != "running":
        rig.release(DEAD_MAN)
        rig.until_sent(5)
        rig.press(DEAD_MAN)
        rig.wait(lambda: rig.status == "running" or rig.must_release, "running")


def settled_as_commanded(rig: TeleopRig) -> None:
    """Let the arm come to rest where it is commanded to be, even if it missed the last command."""
    settled(rig)
    rig.engage()
    settled(rig)


def test_an_axis_that_is_deflected_at_engagement_moves_nothing(rig):
    settled_as_commanded(rig)
    rig.push(PAN, 0.9)
    rig.until_sent(5)

    def press():
        press_again(rig)
        rig.wait(lambda: "axis 0" in rig.values["stuck"], "the hint")
    still(rig, press)
    rig.push(PAN, 0.0)
    rig.until_sent(3)
    before = rig.position[0]
    rig.push(PAN, -0.9 if before > 0 else 0.9)
    rig.wait(lambda: abs(rig.position[0] - before) > 0.02, "motion after it was at rest")
    settled(rig)


def test_a_button_that_is_stuck_at_engagement_moves_nothing(rig):
    settled_as_commanded(rig)
    rig.press(0)  # opens the gripper
    rig.until_sent(5)
    still(rig, lambda: press_again(rig))
    settled(rig)


def test_switching_the_mode_during_motion_stops_it_until_the_stick_was_at_rest(rig):
    pytest.importorskip("mink", reason="needs the extra teleop")
    publisher = rig.node.create_publisher(String, "robot_description", LATCHED)
    try:
        publisher.publish(String(data=urdf()))
        rig.wait(lambda: "end_effector" in rig.values.get("modes", ""), "the kinematics")
        move(rig)
        rig.tap(MODE, lambda: rig.values["mode"] == "end_effector", "the mode")
        rig.wait_still()
        place = rig.position
        rig.until_sent(15)
        assert np.abs(rig.position - place).max() < 2e-3
        assert not rig.wrong
    finally:
        settled(rig)
        if rig.values["mode"] != "joints":
            rig.tap(MODE, lambda: rig.values["mode"] == "joints", "the mode")
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
