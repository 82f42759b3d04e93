# SPDX-License-Identifier: Apache-2.0
"""Graph tests need rclpy, without which they skip with a reason, and time to start nodes."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: run 'make setup' or source ROS 2 Jazzy")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark all of them as slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")
