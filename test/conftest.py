# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all tests."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

import pytest


def _own_domain():
    """Claim a ROS domain that no other test process on this machine has, while this one lives."""
    for attempt in range(100):
        domain = 1 + (os.getpid() + attempt) % 100
        # Never removed: a lock on a file that is gone would not be seen by the next one.
        claim = (Path(tempfile.gettempdir()) / f"tinyvla-test-domain-{domain}.lock").open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            continue
        return domain, claim
    raise RuntimeError("100 test processes are running; wait for some of them")


# Test runs do not hear each other or a robot.
if "ROS_DOMAIN_ID" not in os.environ:
    _domain, _claim = _own_domain()
    os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Tiny networks are slower with more threads, and test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
