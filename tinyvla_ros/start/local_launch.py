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

"""Start a node graph without ``ros2 launch``: one process per node, all stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.start.executables import PARENT
from tinyvla_ros.start.node_description import NodeDescription
from tinyvla_ros.start.ros_environment import check_ros_environment

# Time for a node to stop after SIGINT, and again after SIGTERM, before SIGKILL.
STOP_TIMEOUT_S = 8.0
# Time for the last lines of a node that ended.
RELAY_S = 1.0


class RunningGraph:
    """Nodes as processes of this machine; they end with the body of ``with``.

    Args:
        nodes: to be started, in this order.
        write: takes every line that they print, with the node's name before it.

    Raises:
        InputError: rclpy is not installed or cannot be imported.
    """

    def __init__(self, nodes: Sequence[NodeDescription],
                 write: Callable[[str], None] = partial(print, flush=True)):
        require_rclpy()
        environment = dict(os.environ)
        # A simulated robot stays off the network unless the user sets a range.
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        if environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "OFF":
            raise InputError("ROS_AUTOMATIC_DISCOVERY_RANGE is OFF, and the nodes of this run "
                             "would not find each other; give LOCALHOST, or unset it.")
        self._environment = environment | {"PYTHONUNBUFFERED": "1", PARENT: str(os.getpid())}
        self._nodes, self._write = nodes, write
        self._running: dict[NodeDescription, subprocess.Popen] = {}
        self._relays: list[threading.Thread] = []

    def __enter__(self) -> RunningGraph:
        try:
            for node in self._nodes:
                self._running[node] = process = _start(node, self._environment)
                relay = threading.Thread(
                    target=_relay, args=(node.executable, process, self._write), daemon=True)
                self._relays.append(relay)
                relay.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    def ended(self) -> tuple[NodeDescription, int] | None:
        """Return a node that ended by itself and its exit code; None while all run."""
        for node, process in self._running.items():
            code = process.poll()
            if code is not None:
                return node, code
        return None

    def stop(self) -> None:
        """End all nodes: they bring the arm to rest, and complete their files."""
        _stop(list(self._running.values()))
        for relay in self._relays:  # a child of a node may keep its output open
            relay.join(RELAY_S)


def run_graph(nodes: Sequence[NodeDescription]) -> int:
    """Run all nodes until the one that ends the run exits, one dies, or Ctrl-C.

    Returns:
        0 if the node that ends the run exited with 0, or a node was shut down where none ends the
        run; 130 after Ctrl-C; else the exit code of the node that ended first; its name is
        printed.

    Raises:
        InputError: rclpy is not installed or cannot be imported.
    """
    graph = RunningGraph(nodes)
    # Not an Event: it has a lock, which the handler would wait for forever where it interrupts
    # the wait that holds it.
    received: list[int] = []
    previous = {s: signal.signal(s, lambda number, _: received.append(number))
                for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with graph:
            while not received:
                if (ended := graph.ended()) is not None:
                    return _ended(*ended, any(n.ends_run for n in nodes))
                time.sleep(0.05)
            print("stopping", file=sys.stderr, flush=True)
            return 130
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def require_rclpy() -> None:
    """Raise ``InputError`` if rclpy cannot be imported, or an environment variable stops ROS."""
    check_ros_environment()
    require("A graph of nodes", "ros")
    try:
        import rclpy  # noqa: F401
    except ImportError as err:
        raise InputError(f"rclpy cannot be imported ({err}); run 'make setup', or source a ROS 2 "
                         "installation for this Python.") from None


def node_command(node: NodeDescription) -> list[str]:
    """Return the command line that runs a node in this Python environment.

    Raises:
        UnicodeEncodeError: the parser of ROS takes UTF-8 alone.
    """
    namespace = node.settings.absolute_namespace
    return [sys.executable, "-m", "tinyvla_ros.start.executables", node.executable, "--ros-args",
            *(["-r", f"__ns:={namespace}"] if namespace else []), *node.ros_arguments()]


def _start(node: NodeDescription, environment: dict[str, str]) -> subprocess.Popen:
    command = node_command(node)
    # In a session of its own: Ctrl-C reaches only this process, which then stops every node.
    # The node unblocks it when it has a handler; Python itself would print a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = subprocess.Popen(command, env=environment, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return process


def _relay(name: str, process: subprocess.Popen, write: Callable[[str], None]) -> None:
    for line in process.stdout:
        write(f"[{name}] {line.decode(errors='replace').rstrip()}")


def _ended(node: NodeDescription, code: int, is_run: bool) -> int:
    if code == 0 and node.ends_run:
        return 0
    how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    if code == 0:
        # An operator shut it down. Without a node that ends the run, nothing is missing then.
        print(f"{node.executable} was shut down; the other nodes stop"
              f"{', and the run is not complete' if is_run else ''}.", file=sys.stderr, flush=True)
        return 1 if is_run else 0
    print(f"error: {node.executable} ended with {how}; the run is stopped.", file=sys.stderr,
          flush=True)
    return code if code > 0 else 1


def _stop(processes: list[subprocess.Popen]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
        if all(p.poll() is not None for p in processes):
            return
