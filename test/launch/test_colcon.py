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

"""``colcon build`` on a Python without our dependencies, with our environment active."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    shutil.which("colcon") is None, reason="colcon is not installed; pip install "
                                           "colcon-common-extensions")]


@pytest.fixture
def workspace(tmp_path):
    """A workspace with the package."""
    package = tmp_path / "src" / "tinyvla_ros"
    package.mkdir(parents=True)
    for name in ("setup.py", "setup.cfg", "package.xml"):
        shutil.copy(ROOT / name, package)
    for name in ("resource", "launch", "config", "tinyvla_ros", "sim_bridge", "training"):
        shutil.copytree(ROOT / name, package / name)
    return tmp_path


@pytest.mark.parametrize("mode", [(), ("--symlink-install",)], ids=["copies", "links"])
def test_executables_run_with_the_environments_python(workspace, mode):
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
    subprocess.run(["colcon", "build", *mode], cwd=workspace, check=True, timeout=250,
                   env=environment, capture_output=True)
    script = workspace / "install/tinyvla_ros/lib/tinyvla_ros/policy_node"
    assert script.read_text().splitlines()[0] == f"#!{sys.prefix}/bin/python3"
    shared = workspace / "install/tinyvla_ros/share/tinyvla_ros/launch"
    assert {p.name for p in (ROOT / "launch").iterdir() if p.is_file()} <= {
        p.name for p in shared.iterdir()}
    start = f". {workspace}/install/setup.bash; {script} --ros-args -p checkpoint:=/nowhere"
    node = subprocess.run(
        ["bash", "-c", start],
        capture_output=True, text=True, check=False, timeout=250,
        env={k: v for k, v in environment.items() if k != "VIRTUAL_ENV"})
    assert node.returncode == 2
    assert "/nowhere" in node.stderr
    assert "Traceback" not in node.stderr
