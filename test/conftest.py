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

"""Fixtures shared by all tests."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import tempfile
from pathlib import Path

import pytest


def _own_domain():
    """Claim a ROS domain that no other test process on this machine has, while this one lives."""
    for attempt in range(100):
        domain = 1 + (os.getpid() + attempt) % 100
        path = Path(tempfile.gettempdir()) / f"tinyvla-test-domain-{domain}.lock"
        try:
            # Never removed: a lock on a file that is gone would not be seen by the next one.
            claim = path.open("w")
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # taken, maybe by another user
            continue
        return domain, claim
    raise RuntimeError("100 test processes are running; wait for some of them")


# Test processes do not hear each other or a robot, whatever domain the shell is set to.
_domain, _claim = _own_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Tiny networks are slower with more threads, and test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)  # behind the shuffling
def pytest_collection_modifyitems(items):
    """Start with the files that take longest, so that no worker ends with one of them alone."""
    slow = {i.path for i in items if i.get_closest_marker("slow") or i.get_closest_marker("alone")}
    items.sort(key=lambda i: i.path not in slow)


@pytest.hookimpl(tryfirst=True)  # before the fixtures
def pytest_runtest_setup(item):
    """Skip what needs the simulator where there is none."""
    if item.get_closest_marker("simulator"):
        missing = [name for name in ("mujoco", "metaworld", "gymnasium")
                   if importlib.util.find_spec(name) is None]
        if missing:
            pytest.skip(f"needs {' and '.join(missing)}: not for this Python, or not installed")


class _Machine:
    """Lets tests marked ``alone`` run while no other worker of this run has one running."""

    def __init__(self, folder: Path):
        self._gate, self._room = (folder / "gate").open("w"), (folder / "room").open("w")
        self._entered = False

    def enter(self, alone: bool) -> None:
        """Wait until a test may begin."""
        if self._entered:
            return
        # Who waits in the gate lets nobody else in, so the room becomes empty.
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._entered = True

    def leave(self) -> None:
        """Let others in."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        self._entered = False


def pytest_configure(config):
    """Share the machine with the other workers, if there are any."""
    if hasattr(config, "workerinput"):
        config.machine = _Machine(config.cache.mkdir("machine"))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # waiting does not count for the time limit
def pytest_runtest_protocol(item, nextitem):
    """Have the machine, alone or not, during a test and the fixtures of its file."""
    machine = getattr(item.config, "machine", None)
    if machine is None:
        return (yield)

    def alone(test) -> bool:
        return test is not None and test.get_closest_marker("alone") is not None

    machine.enter(alone(item))
    try:
        return (yield)
    finally:
        # What follows in the same file keeps the machine.
        if not (alone(item) and alone(nextitem)):
            machine.leave()


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Remember whether a test failed, for ``nothing_left_by_a_failed_test``."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def nothing_left_by_a_failed_test(request):
    """Ends processes and ROS contexts that would be in the domain of the tests that follow."""
    from harness import left_over
    begin = left_over.mark()
    yield
    if request.node.stash.get(_failed, False):
        left_over.end_since(begin, with_rigs=False)


@pytest.fixture(autouse=True, scope="module")
def nothing_left_by_a_file():
    """The same at the end of a file, whose tests may share what one of them started."""
    from harness import left_over
    begin = left_over.mark()
    yield
    left = left_over.end_since(begin, with_rigs=True)
    assert not left, f"left running, and ended now: {left}"


@pytest.fixture(scope="session")
def tiny_config():
    """A small policy configuration that fits the MetaWorld bridge."""
    from harness.policies import tiny_policy_config
    return tiny_policy_config()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_config):
    """A checkpoint directory with random weights; tests that damage one must copy it."""
    from harness.policies import write_random_checkpoint
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    write_random_checkpoint(path, tiny_config)
    return path
