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

"""Run a node until it ends, and publish its diagnostics; shared by all nodes."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.ros_start import node_creation, start_ros

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                     reliability=ReliabilityPolicy.RELIABLE)
# A node that starts late needs the earlier `episode` events, too.
EPISODE_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                         reliability=ReliabilityPolicy.RELIABLE)
# Of simulated sensors and of commands: reliable also serves best-effort subscribers.
SENSOR_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Longest wait for messages before a signal is handled, s.
SIGNAL_PERIOD_S = 0.05
# A node that ends waits at most so long for its last messages to arrive, s.
FLUSH_S = 0.5
# Diagnostic values with this prefix: topic -> subscribers that its publisher has discovered.
SUBSCRIBERS = "subscribers "
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def run_node(make_node: Callable[[], Node]) -> int:
    """Run a node until it sets ``node.exit_code``, or until SIGINT or SIGTERM.

    ``node.close()`` is called while the node can still publish, so that a policy brings its arm
    to rest. What ROS or ``make_node`` cannot use is printed as one sentence.

    Returns:
        Exit code: 0 after a signal, 2 after an ``InputError``, else the node's.
    """
    signals, node = _Signals(), None
    try:
        try:
            start_ros(sys.argv)
            with node_creation():
                node = make_node()
            signals.is_loading = False
        except BaseException:
            if not signals.received:
                raise
        return 0 if node is None else _spin(node, signals)
    except ExternalShutdownException:
        return 0
    except InputError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)
        return 2
    finally:
        rclpy.try_shutdown()


class _Signals:
    """SIGINT and SIGTERM interrupt a node that loads, and end a running one between callbacks.

    A running node must not be interrupted by an exception: rclpy converts messages in C, and an
    exception raised there comes out as a RuntimeError.

    Attributes:
        received: whether there was a signal.
        is_loading: whether the node is still being constructed, which may take long.
    """

    def __init__(self):
        self.received, self.is_loading = False, True
        for number in (signal.SIGINT, signal.SIGTERM):  # in place of those of executables.run
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame) -> None:
        is_first, self.received = not self.received, True
        if is_first and self.is_loading:
            raise KeyboardInterrupt


def _spin(node: Node, signals: _Signals) -> int:
    executor = LeanExecutor()
    executor.add_node(node)
    try:
        while getattr(node, "exit_code", None) is None and not signals.received:
            executor.spin_once(timeout_sec=SIGNAL_PERIOD_S)
        return getattr(node, "exit_code", None) or 0
    finally:
        close = getattr(node, "close", None)
        if close is not None:
            close()
        try:
            _flush(node)
        finally:
            executor.shutdown()
            node.destroy_node()


def _flush(node: Node) -> None:
    """Wait until subscribers have the last messages: with its process, they are lost."""
    deadline = time.monotonic() + FLUSH_S
    for publisher in node.publishers:
        publisher.wait_for_all_acked(Duration(seconds=max(deadline - time.monotonic(), 0.0)))


class Diagnostics:
    """Publishes a node's state on ``/diagnostics``, once a second and when it changes.

    Args:
        node: the node; the status is named ``<namespace>/<node>: <part>``.
        part: the part of the node that the status is about.
        hardware_id: identifies it within its namespace, for example a checkpoint digest; may be
            set later.
        describe: returns the current (level, message, key -> value).
    """

    def __init__(self, node: Node, part: str, hardware_id: str,
                 describe: Callable[[], tuple[bytes, str, Mapping[str, object]]]):
        self._node, self._describe = node, describe
        self._name = status_name(node, node.get_name(), part)
        self._namespace = node.get_namespace().strip("/")
        self.hardware_id = hardware_id
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A wall timer: a stalled simulation clock must not silence diagnostics.
        node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._last: tuple[bytes, str] | None = None

    def publish_if_changed(self) -> None:
        """Publish now if level or reason differ from the last published ones.

        A message whose numbers alone differ, like an age, has the same reason.
        """
        level, message, _ = self._describe()
        if (level, _reason(message)) != self._last:
            self.publish()

    def publish(self) -> None:
        """Publish now."""
        level, message, values = self._describe()
        self._last = (level, _reason(message))
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        hardware_id = "/".join(filter(None, (self._namespace, self.hardware_id)))
        array.status = [status(self._name, level, message, values, hardware_id)]
        self._publisher.publish(array)


def status_name(node: Node, name: str, part: str) -> str:
    """Return how the status of a part of a node in the same namespace is called.

    Args:
        node: the caller; without a namespace the name is ``<name>: <part>``.
        name: of the node that the status is about.
        part: of that node.
    """
    return f"{node.get_namespace().rstrip('/')}/{name}: {part}".lstrip("/")


def _reason(message: str) -> str:
    # A number that is part of a name, as in joint_3, is kept.
    return re.sub(r"(?<![A-Za-z0-9_.])[-+]?\d[\d.]*(e[-+]?\d+)?", "#", message)


def status(name: str, level: bytes, message: str, values: Mapping[str, object],
           hardware_id: str = "") -> DiagnosticStatus:
    """Return a DiagnosticStatus; values become strings."""
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id=hardware_id,
        values=[KeyValue(key=k, value=str(v)) for k, v in values.items()])
