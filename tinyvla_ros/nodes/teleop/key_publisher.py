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

"""The keys of a terminal on a topic, as the buttons of a sensor_msgs/Joy."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.teleop.keyboard import Keyboard

PERIOD_S = 0.02
# Between two periods: the process was stopped, as by Ctrl-Z.
STOPPED_S = 0.5


class KeyPublisher:
    """Reads keys and publishes which are held, 50 times a second, until it is closed.

    With the terminal gone nothing is published any more, and the node at the other end holds.

    Args:
        topic: where the messages go.
        namespace: of the node.
        terminal: file descriptor to read from.
    """

    def __init__(self, topic: str, namespace: str = "", terminal: int = 0):
        self._terminal, self._keyboard = terminal, Keyboard()
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node("teleop_keyboard", namespace=namespace or None,
                                       context=self._context)
        self._publisher = self._node.create_publisher(Joy, topic, QoSProfile(depth=1))
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="keyboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say that nothing is held, and end."""
        self._closing = True
        self._thread.join(5.0)
        self._keyboard.release()
        self._publish()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _run(self) -> None:
        last_s = time.monotonic()
        while not self._closing:
            ready, _, _ = select.select([self._terminal], [], [], PERIOD_S)
            now_s = time.monotonic()
            was_stopped = now_s - last_s > STOPPED_S
            if was_stopped:
                self._keyboard.release()
            if ready:
                data = self._read()
                if not data:
                    return
                if not was_stopped:  # else they were typed for something else
                    self._keyboard.type(data, now_s)
            last_s = now_s
            self._publish()

    def _read(self) -> bytes:
        try:
            return os.read(self._terminal, 1024)
        except OSError:  # a terminal that is gone
            return b""

    def _publish(self) -> None:
        msg = Joy(buttons=self._keyboard.buttons(time.monotonic()))
        msg.header.stamp = self._node.get_clock().now().to_msg()
        msg.header.frame_id = "keyboard"
        self._publisher.publish(msg)


@contextmanager
def raw_terminal(terminal: int = 0) -> Iterator[None]:
    """Read keys at once and without echo; Ctrl-C still interrupts.

    Raises:
        InputError: it is no terminal.
    """
    if not os.isatty(terminal):
        raise InputError("Input keyboard needs a terminal, and standard input is none; type the "
                         "command in one, or give --input joy.")
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextmanager
def published_keys(topic: str, namespace: str) -> Iterator[None]:
    """Publish the keys of this process's terminal while the body runs."""
    with raw_terminal(sys.stdin.fileno()):
        keys = KeyPublisher(topic, namespace, sys.stdin.fileno())
        try:
            yield
        finally:
            keys.close()
