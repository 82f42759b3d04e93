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

"""Long lists of jobs on several processes: progress, time left, and a safe stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from typing import Any, NamedTuple

from tqdm import tqdm

from tinyvla_ros.core.errors import InputError
from training.jobs.progress import update_seconds

POLL_S = 1.0
# Results per process that may wait for an earlier one, where the order counts.
AHEAD = 4


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came; the jobs that were running have ended, training runs saved."""


class Job(NamedTuple):
    """A function call for another process.

    Attributes:
        kind: ``run``, ``episode`` ...; jobs of a kind take about the same time.
        function: defined at the top level of a module, so that it can be pickled.
        argument: its only argument.
    """

    kind: str
    function: Callable[[Any], Any]
    argument: Any


class Progress:
    """A bar per kind of job, with the time left for all of them.

    Args:
        total: number of jobs per kind.
        workers: number of processes.
    """

    def __init__(self, total: dict[str, int], workers: int):
        self._left, self._workers, self._shown = dict(total), workers, 0.0
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._bars = {kind: tqdm(total=count, unit=kind, desc=f"{kind}s", position=i,
                                 bar_format="{desc}: {n_fmt}/{total_fmt} [{elapsed}{postfix}]")
                      for i, (kind, count) in enumerate(total.items())}

    def done(self, kind: str, seconds: float) -> None:
        """Count a finished job that took ``seconds``."""
        self._left[kind] -= 1
        self._seconds[kind].append(seconds)
        self._bars[kind].n += 1
        self.show()

    def show(self) -> None:
        """Draw the bars, at most as often as ``update_seconds`` allows."""
        now = time.monotonic()
        if now - self._shown < update_seconds() and any(self._left.values()):
            return
        self._shown = now
        left = self.seconds_left()
        text = "?" if left is None else tqdm.format_interval(left)
        for bar in self._bars.values():
            bar.set_postfix_str(f"all done in {text}")

    def seconds_left(self) -> float | None:
        """Return an estimate from the mean of each kind; None until each has one result."""
        if any(left and not self._seconds[kind] for kind, left in self._left.items()):
            return None
        return sum(left * sum(self._seconds[kind]) / len(self._seconds[kind])
                   for kind, left in self._left.items() if left) / self._workers

    def close(self) -> None:
        """Leave the bars as they are."""
        for bar in self._bars.values():
            bar.close()


def work_through(jobs: Iterable[Job], finished: Callable[[Job, Any], Iterable[Job] | None],
                 workers: int, progress: Progress | None = None, in_order: bool = False) -> None:
    """Run jobs in ``workers`` new processes.

    Args:
        jobs: what to do, in this order; each is taken when a process is free.
        finished: takes a job and its result in this process, and may return jobs that follow
            from it; they run before the others.
        workers: number of processes.
        progress: counts the jobs.
        in_order: call ``finished`` in the order in which the jobs began, so that what it does
            depends neither on ``workers`` nor on their speed.

    Raises:
        Stopped: SIGINT or SIGTERM came. The processes get SIGTERM; training saves on it.
        InputError: raised by a job, or a process was killed.
    """
    jobs, next_jobs = iter(jobs), deque()
    running: dict[Future, tuple[int, Job]] = {}
    results: dict[int, tuple[Job, float, Any]] = {}
    begun = handled = 0
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, context, _start_worker)
    try:
        with _sigterm_as_interrupt():
            while True:
                while len(running) < workers and len(results) < AHEAD * workers:
                    job = next_jobs.popleft() if next_jobs else next(jobs, None)
                    if job is None:
                        break
                    running[pool.submit(_timed, job)] = begun, job
                    begun += 1
                if not running:
                    break
                done, _ = wait(running, POLL_S, FIRST_COMPLETED)
                for future in done:
                    number, job = running.pop(future)
                    results[number] = (job, *future.result())
                    while results and (not in_order or handled in results):
                        job, seconds, result = results.pop(handled if in_order else number)
                        handled += 1
                        next_jobs.extendleft(reversed(list(finished(job, result) or ())))
                        if progress is not None:
                            progress.done(job.kind, seconds)
                if progress is not None and sys.stderr.isatty():
                    progress.show()  # a running clock; a file gets a line per job
    except BaseException as err:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        if isinstance(err, KeyboardInterrupt):
            raise Stopped from None
        if isinstance(err, BrokenProcessPool):
            raise InputError("A worker process was killed, perhaps for lack of memory; what was "
                             "finished is kept: start again with fewer --workers.") from None
        raise
    finally:
        if progress is not None:
            progress.close()
        pool.shutdown(cancel_futures=True)


def _timed(job: Job) -> tuple[float, Any]:
    started = time.perf_counter()
    result = job.function(job.argument)
    return time.perf_counter() - started, result


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
        time.sleep(POLL_S)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(number, frame) -> None:
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
