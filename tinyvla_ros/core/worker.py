# SPDX-License-Identifier: Apache-2.0
"""A thread that lives as long as the process and works when it is told to."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable


class Worker:
    """Runs one thing after the other in a thread of its own, which never ends.

    torch and its OpenMP keep memory for every thread that ever ran a network: a node that is
    activated again and again must not start a new one each time. The thread does not keep the
    process from ending.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str):
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Callable[[], None]) -> None:
        """Run ``work`` once what ran before has returned."""
        self._idle.clear()
        self._tasks.put(work)

    def wait(self, timeout: float) -> bool:
        """Wait until ``work`` has returned, at most ``timeout`` seconds; at once from within."""
        return threading.current_thread() is self._thread or self._idle.wait(timeout)

    def _run(self) -> None:
        while True:
            work = self._tasks.get()
            try:
                work()
            except Exception:  # the next task needs the thread
                traceback.print_exc()
            del work
            if self._tasks.empty():
                self._idle.set()
