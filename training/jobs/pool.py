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
import signal
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from training.jobs.local_processes import LocalProcesses
from training.jobs.progress import update_seconds
from training.jobs.ray_cluster import RayCluster
from training.jobs.workers import Job, Workers

POLL_S = 1.0
# Results per process that may wait for an earlier one, where the order counts.
AHEAD = 4


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came; the jobs that were running have ended, training runs saved."""


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


def open_workers(count: int | None, ray: str | None, default: int | None = None) -> Workers:
    """Return processes for jobs; a context manager that ends them.

    Args:
        count: number of processes, None for the default.
        ray: address of a Ray cluster, see ``RAY_ADDRESSES``; None for this machine alone.
        default: number of processes on this machine, None for its cores; on a Ray cluster it is
            the number of its CPUs.

    Raises:
        InputError: the cluster cannot be joined.
    """
    if ray is not None:
        return RayCluster(ray, count)
    return LocalProcesses(count or default or multiprocessing.cpu_count())


def work_through(jobs: Iterable[Job], finished: Callable[[Job, Any], Iterable[Job] | None],
                 workers: Workers, progress: Progress | None = None,
                 in_order: bool = False) -> None:
    """Run jobs in other processes.

    Args:
        jobs: what to do, in this order; each is taken when a process is free.
        finished: takes a job and its result in this process, and may return jobs that follow
            from it; they run before the others.
        workers: do the jobs; still open at the end, but of no use after an exception.
        progress: counts the jobs.
        in_order: call ``finished`` in the order in which the jobs began, so that what it does
            depends neither on the number of workers nor on their speed.

    Raises:
        Stopped: SIGINT or SIGTERM came. The processes get SIGTERM; training saves on it.
        InputError: raised by a job, or a process was lost.
    """
    jobs, next_jobs = iter(jobs), deque()
    running: dict[int, Job] = {}
    results: dict[int, tuple[Job, float, Any]] = {}
    begun = handled = 0
    try:
        with _sigterm_as_interrupt():
            while True:
                while len(running) < workers.count and len(results) < AHEAD * workers.count:
                    job = next_jobs.popleft() if next_jobs else next(jobs, None)
                    if job is None:
                        break
                    workers.submit(begun, job)
                    running[begun] = job
                    begun += 1
                if not running:
                    break
                for number, seconds, result in workers.wait(POLL_S):
                    results[number] = (running.pop(number), seconds, result)
                    while results and (not in_order or handled in results):
                        job, seconds, result = results.pop(handled if in_order else number)
                        handled += 1
                        next_jobs.extendleft(reversed(list(finished(job, result) or ())))
                        if progress is not None:
                            progress.done(job.kind, seconds)
                if progress is not None and sys.stderr.isatty():
                    progress.show()  # a running clock; a file gets a line per job
    except BaseException as err:
        workers.stop()
        if isinstance(err, KeyboardInterrupt):
            raise Stopped from None
        raise
    finally:
        if progress is not None:
            progress.close()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    def interrupt(number, frame) -> None:
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
