# SPDX-License-Identifier: Apache-2.0
"""Graph tests need rclpy; without it they skip with a reason."""

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: run 'make setup' or source ROS 2 Jazzy")
