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

"""A thread that lives as long as the process and runs one task after the other."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable


class Worker:
    """Runs one task after the other in a thread of its own, which never ends.

    torch and its OpenMP keep memory for every thread that ever ran a network, so a node that is
    activated again and again must not start a new one each time. It is a daemon thread: it does
    not keep the process alive.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str):
        self._tasks: queue.Queue[Callable[[], None]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], None]) -> None:
        """Run ``work`` after the earlier tasks."""
        self._tasks.put(work)

    def wait(self, timeout: float) -> bool:
        """Return whether all tasks ended within ``timeout`` seconds; True from inside a task."""
        if threading.current_thread() is self._thread:
            return True
        with self._tasks.all_tasks_done:
            return self._tasks.all_tasks_done.wait_for(
                lambda: not self._tasks.unfinished_tasks, timeout)

    def _run(self) -> None:
        while True:
            work = self._tasks.get()
            try:
                work()
            except Exception:  # the next task needs the thread
                traceback.print_exc()
            del work
            self._tasks.task_done()
