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

"""A person drives the simulated MetaWorld arm: what moves there are increments of the hand."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import Joy
from std_msgs.msg import String

from harness.processes import Listener, Output, start_node, stop
from harness.teleop_rig import AXES, BUTTONS, DEAD_MAN
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.nodes.shared.runner import LATCHED

pytestmark = pytest.mark.simulator
FORWARD = 1  # axis: left stick up


class Person:
    """A gamepad in front of a simulated arm.

    Args:
        driver: the node that drives the arm.
    """

    def __init__(self, driver: str, **parameters):
        self.driver = driver
        self.processes = [
            start_node("sim_robot_node", task="reach-v3", seed=7),
            start_node(driver, robot=str(default_robot()), speed=0.5, **parameters,
                       input_timeout=5.0)]  # longer than a busy machine holds this process up
        self.outputs = [Output(p) for p in self.processes]
        self.probe = Listener()
        self.axes, self.buttons, self.places = [0.0] * AXES, [0] * BUTTONS, []
        self.sent = 0
        self.probe.node.create_subscription(PoseStamped, "ee_pose", self._on_pose, 10)
        self._joy = self.probe.node.create_publisher(Joy, "joy", 10)
        self.probe.node.create_timer(0.02, self._publish)

    def _on_pose(self, msg: PoseStamped) -> None:
        p = msg.pose.position
        self.places.append(np.array([p.x, p.y, p.z]))

    def _publish(self) -> None:
        self.sent += 1
        # No hand is quite still; a stick that is for long counts as stuck.
        axes = [0.99 * v if self.sent % 2 else v for v in self.axes]
        msg = Joy(axes=axes, buttons=self.buttons)
        set_stamp(msg.header.stamp, self.probe.node.get_clock().now().nanoseconds)
        self._joy.publish(msg)

    def wait(self, condition, what: str) -> None:
        self.probe.until(condition, what)

    def status(self) -> str:
        name = f"{self.driver}: {self.driver.removesuffix('_node')}"
        found = [s.message for s in self.probe.diagnostics if s.name == name]
        return found[-1] if found else ""

    def push(self, value: float, follows: str, condition) -> None:
        """Push the stick until a condition holds; after a pause of the machine, press again."""
        while not condition():
            if self.status() != follows:
                self.buttons[DEAD_MAN] = 0
                sent = self.sent
                self.wait(lambda least=sent + 5: self.sent > least, "messages")
                self.buttons[DEAD_MAN] = 1
                self.wait(lambda: self.status() == follows or "release it first" in self.status(),
                          "a node that follows")
            self.axes[FORWARD] = value if self.status() == follows else 0.0
            self.wait(lambda: condition() or self.status() != follows, "motion")
            self.axes[FORWARD] = 0.0

    def hold_still(self, within: float = 1e-4) -> np.ndarray:
        """Wait until the hand rests, within so many meters, and return where."""
        count = len(self.places)
        self.wait(lambda: len(self.places) > count + 40 and
                  np.ptp(self.places[-40:], axis=0).max() < within, "a hand at rest")
        return self.places[-1]

    def close(self) -> None:
        codes = [stop(p) for p in reversed(self.processes)]
        self.probe.close()
        assert codes == [0, 0]
        assert "Traceback" not in "".join(o.text for o in self.outputs)


@pytest.fixture
def person():
    person = Person("teleop_node", input="joy")
    yield person
    person.close()


@pytest.fixture
def guest():
    """Somebody who may take over from the shipped policy."""
    person = Person("policy_node", takeover="joy", enabled=True)
    publisher = person.probe.node.create_publisher(String, "instruction", LATCHED)
    publisher.publish(String(data="reach the red target"))
    yield person
    person.close()


def test_a_stick_moves_the_hand_and_a_release_holds_it(person):
    person.wait(lambda: "dead man" in person.status() or "button" in person.status(),
                "a node that waits for the dead man")
    begin = person.hold_still()
    person.axes[FORWARD] = 1.0
    count = len(person.places)
    person.wait(lambda: len(person.places) > count + 40, "time in which nothing may move")
    assert np.abs(person.places[-1] - begin).max() < 1e-3, "without the dead man"
    person.axes[FORWARD] = 0.0
    # x of the base is away from it, which is y of MetaWorld's world.
    person.push(1.0, "running", lambda: np.linalg.norm(person.places[-1] - begin) > 0.05)
    moved = np.abs(person.places[-1] - begin)
    assert moved.max() > 2 * np.sort(moved)[1], "one direction"
    person.buttons[DEAD_MAN] = 0
    rest = person.hold_still()
    assert np.linalg.norm(rest - begin) > 0.05


def test_who_pushes_the_hand_away_finds_the_policy_bring_it_back(guest):
    guest.wait(lambda: guest.status() == "running", "the policy")
    goal = guest.hold_still(5e-3)
    guest.push(-1.0, "a person drives", lambda: np.linalg.norm(guest.places[-1] - goal) > 0.08)
    away = guest.hold_still(5e-3)
    assert np.linalg.norm(away - goal) > 0.08, "the policy does not pull meanwhile"
    guest.buttons[DEAD_MAN] = 0
    guest.wait(lambda: guest.status() == "running", "the policy")
    guest.wait(lambda: np.linalg.norm(guest.places[-1] - goal) < 0.03, "the hand at the goal")
