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

"""What runs on the nodes of a Ray cluster: one process that does one job after the other."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import tinyvla_ros
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.jobs.workers import Job, ReadsDirectory

# Other versions of these compute other results.
PACKAGES = ("numpy", "torch", "onnxruntime", "mujoco", "metaworld", "gymnasium")
_ROOMS = ("tinyvla_ros", "sim_bridge", "training")
_BEGINNING = 1 << 20


class Packed(NamedTuple):
    """A directory on its way to other machines.

    Attributes:
        digest: of names and contents, hexadecimal.
        files: a list, so that Ray passes it on unread, with the ``ObjectRef`` of what
            ``pack`` returned.
    """

    digest: str
    files: list


class RayWorker:
    """An actor that keeps environments and policies between jobs, as a local process does.

    Args:
        environment: variables to set before the simulator and torch are loaded.
        directory: to work in, if this machine has it.
        import_path: where the command finds modules, for what is not installed here.
    """

    def __init__(self, environment: Mapping[str, str], directory: str,
                 import_path: Sequence[str] = ()):
        os.environ.update(environment)
        sys.path += [place for place in import_path if place not in sys.path]
        with suppress(OSError):
            os.chdir(directory)
        self._copies: tempfile.TemporaryDirectory | None = None

    def introduce(self) -> dict[str, Any]:
        """Return ``host``, ``node``, ``pid`` and ``versions`` of this process."""
        import ray

        return {"host": socket.gethostname(), "pid": os.getpid(),
                "node": ray.get_runtime_context().get_node_id(), "versions": versions()}

    def do(self, job: Job, in_place: Mapping[Path, str],
           packed: Packed | None) -> tuple[float, Any]:
        """Do a job.

        Args:
            job: what to do.
            in_place: its files with their ``fingerprint`` on the machine of the command.
            packed: the directory that its argument reads.

        Returns:
            The seconds it took, and its result.

        Raises:
            InputError: a file of ``in_place`` is another one here; also what the job raises.
        """
        for path, expected in in_place.items():
            if fingerprint(path) != expected:
                raise InputError(
                    f"{path} is not on the Ray node {socket.gethostname()} what it is on this "
                    f"machine, and a {job.kind} reads and writes beside it; use directories that "
                    "all nodes share, by the same path, or leave out --ray.")
        if packed is not None and isinstance(job.argument, ReadsDirectory):
            job = job._replace(argument=job.argument.moved_to(self._unpack(packed)))
        try:
            return job.timed()
        except (SystemExit, KeyboardInterrupt):  # a stop
            self.clean_up()
            raise

    def _unpack(self, packed: Packed) -> Path:
        import ray

        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="tinyvla-")
        place = Path(self._copies.name) / packed.digest
        if not place.exists():
            part = place.with_suffix(".part")
            for name, content in ray.get(packed.files[0]).items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).write_bytes(content)
            part.rename(place)
        return place

    def clean_up(self) -> None:
        """Delete the copies."""
        if self._copies is not None:
            self._copies.cleanup()


def terminate(pid: int) -> None:
    """Send SIGTERM to a worker on this machine, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def pack(directory: Path) -> tuple[str, dict[str, bytes]]:
    """Return the digest and the content of the files below a directory."""
    files = {p.relative_to(directory).as_posix(): p.read_bytes()
             for p in sorted(directory.rglob("*")) if p.is_file()}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16], files


def fingerprint(path: Path) -> str:
    """Return what tells a file from others: its size and beginning; empty if there is none."""
    try:
        with path.open("rb") as file:
            return f"{path.stat().st_size} {hashlib.sha256(file.read(_BEGINNING)).hexdigest()}"
    except OSError:
        return ""


def versions() -> dict[str, str]:
    """Return the versions that decide about results, "none" for what is not installed."""
    found = {"tinyvla_ros": f"{tinyvla_ros.__version__} ({_code()})"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _code() -> str:
    """Return a digest of our code and settings: a checkout may have changed under its version."""
    digest = hashlib.sha256()
    root = Path(tinyvla_ros.__file__).parents[1]
    places = [(root, root / room, "*.py") for room in _ROOMS]
    places.append((share_directory(), share_directory() / "config", "*.yaml"))
    for base, place, pattern in places:
        for path in sorted(place.rglob(pattern)):
            digest.update(path.relative_to(base).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]
