# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the core is free of ROS, of the simulator and of training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Rooms that need ROS; every other one must be importable without it.
ROS_ROOMS = {"nodes"}
ROS_MODULES = {"launch_graph", "__main__"}


def core_modules() -> list[str]:
    package = ROOT / "tinyvla_ros"
    modules = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] not in ROS_ROOMS | {"cli"} and parts[-1] not in ROS_MODULES:
            modules.append(".".join(parts).removesuffix(".__init__"))
    return modules


def imported_by(modules: list[str]) -> set[str]:
    """Import modules in a fresh interpreter and return the top-level packages it then holds."""
    code = ("import importlib, sys\n"
            f"for name in {modules!r}: importlib.import_module(name)\n"
            "print(' '.join({m.split('.')[0] for m in sys.modules}))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                         check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_core_needs_neither_ros_nor_simulator_nor_training():
    modules = core_modules()
    assert "tinyvla_ros.policy.policy" in modules
    loaded = imported_by(modules)
    assert "tinyvla_ros" in loaded
    assert not loaded & {"rclpy", "sensor_msgs", "mujoco", "metaworld", "sim_bridge", "training",
                         "launch", "launch_ros"}


def test_environment_and_training_need_no_ros():
    loaded = imported_by(["sim_bridge.rollout", "training.data.collect", "training.learning.train",
                          "training.experiments.evaluate"])
    assert "mujoco" in loaded
    assert "rclpy" not in loaded


@pytest.mark.parametrize("module", ["sim_bridge.nodes.sim_bridge_node",
                                    "sim_bridge.nodes.eval_node"])
def test_bridge_never_imports_training(module):
    pytest.importorskip("rclpy")
    assert "training" not in imported_by([module])
