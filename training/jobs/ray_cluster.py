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

"""Jobs on a Ray cluster, with the results of local processes.

A worker is an actor, a process that keeps its environments and policies between jobs. An actor
that dies, alone or with its node, is replaced, and its job is done again: jobs are deterministic.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from training.jobs.options import check_ray_address
from training.jobs.ray_worker import Packed, RayWorker, fingerprint, pack, terminate, versions
from training.jobs.workers import Ended, Job, ReadsDirectory, Workers

TRIES = 3  # of a job whose worker dies, and of workers that do not start
ANSWER_S = 5.0
STOP_S = 60.0  # for a training run to save
PATIENCE_S = 10.0
# The objects are packed checkpoints and results; more of them go to the disk.
OBJECT_STORE_BYTES = 256 << 20
# Read when the simulator and torch are loaded. Which OpenGL library draws decides about pixels.
ENVIRONMENT = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "LP_NUM_THREADS", "OMP_WAIT_POLICY",
               "TQDM_MININTERVAL")
# No statistics to Ray's authors. Of a cluster that is started here: workers as important as local
# processes, where Ray would give them what others leave (nice 15).
RAY_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0",
                "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# How HTTP/2, and so gRPC, begins: the client's greeting and its settings, then the server's.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS_FRAME = 4


class RayCluster(Workers):
    """Actors on a Ray cluster, one CPU each.

    Args:
        address: see ``RAY_ADDRESSES``.
        count: number of actors; None for the CPUs of the cluster.

    Raises:
        InputError: Ray is not installed, the address does not answer, or the cluster has another
            version of Ray or Python.
    """

    def __init__(self, address: str, count: int | None = None):
        self._address, self._sigterm = address, signal.getsignal(signal.SIGTERM)
        self._ray = _join(address, count)
        self.count = count or max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        self._versions = versions()
        self._queue: deque[tuple[int, Job]] = deque()
        self._tries: Counter[int] = Counter()
        self._failed_starts, self._waiting_since = 0, time.monotonic()
        self._starting: dict[Any, Any] = {}  # ObjectRef -> actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int, Job]] = {}  # ObjectRef -> actor, number, job
        self._places: dict[Any, dict] = {}  # actor -> what it said when it was introduced
        self._packed: dict[Path, Packed | None] = {}

    def submit(self, number: int, job: Job) -> None:
        """See ``Workers``."""
        self._queue.append((number, job))
        self._dispatch()

    def wait(self, seconds: float) -> Iterator[Ended]:
        """See ``Workers``."""
        done, _ = self._ray.wait([*self._busy, *self._starting], timeout=seconds)
        for ref in done:
            if ref in self._starting:
                self._welcome(ref)
            else:
                ended = self._result(ref)
                if ended is not None:
                    yield ended
            self._dispatch()
        self._say_that_it_waits()

    def stop(self) -> None:
        """See ``Workers``."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=0, max_retries=0)(terminate)
        for worker, _, _ in self._busy.values():
            place = self._places[worker]
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(
                place["node"], soft=False)).remote(place["pid"])
        if self._busy:
            self._ray.wait(list(self._busy), num_returns=len(self._busy), timeout=STOP_S,
                           fetch_local=False)

    def close(self) -> None:
        """See ``Workers``."""
        cleaned = [worker.clean_up.remote() for worker in self._idle]
        if cleaned:
            self._ray.wait(cleaned, num_returns=len(cleaned), timeout=ANSWER_S)
        self._ray.shutdown()
        if self._sigterm is not None:
            signal.signal(signal.SIGTERM, self._sigterm)

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            number, job = self._queue.popleft()
            worker = self._idle.pop()
            ref = worker.do.remote(job, {p: fingerprint(p) for p in job.in_place},
                                   self._directory(job))
            self._busy[ref] = worker, number, job
        started = len(self._busy) + len(self._starting)
        while len(self._starting) < len(self._queue) and started < self.count:
            worker = self._ray.remote(num_cpus=1, max_restarts=0)(RayWorker).remote(
                {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                os.getcwd(), sys.path)
            self._starting[worker.introduce.remote()] = worker
            started += 1

    def _directory(self, job: Job) -> Packed | None:
        """Return the directory that a job reads, put into the object store once."""
        if not isinstance(job.argument, ReadsDirectory):
            return None
        path = job.argument.directory
        if path not in self._packed:
            digest, files = pack(path)
            self._packed[path] = Packed(digest, [self._ray.put(files)]) if files else None
        return self._packed[path]

    def _welcome(self, ref: Any) -> None:
        """Take a new worker in, if it computes what this machine does."""
        worker, cause = self._starting.pop(ref), None
        try:
            place = self._ray.get(ref)
        except self._ray.exceptions.RayError as err:
            cause = _last_line(err)
        if cause is not None:
            self._failed_starts += 1
            if self._failed_starts == TRIES:
                raise InputError(f"Workers on the Ray cluster {self._address} do not start "
                                 f"({cause}); install tinyvla_ros {self._versions['tinyvla_ros']}"
                                 " with the packages of this machine on every node.")
            return
        for name, here in self._versions.items():
            there = place["versions"].get(name)
            if there != here:
                raise InputError(f"The Ray node {place['host']} has {name} {there} and this "
                                 f"machine {here}, which give other results; install the same on "
                                 "every node.")
        self._failed_starts = 0
        self._places[worker] = place
        self._idle.append(worker)

    def _result(self, ref: Any) -> Ended | None:
        """Return what a job gave; None if its worker died, and it is to be done again."""
        errors = self._ray.exceptions
        worker, number, job = self._busy.pop(ref)
        try:
            ended = Ended(number, *self._ray.get(ref))
        except errors.RayTaskError as err:
            raise err.cause from None
        except errors.RayError as err:
            self._ray.kill(worker)  # a node that cannot be reached may still run it
            self._tries[number] += 1
            if self._tries[number] == TRIES:
                raise InputError(
                    f"The worker on the Ray cluster died {TRIES} times in {job.kind} "
                    f"{job.argument} ({type(err).__name__}), perhaps for lack of memory; what was "
                    "finished is kept: start again with fewer --workers.") from None
            print(f"a worker on the Ray cluster died in {job.kind} {job.argument}, which is done "
                  "again", file=sys.stderr)
            self._queue.appendleft((number, job))
            return None
        self._idle.append(worker)
        return ended

    def _say_that_it_waits(self) -> None:
        now = time.monotonic()
        if self._busy or not self._queue:
            self._waiting_since = now
        elif now - self._waiting_since > PATIENCE_S:
            print(f"waiting for a free CPU of the Ray cluster {self._address}", file=sys.stderr)
            self._waiting_since = float("inf")


def _join(address: str, count: int | None) -> Any:
    """Connect this process to a cluster, or start one; return the module ``ray``."""
    require("--ray", "ray")
    os.environ.update({**RAY_SETTINGS, **os.environ})
    import ray

    warnings.filterwarnings("ignore", "Ray Client connection timed out", UserWarning)
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL"}
    if address == "auto" and os.environ.get("RAY_ADDRESS"):
        address = os.environ["RAY_ADDRESS"]
        try:
            check_ray_address(address)
        except ValueError as err:
            raise InputError(f"RAY_ADDRESS is {address}; {err}.") from None
    if ":" in address:
        _check_answer(address)
    try:
        if address != "local":
            try:
                ray.init(address=address, **quiet)
                return ray
            except ConnectionError:
                if address != "auto":
                    raise
        ray.init(address="local", num_cpus=count, include_dashboard=False,
                 object_store_memory=OBJECT_STORE_BYTES, **quiet)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as err:
        ray.shutdown()
        raise InputError(f"--ray {address} cannot be joined ({_last_line(err)}); HOST:PORT is for "
                         "a cluster that this machine is a node of, ray://HOST:PORT for any "
                         "other, with the Ray and Python of this machine, and with "
                         "RAY_AUTH_MODE=token where it asks for Ray's token.") from None
    return ray


def _last_line(err: BaseException) -> str:
    """Return the end of a message that may hold a traceback, without a final period."""
    return next((line.strip().rstrip(".") for line in reversed(str(err).splitlines())
                 if line.strip()), type(err).__name__)


def _check_answer(address: str) -> None:
    """Raise ``InputError`` if nothing speaks gRPC there; Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_S) as connection:
            connection.settimeout(ANSWER_S)
            connection.sendall(_GREETING)
            answer = connection.recv(9)
        trouble = "" if answer[3:4] == bytes([_SETTINGS_FRAME]) else "what answers is not Ray"
    except OSError as err:
        trouble = err.strerror or str(err)
    if trouble:
        raise InputError(f"No Ray cluster answers at {address} ({trouble}); start one with 'ray "
                         "start --head', or give local to start one on this machine.")
