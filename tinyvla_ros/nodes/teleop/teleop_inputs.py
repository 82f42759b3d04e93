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

"""What comes from a person: their device, their leader arm, and the arm's description."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.state_messages import JointReader
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import subscribe_to_all
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.leader import Leader

JOY, LEADER, DESCRIPTION = "joy", "leader/joint_states", "robot_description"
# Best effort: it fits every publisher, and a message that is sent again comes too late.
_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)


class TeleopInputs:
    """Subscriptions to what the person uses; every message is checked.

    Args:
        node: the caller.
        lock: guards joystick and leader.
        joystick: gets the messages of ``joy``; None without a device.
        leader: gets those of ``leader/joint_states``; None without one.
        check_stamp: returns a stamp in ns, or raises ``MessageError``.
        on_change: called after every message, with whether it may hold or release the arm.
        on_press: called with the names of buttons that were pressed.
        report: called with topic and error for every refused message.
    """

    def __init__(self, node: Node, lock: threading.RLock, joystick: Joystick | None,
                 leader: Leader | None,
                 check_stamp: Callable[[object], int], on_change: Callable[[bool], None],
                 on_press: Callable[[Sequence[str]], None],
                 report: Callable[[str, InputError], None]):
        self._node, self._lock = node, lock
        self._joystick, self._leader = joystick, leader
        self._check_stamp, self._on_change = check_stamp, on_change
        self._on_press, self._report = on_press, report
        self._topics: list[str] = []
        self._subscriptions = []
        if joystick is not None:
            self._listen(Joy, JOY, self._on_joy)
        if leader is not None:
            self._read_leader = JointReader({j: ("position", j) for j in leader.joints})
            self._listen(JointState, LEADER, self._on_leader)

    def _listen(self, kind: type, topic: str, callback: Callable) -> None:
        subscription = self._node.create_subscription(kind, topic, callback, _QOS)
        self._subscriptions.append(subscription)
        self._topics.append(subscription.topic_name)

    def listen_for_description(self, use: Callable[[str], None]) -> None:
        """Call ``use`` with every robot description."""
        self._subscriptions += subscribe_to_all(
            self._node, String, DESCRIPTION, lambda msg: use(msg.data), 1)

    def close(self) -> None:
        """Take the subscriptions from the graph."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def disconnect(self) -> None:
        """Forget what is pressed; it must be released before it counts again."""
        with self._lock:
            for part in (self._joystick, self._leader):
                if part is not None:
                    part.disconnect()

    def problem(self, now_s: float) -> str:
        """Return why the person may not move the arm, empty if they may; steady seconds."""
        for topic in self._topics:
            names = other_publishers(self._node, topic, 0)
            if len(names) > 1:
                self.disconnect()
                return (f"{topic} has several publishers: {', '.join(names)}; one person drives "
                        "the arm, end the others")
        with self._lock:
            return next((p for part in (self._joystick, self._leader) if part is not None
                         and (p := part.problem(now_s))), "")

    def _on_joy(self, msg: Joy) -> None:
        pressed: list[str] = []
        matters = True
        try:
            stamp_ns = self._check_stamp(msg.header.stamp)
            with self._lock:
                was_held = self._joystick.held_since
                pressed = self._joystick.receive(msg.axes, msg.buttons, stamp_ns,
                                                 time.monotonic())
                held = self._joystick.held_since
                matters = held != was_held
                if self._leader is not None and matters and held is not None:
                    self._leader.engage()
        except MessageError as err:
            with self._lock:
                self._joystick.refuse(str(err))
            self._report(JOY, err)
        if pressed:
            self._on_press(pressed)
        self._on_change(matters)

    def _on_leader(self, msg: JointState) -> None:
        is_refused = False
        try:
            stamp_ns = self._check_stamp(msg.header.stamp)
            positions = self._read_leader(msg)
            with self._lock:
                self._leader.receive(positions, stamp_ns, time.monotonic())
        except MessageError as err:
            with self._lock:
                self._leader.refuse(str(err))
            is_refused = True
            self._report(LEADER, err)
        self._on_change(is_refused)
