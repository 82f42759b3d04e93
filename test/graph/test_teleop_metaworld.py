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

from harness.processes import Listener, Output, start_node, stop
from harness.teleop_rig import AXES, BUTTONS, DEAD_MAN
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.ros.messages import set_stamp

pytestmark = pytest.mark.simulator
FORWARD = 1  # axis: left stick up


class Person:
    """A gamepad in front of a simulated arm."""

    def __init__(self):
        self.processes = [
            start_node("sim_robot_node", task="reach-v3", seed=7),
            start_node("teleop_node", robot=str(default_robot()), input="joy", speed=0.5,
                       input_timeout=5.0)]  # longer than a busy machine holds this process up
        self.outputs = [Output(p) for p in self.processes]
        self.probe = Listener()
        self.axes, self.buttons, self.places = [0.0] * AXES, [0] * BUTTONS, []
        self.probe.node.create_subscription(PoseStamped, "ee_pose", self._on_pose, 10)
        self._joy = self.probe.node.create_publisher(Joy, "joy", 10)
        self.probe.node.create_timer(0.02, self._publish)

    def _on_pose(self, msg: PoseStamped) -> None:
        p = msg.pose.position
        self.places.append(np.array([p.x, p.y, p.z]))

    def _publish(self) -> None:
        msg = Joy(axes=self.axes, buttons=self.buttons)
        set_stamp(msg.header.stamp, self.probe.node.get_clock().now().nanoseconds)
        self._joy.publish(msg)

    def wait(self, condition, what: str) -> None:
        self.probe.until(condition, what)

    def status(self) -> str:
        found = [s.message for s in self.probe.diagnostics if s.name == "teleop_node: teleop"]
        return found[-1] if found else ""

    def hold_still(self) -> np.ndarray:
        """Wait until the hand rests and return where."""
        self.wait(lambda: len(self.places) > 40 and
                  np.ptp(self.places[-40:], axis=0).max() < 1e-4, "a hand at rest")
        return self.places[-1]

    def close(self) -> None:
        codes = [stop(p) for p in reversed(self.processes)]
        self.probe.close()
        assert codes == [0, 0]
        assert "Traceback" not in "".join(o.text for o in self.outputs)


@pytest.fixture
def person():
    person = Person()
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
    person.buttons[DEAD_MAN] = 1
    person.wait(lambda: person.status() == "running", "a node that follows")
    person.axes[FORWARD] = 1.0
    # x of the base is away from it, which is y of MetaWorld's world.
    person.wait(lambda: np.linalg.norm(person.places[-1] - begin) > 0.05, "motion")
    moved = np.abs(person.places[-1] - begin)
    assert moved.max() > 2 * np.sort(moved)[1], "one direction"
    person.buttons[DEAD_MAN] = 0
    rest = person.hold_still()
    assert np.linalg.norm(rest - begin) > 0.05
