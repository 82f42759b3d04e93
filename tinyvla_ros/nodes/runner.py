# SPDX-License-Identifier: Apache-2.0
"""What every node of this package shares: start, stop, diagnostics."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from tinyvla_ros.core.errors import InputError

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                     reliability=ReliabilityPolicy.RELIABLE)
# `episode` events are few and none may be missed by a node that starts late.
EPISODE_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL,
                         reliability=ReliabilityPolicy.RELIABLE)
# Signals are attended to between waits, s.
SIGNAL_PERIOD_S = 0.05
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Run a node until it asks to end, Ctrl-C or SIGTERM.

    The node is closed while it can still publish: a policy brings its arm to rest first.

    A node ends its process by setting ``node.exit_code``. An ``InputError`` while it is made, or
    left in ``node.failure``, is printed as one sentence.

    Returns:
        Exit code: 0 on success or interrupt, 2 on bad input, else the node's.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # see executables.run
        signal.signal(number, _interrupt)
    try:
        # rclpy's own handlers shut the context down before anything could be said.
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        return _spin(make_node())
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except InputError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)
        return 2
    except Exception:
        # A signal shuts the context down under whatever is running, the constructor included.
        if rclpy.ok():
            raise
        return 0
    finally:
        rclpy.try_shutdown()


def _interrupt(number: int, frame) -> None:
    """End the process as Ctrl-C does, once: a second signal must not cut the ending short."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _spin(node: Node) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while getattr(node, "exit_code", None) is None:
            executor.spin_once(timeout_sec=SIGNAL_PERIOD_S)
        return node.exit_code
    finally:
        close = getattr(node, "close", None)
        if close is not None:
            close()
        executor.shutdown()
        node.destroy_node()


class Diagnostics:
    """Publish a node's state on ``/diagnostics``, once a second and when it changes.

    Args:
        node: the node; the status is named ``<node>: <part>`` as REP-107 suggests.
        part: what is reported on.
        hardware_id: what identifies it, for example a checkpoint digest; may be set later.
        describe: returns (level, message, key -> value) now.
    """

    def __init__(self, node: Node, part: str, hardware_id: str,
                 describe: Callable[[], tuple[bytes, str, Mapping[str, object]]]):
        self._node, self._describe = node, describe
        self._name = f"{node.get_name()}: {part}"
        self.hardware_id = hardware_id
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A wall timer: a stalled simulation clock must not silence diagnostics.
        node.create_timer(1.0, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._last: tuple[bytes, str] | None = None

    def publish_if_changed(self) -> None:
        """Publish now if level or message differ from what was said last."""
        level, message, _ = self._describe()
        if (level, message) != self._last:
            self.publish()

    def publish(self) -> None:
        """Publish now."""
        level, message, values = self._describe()
        self._last = (level, message)
        array = DiagnosticArray()
        array.header.stamp = self._node.get_clock().now().to_msg()
        array.status = [status(self._name, level, message, values, self.hardware_id)]
        self._publisher.publish(array)


def status(name: str, level: bytes, message: str, values: Mapping[str, object],
           hardware_id: str = "") -> DiagnosticStatus:
    """Make a DiagnosticStatus; values become strings."""
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id=hardware_id,
        values=[KeyValue(key=k, value=str(v)) for k, v in values.items()])
