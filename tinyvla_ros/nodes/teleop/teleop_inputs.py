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
from dataclasses import dataclass, field

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.state_messages import JointReader
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import subscribe_to_all, waiting_messages
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.leader import Leader

JOY, LEADER, DESCRIPTION = "joy", "leader/joint_states", "robot_description"
# Best effort: it fits every publisher, and a message that is sent again comes too late.
_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class _Device:
    """What a person uses: its state, its topic, and what takes a message of it."""

    part: Joystick | Leader
    subscription: Subscription
    take: Callable[[Joy | JointState], None]


@dataclass
class _Untold:
    """What came of messages, and nobody was told yet."""

    refused: list[tuple[str, InputError]] = field(default_factory=list)
    pressed: list[str] = field(default_factory=list)
    matters: bool = False


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
        self._devices: list[_Device] = []
        self._subscriptions: list[Subscription] = []
        self._untold = _Untold()
        if joystick is not None:
            self._listen(joystick, Joy, JOY, self._receive_joy)
        if leader is not None:
            self._read_leader = JointReader({j: ("position", j) for j in leader.joints})
            self._listen(leader, JointState, LEADER, self._receive_leader)

    def _listen(self, part: Joystick | Leader, kind: type, topic: str, receive: Callable) -> None:
        def take(msg: Joy | JointState) -> None:
            self._take(part, topic, msg, receive)

        def callback(msg: Joy | JointState) -> None:
            take(msg)
            self._tell()

        subscription = self._node.create_subscription(kind, topic, callback, _QOS)
        self._subscriptions.append(subscription)
        self._devices.append(_Device(part, subscription, take))

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
            for device in self._devices:
                device.part.disconnect()

    def problem(self, now_s: float) -> str:
        """Return why the person may not move the arm, empty if they may; steady seconds."""
        for topic in (d.subscription.topic_name for d in self._devices):
            names = other_publishers(self._node, topic, 0)
            if len(names) > 1:
                self.disconnect()
                return (f"{topic} has several publishers: {', '.join(names)}; one person drives "
                        "the arm, end the others")
        self._read_what_waits(now_s)
        with self._lock:
            return next((p for d in self._devices if (p := d.part.problem(now_s))), "")

    def _read_what_waits(self, now_s: float) -> None:
        """Take messages that have come while the executor was held up by other work.

        A device must not be taken for silent because this process did not look. Called in the
        thread that controls the arm; what others are told of the messages, the next one brings.
        """
        for device in self._devices:
            with self._lock:
                is_silent = device.part.is_silent(now_s)
            if is_silent:
                for msg in waiting_messages(device.subscription, _QOS.depth):
                    device.take(msg)

    def _take(self, part: Joystick | Leader, topic: str, msg: Joy | JointState,
              receive: Callable[[Joy | JointState, int], bool]) -> None:
        matters = True
        try:
            stamp_ns = self._check_stamp(msg.header.stamp)
            with self._lock:
                matters = receive(msg, stamp_ns)
        except MessageError as err:
            with self._lock:
                part.refuse(str(err))
                self._untold.refused.append((topic, err))
        with self._lock:
            self._untold.matters |= matters

    def _receive_joy(self, msg: Joy, stamp_ns: int) -> bool:
        was_held = self._joystick.held_since
        self._untold.pressed += self._joystick.receive(msg.axes, msg.buttons, stamp_ns,
                                                       time.monotonic())
        held = self._joystick.held_since
        if self._leader is not None and held != was_held and held is not None:
            self._leader.engage()
        return held != was_held

    def _receive_leader(self, msg: JointState, stamp_ns: int) -> bool:
        self._leader.receive(self._read_leader(msg), stamp_ns, time.monotonic())
        return False

    def _tell(self) -> None:
        """Say what the newest messages mean; called in the executor's thread."""
        with self._lock:
            untold, self._untold = self._untold, _Untold()
        for topic, err in untold.refused:
            self._report(topic, err)
        if untold.pressed:
            self._on_press(untold.pressed)
        self._on_change(untold.matters)
