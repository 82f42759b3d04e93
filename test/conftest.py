# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all tests."""

from __future__ import annotations

import os

import pytest

# A domain of its own for every test process, so that test runs do not hear each other or a robot.
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Tiny networks are slower with more threads, and test processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tiny_config():
    """A small policy configuration that fits the MetaWorld bridge."""
    from test.support import tiny_policy_config
    return tiny_policy_config()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_config):
    """A checkpoint directory with random weights; tests that damage one must copy it."""
    from test.support import write_random_checkpoint
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    write_random_checkpoint(path, tiny_config)
    return path
