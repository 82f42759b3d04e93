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

"""Launch files, colcon and pytest run in a Python without our dependencies, and find ours."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAUNCH = ROOT / "launch"
# Like the Python of ROS, it has none of our dependencies.
BARE = [str(Path(sys.executable).resolve()), "-S"]
# What may lead to our environment.
HIDDEN = ("VIRTUAL_ENV", "PYTHONPATH", "AMENT_PREFIX_PATH")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in HIDDEN}


def ask(code: str, *arguments: str, file: Path = LAUNCH / "environment_python.py",
        **environment: str) -> subprocess.CompletedProcess:
    """Run code in the bare Python with the names of ``environment_python.py``."""
    return subprocess.run(
        [*BARE, "-c", f"import runpy, sys; names = runpy.run_path(sys.argv[1])\n{code}",
         str(file), *arguments], capture_output=True, text=True, check=False, timeout=100,
        env=ENVIRONMENT | environment)


def graph(name: str, **values) -> subprocess.CompletedProcess:
    """Describe a graph, from the bare Python with our environment active."""
    known = json.loads((LAUNCH / "arguments.json").read_text())[name]
    texts = {a["name"]: a["default"] or "" for a in known}
    texts |= {k: str(v) for k, v in values.items()}
    return ask("import json; g = names['Graph'](*json.loads(sys.argv[2])); "
               "print(json.dumps([g.python, g.nodes, g.on_exit]))",
               json.dumps([name, texts]), VIRTUAL_ENV=sys.prefix)


@pytest.mark.parametrize("file", sorted(LAUNCH.glob("*.py")), ids=lambda path: path.name)
def test_launch_files_import_only_the_standard_library_and_launch(file):
    allowed = sys.stdlib_module_names | {"launch", "launch_ros"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {n.split(".")[0] for n in names} <= allowed


def test_the_bare_python_is_bare():
    assert "pydantic" in subprocess.run([*BARE, "-c", "import pydantic"], capture_output=True,
                                        text=True, check=False).stderr


@pytest.mark.simulator
def test_nodes_are_described_by_the_active_environment(tmp_path, tiny_checkpoint):
    done = graph("sim_eval", checkpoint=tiny_checkpoint, tasks="reach-v3 button-press-v3",
                 out=tmp_path / "out", namespace="/arm_1", log_level="warn")
    python, nodes, on_exit = json.loads(done.stdout)
    assert python == f"{sys.prefix}/bin/python3"
    assert on_exit == "shutdown"
    assert [n["executable"] for n in nodes] == ["eval_node", "sim_bridge_node", "policy_node"]
    assert {n["namespace"] for n in nodes} == {"/arm_1"}
    for node in nodes:
        assert node["ros_arguments"][-2:] == ["--log-level", "warn"]
    assert "tasks:=[reach-v3, button-press-v3]" in nodes[0]["ros_arguments"]
    assert not (tmp_path / "out").exists()


def test_a_checkout_in_the_present_directory_is_not_taken_for_the_package(
        tmp_path, tiny_checkpoint, monkeypatch):
    (tmp_path / "tinyvla_ros").mkdir()
    (tmp_path / "tinyvla_ros" / "__init__.py").write_text("raise RuntimeError('another one')")
    monkeypatch.chdir(tmp_path)
    done = graph("policy", robot=ROOT / "config/robots/metaworld.yaml", checkpoint=tiny_checkpoint)
    assert [n["executable"] for n in json.loads(done.stdout)[1]] == ["policy_node"]


@pytest.mark.parametrize(("name", "values", "words"), [
    ("sim_eval", {"tasks": "reach-v2"}, "'reach-v3'"),
    ("sim_eval", {"tasks": ""}, "at least one"),
    ("sim_eval", {"episodes": "many"}, "many"),
    pytest.param("sim_eval", {"checkpoint": "/nowhere"}, "/nowhere", marks=pytest.mark.simulator),
    ("sim_eval", {"namespace": "arm-1"}, "arm-1"),
    ("policy", {"robot": "/nowhere.yaml"}, "/nowhere.yaml"),
    ("policy", {"params_file": "/nowhere.yaml"}, "/nowhere.yaml"),
    ("dry_run", {"join": "mix"}, "ensemble"),
])
def test_what_cannot_run_is_one_sentence_and_leaves_nothing(
        name, values, words, tmp_path, tiny_checkpoint):
    defaults = {"checkpoint": tiny_checkpoint} | ({"out": tmp_path / "out"}
                                                  if name == "sim_eval" else {})
    if name == "policy":
        defaults["robot"] = ROOT / "config/robots/metaworld.yaml"
    done = graph(name, **defaults | values)
    assert done.returncode != 0
    assert words in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_was_made_for_a_dry_run_lasts_as_long_as_the_launch():
    code = """
import json, pathlib
values = {a["name"]: a["default"] for a in json.loads(sys.argv[2])["dry_run"]}
arguments = names["Graph"]("dry_run", values).nodes[0]["ros_arguments"]
[path] = [a.split(":=")[1] for a in arguments if a.startswith("checkpoint:=")]
print(path, (pathlib.Path(path) / "config.json").is_file())
"""
    done = ask(code, (LAUNCH / "arguments.json").read_text(), VIRTUAL_ENV=sys.prefix)
    path, was_there = done.stdout.split()
    assert was_there == "True"
    wait_until_gone(Path(path))


def wait_until_gone(path: Path) -> None:
    """Wait for a process that ends after its parent; the test's time limit is the limit."""
    while path.exists():
        os.sched_yield()


@pytest.fixture
def prefix(tmp_path):
    """A prefix with the launch files, as colcon installs them."""
    shutil.copytree(LAUNCH, tmp_path / "share/tinyvla_ros/launch")
    (tmp_path / "lib/tinyvla_ros").mkdir(parents=True)
    return tmp_path


def test_without_an_active_environment_the_executables_tell(prefix):
    (prefix / "lib/tinyvla_ros/policy_node").write_text(f"#!{sys.prefix}/bin/python3\n")
    done = ask("print(names['find_python']())",
               file=prefix / "share/tinyvla_ros/launch/environment_python.py")
    assert done.stdout.strip() == f"{sys.prefix}/bin/python3"


def test_without_either_dot_venv_of_the_workspace_is_found(prefix):
    (prefix / ".venv").symlink_to(sys.prefix)
    done = ask("print(names['find_python']())",
               file=prefix / "share/tinyvla_ros/launch/environment_python.py")
    assert done.stdout.strip() == f"{prefix}/.venv/bin/python3"


def test_without_any_it_says_what_to_do(prefix):
    done = ask("names['find_python']()",
               file=prefix / "share/tinyvla_ros/launch/environment_python.py")
    last = done.stderr.splitlines()[-1]
    for words in ("onnxruntime", "make setup", "activate"):
        assert words in last


@pytest.fixture
def bare_pytest(tmp_path):
    """A folder with pytest and what it needs, for the bare Python."""
    packages = tmp_path / "packages"
    packages.mkdir()
    needed = ["pytest", "pluggy", "iniconfig", "packaging", "pygments"]
    if sys.version_info < (3, 11):
        needed += ["exceptiongroup", "tomli", "typing_extensions"]
    for name in needed:
        for path in distribution(name).files:
            top = packages / path.parts[0]
            if path.parts[0] != ".." and top.suffix != ".dist-info" and not top.exists():
                top.symlink_to(distribution(name).locate_file(path.parts[0]))
    return packages


def test_pytest_of_a_bare_python_runs_the_tests_with_ours(bare_pytest):
    """As ``colcon test`` does."""
    done = subprocess.run(
        [*BARE, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test/unit/cli/test_options.py",
         "-k", "defaults_and_types"], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=200, env=ENVIRONMENT | {"VIRTUAL_ENV": sys.prefix,
                                        "PYTHONPATH": str(bare_pytest)})
    assert "1 passed" in done.stdout
    assert done.returncode == 0


def test_the_plugin_of_launch_testing_does_not_break_pytest(tmp_path):
    """That of jazzy takes what pytest 9 no longer gives; a sourced ROS 2 puts it in reach."""
    (tmp_path / "hooks.py").write_text("def pytest_pycollect_makemodule(path, parent): pass\n")
    (tmp_path / "other_hooks.py").write_text("def pytest_launch_collect_makemodule(path): pass\n")
    info = tmp_path / "launch_testing-3.4.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: launch_testing\nVersion: 3.4.3\n")
    (info / "entry_points.txt").write_text(
        "[pytest11]\nlaunch_testing = hooks\nlaunch_ros = other_hooks\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only",
         "test/unit/cli/test_options.py"], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=200, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
