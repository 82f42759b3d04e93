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

"""Processes and ROS contexts of a test, so that what it leaves running ends with it.

What a failed test leaves in the ROS domain would fail those that follow it.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from typing import Any

_processes: list[subprocess.Popen] = []
_of_rigs: set[subprocess.Popen] = set()
_contexts: list[Any] = []


def popen(command: list[str] | tuple[str, ...], of_rig: bool = False, **options
          ) -> subprocess.Popen:
    """Start a process in a session of its own.

    Args:
        command: its command line.
        of_rig: whether it belongs to a rig that several tests share, and that ends it itself.
        options: those of ``subprocess.Popen``.
    """
    _processes.append(subprocess.Popen(command, start_new_session=True, **options))
    if of_rig:
        _of_rigs.add(_processes[-1])
    return _processes[-1]


def new_context():
    """Return an initialized ``rclpy.Context``."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    _contexts.append(context)
    return context


def mark() -> tuple[int, int]:
    """Return how many there were until now, for ``end_since``."""
    return len(_processes), len(_contexts)


def end_since(begin: tuple[int, int], with_rigs: bool) -> list[str]:
    """End what was started since a mark and still runs; return what that was."""
    processes = [p for p in _processes[begin[0]:] if with_rigs or p not in _of_rigs]
    contexts = _contexts[begin[1]:]
    names = []
    for process in processes:
        if process.poll() is None:
            names.append(f"the process {process.args}")
            # Python processes of ours end their children with SIGTERM; others have the group.
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    left = [context for context in contexts if context.ok()]
    if left:
        names.append(f"{len(left)} ROS contexts")
        _destroy_nodes(left)
    for context in left:
        context.try_shutdown()
    return names


def _destroy_nodes(contexts: list[Any]) -> None:
    # A failed test's traceback keeps its nodes alive, and they stay in the ROS domain.
    from rclpy.node import Node

    for thing in gc.get_objects():
        if issubclass(type(thing), Node) and any(thing.context is context for context in contexts):
            thing.destroy_node()
