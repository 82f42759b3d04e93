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

"""What the pool needs of the processes that do its jobs, wherever they run."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable


class Job(NamedTuple):
    """A function call for another process.

    Attributes:
        kind: ``run``, ``episode`` ...; jobs of a kind take about the same time.
        function: defined at the top level of a module, so that it can be pickled.
        argument: its only argument; its text names the job in errors.
        in_place: files beside which the job reads and writes. A process on another machine must
            find them there, with the same content; others refuse the job.
    """

    kind: str
    function: Callable[[Any], Any]
    argument: Any
    in_place: tuple[Path, ...] = ()

    def timed(self) -> tuple[float, Any]:
        """Do the job; return the seconds it took and its result."""
        started = time.perf_counter()
        result = self.function(self.argument)
        return time.perf_counter() - started, result


@runtime_checkable
class ReadsDirectory(Protocol):
    """The argument of a job that reads a directory, of which another machine needs a copy."""

    @property
    def directory(self) -> Path:
        """The directory."""

    def moved_to(self, directory: Path) -> ReadsDirectory:
        """Return the argument that reads a copy."""


class Ended(NamedTuple):
    """A job that has ended.

    Attributes:
        number: as given to ``submit``.
        seconds: that it took.
        result: what its function returned.
    """

    number: int
    seconds: float
    result: Any


class Workers(ABC):
    """Processes that do jobs, each one at a time; they start when they are needed.

    Attributes:
        count: jobs at the same time.
    """

    count: int

    @abstractmethod
    def submit(self, number: int, job: Job) -> None:
        """Have a job done; no more than ``count`` may be under way."""

    @abstractmethod
    def wait(self, seconds: float) -> Iterator[Ended]:
        """Yield jobs as soon as one or more have ended; nothing after so many seconds.

        Raises:
            InputError: a process was lost, or cannot do the job.
            Exception: what a job raised.
        """

    @abstractmethod
    def stop(self) -> None:
        """Send SIGTERM to those that do a job; training saves on it."""

    @abstractmethod
    def close(self) -> None:
        """End all processes, when their jobs have ended."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error) -> None:
        self.close()
