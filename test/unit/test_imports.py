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

"""What an import loads, and so what a machine must have. Who may import whom: pyproject.toml."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "mujoco", "metaworld", "matplotlib"}
ROS = {"rclpy", "sensor_msgs", "launch", "launch_ros"}


def modules(room: str, *without: str) -> list[str]:
    """Return the names of all modules of a room, except some."""
    paths = sorted((ROOT / room).rglob("*.py"))
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in paths]
    return [n.removesuffix(".__init__") for n in names if n.rpartition(".")[2] not in without]


def loaded_by(names: list[str]) -> set[str]:
    """Import modules in a fresh interpreter and return the top-level packages it then holds."""
    code = ("import importlib, sys\n"
            f"for name in {names!r}: importlib.import_module(name)\n"
            "print(' '.join({m.split('.')[0] for m in sys.modules}))")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                         check=False)
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.split())
    assert {n.split(".")[0] for n in names} <= loaded
    return loaded


@pytest.mark.parametrize("room", ["tinyvla_ros", "sim_bridge", "training", "benchmarks", "test"])
def test_nothing_imports_private_names_of_other_packages(room):
    own = {"tinyvla_ros", "sim_bridge", "training", "harness"} | {
        p.stem for p in (ROOT / "benchmarks").glob("_*.py")}
    found = []
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [
                f"{node.module}.{a.name}" for a in node.names] \
                if isinstance(node, ast.ImportFrom) else []
            found += [f"{path}: {n}" for n in names if n.split(".")[0] not in own and
                      any(p.startswith("_") and not p.startswith("__") for p in n.split("."))]
    assert not found


def test_the_command_and_all_that_reads_contracts_and_bags_load_nothing_heavy():
    names = [*modules("tinyvla_ros/core"), *modules("tinyvla_ros/arm"),
             *modules("tinyvla_ros/bags", "replay"), *modules("tinyvla_ros/report"),
             *modules("tinyvla_ros/dry_run"), *modules("tinyvla_ros/start"),
             "tinyvla_ros.cli.main"]
    assert {"tinyvla_ros.arm.contract", "tinyvla_ros.bags.reader"} <= set(names)
    assert not loaded_by(names) & (HEAVY | ROS)


def test_a_compiled_policy_and_a_replay_load_nothing_heavy():
    names = ["policy.policy", "policy.backends.choose", "policy.backends.onnxruntime_backend",
             "policy.saved_checkpoint", "policy.language", "policy.tokens", "bags.replay"]
    loaded = loaded_by([f"tinyvla_ros.{name}" for name in names])
    assert "onnxruntime" in loaded
    assert not loaded & (HEAVY | ROS)


def test_the_policy_loads_neither_ros_nor_a_simulator():
    # openvino is optional.
    loaded = loaded_by([*modules("tinyvla_ros/policy", "openvino_backend"),
                        "tinyvla_ros.bags.replay", *modules("tinyvla_ros/lerobot_import")])
    assert "torch" in loaded
    assert not loaded & (ROS | {"mujoco", "metaworld", "transformers", "sim_bridge", "training"})


@pytest.mark.simulator
def test_simulation_and_training_load_no_ros():
    loaded = loaded_by([n for n in (*modules("sim_bridge"), *modules("training"))
                        if ".nodes" not in n])
    assert "mujoco" in loaded
    assert not loaded & ROS


def test_the_policy_node_loads_no_simulator_and_no_pretrained_model():
    pytest.importorskip("rclpy")
    loaded = loaded_by(["tinyvla_ros.nodes.policy_node"])
    assert not loaded & {"mujoco", "metaworld", "transformers", "sim_bridge", "training"}
