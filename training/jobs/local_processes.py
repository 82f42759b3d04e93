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

"""Jobs in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for

from tinyvla_ros.core.errors import InputError
from training.jobs.workers import Ended, Job, Workers


class LocalProcesses(Workers):
    """New processes of this machine.

    Args:
        count: number of processes.
    """

    def __init__(self, count: int):
        self.count = count
        self._others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(count, context, _start_worker)
        self._running: dict[Future, int] = {}

    def submit(self, number: int, job: Job) -> None:
        """See ``Workers``."""
        try:
            self._running[self._pool.submit(job.timed)] = number
        except BrokenProcessPool:
            raise _killed() from None

    def wait(self, seconds: float) -> Iterator[Ended]:
        """See ``Workers``."""
        done, _ = wait(self._running, seconds, FIRST_COMPLETED)
        for future in done:
            number = self._running.pop(future)
            try:
                yield Ended(number, *future.result())
            except BrokenProcessPool:
                raise _killed() from None

    def stop(self) -> None:
        """See ``Workers``."""
        for child in set(multiprocessing.active_children()) - self._others:
            child.terminate()

    def close(self) -> None:
        """See ``Workers``."""
        self._pool.shutdown(cancel_futures=True)


def _killed() -> InputError:
    return InputError("A worker process was killed, perhaps for lack of memory; what was "
                      "finished is kept: start again with fewer --workers.")


def _start_worker() -> None:
    # The parent passes a stop on as SIGTERM; an interrupt from the terminal reaches it too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed leaves no orphan writing into the directories of its successor."""
    wait_for([multiprocessing.parent_process().sentinel])
    while True:  # the first one ends the job, saved if it is training; the next one the process
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)
