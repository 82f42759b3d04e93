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

"""What ROS cannot use ends every node and command with one sentence and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tinyvla_ros.start.executables import PACKAGES

LIGHT = "dry_run_report_node"  # imports no torch
NODE = [sys.executable, "-m", "tinyvla_ros.start.executables"]
COMMANDS = {"dry-run": ["dry-run", "--seconds", "1"],
            "sim-eval": ["sim-eval", "--tasks", "reach-v3", "--episodes", "1", "--out", "{out}"],
            "robot check": ["robot", "check", "config/robots/metaworld.yaml", "--live"],
            "robot init": ["robot", "init", "--out", "{out}"]}
MALFORMED = {"malformed.yaml": "policy_node: [1,\n", "no-parameters.yaml": "policy_node: 3\n"}

# Environment of a process -> what the sentence must name: the value and what is valid.
ENVIRONMENTS = {
    "domain": ({"ROS_DOMAIN_ID": "abc"}, ("ROS_DOMAIN_ID", "'abc'", "232")),
    "domain too large": ({"ROS_DOMAIN_ID": "233"}, ("ROS_DOMAIN_ID", "'233'", "232")),
    "domain below zero": ({"ROS_DOMAIN_ID": "-1"}, ("ROS_DOMAIN_ID", "'-1'", "232")),
    "middleware": ({"RMW_IMPLEMENTATION": "rmw_foo"}, ("'rmw_foo'", "rmw_fastrtps_cpp")),
    "range": ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "HERE"}, ("'HERE'", "SUBNET", "LOCALHOST")),
    "home": ({"HOME": "/proc"}, ("/proc/.ros/log", "ROS_LOG_DIR")),
    "no home": ({"HOME": None}, ("HOME", "ROS_LOG_DIR")),
    "log directory": ({"ROS_LOG_DIR": "/proc"}, ("/proc", "ROS_LOG_DIR")),
    "ros home": ({"ROS_HOME": "/proc"}, ("/proc/log", "ROS_LOG_DIR")),
    "profile": ({"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere.xml"},
                ("FASTDDS_DEFAULT_PROFILES_FILE", "/nowhere.xml", "XML")),
}
# Arguments of a process -> what the sentence must name.
ARGUMENTS = {
    "no equals": (["--ros-args", "-p", "rate=10"], ("'rate=10'", "-p NAME:=VALUE")),
    "no file": (["--ros-args", "--params-file", "/nowhere.yaml"],
                ("/nowhere.yaml", "no such file", "ros__parameters")),
    "no flag": (["rate:=10"], ("'rate:=10'", "--ros-args -p NAME:=VALUE")),
}
MORE_ARGUMENTS = {
    "malformed file": (["--ros-args", "--params-file", "{folder}/malformed.yaml"],
                       ("malformed.yaml", "line 1", "ros__parameters")),
    "file without parameters": (["--ros-args", "--params-file", "{folder}/no-parameters.yaml"],
                                ("no-parameters.yaml", "line 1", "ros__parameters")),
    "empty value": (["--ros-args", "-p", "seconds:="], ("'seconds:='", "-p NAME:=VALUE")),
    "no parameter": (["--ros-args", "-p"], ("-p", "NAME:=VALUE")),
    "remapping": (["--ros-args", "-r", "badrule"], ("'badrule'", "FROM:=TO")),
    "node name": (["--ros-args", "-r", "__node:=9bad"], ("'__node:=9bad'", "digit")),
    "namespace": (["--ros-args", "-r", "__ns:=bad-ns"], ("'__ns:=bad-ns'", "-r __ns:=/left")),
    "topic": (["--ros-args", "-r", "/diagnostics:=a-b"], ("'/diagnostics:=a-b'", "'_'")),
    "flag": (["--ros-args", "--frobnicate"], ("--frobnicate", "--params-file FILE")),
    "level": (["--ros-args", "--log-level", "loud"], ("'loud'", "debug", "fatal")),
    "enclave": (["--ros-args", "-e", "left"], ("absolute",)),
    "logger": (["--ros-args", "--log-config-file", "/x"], ("external configuration",)),
    "value": (["--ros-args", "-p", "seconds:=soon"], ("'seconds'", "soon", "number")),
    "out of range": (["--ros-args", "-p", "seconds:=-1.0"], ("'seconds'", "-1.0", "from 0")),
}


def start(command: list[str], environment: dict[str, str | None]) -> subprocess.Popen:
    variables = {k: v for k, v in (os.environ | environment).items() if v is not None}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def expect_sentence(process: subprocess.Popen, named: tuple[str, ...]) -> None:
    """Wait for the end, and for one sentence with all that it must name."""
    out, err = process.communicate(timeout=100.0)
    assert process.returncode == 2, out + err
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and lines[0].endswith((".", "?")), \
        err
    for text in named:
        assert text in lines[0]


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_an_environment_that_ros_cannot_use(case):
    environment, named = ENVIRONMENTS[case]
    for process in [start([*NODE, name], environment) for name in PACKAGES]:
        expect_sentence(process, named)


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_that_no_node_can_use(case):
    arguments, named = ARGUMENTS[case]
    for process in [start([*NODE, name, *arguments], {}) for name in PACKAGES]:
        expect_sentence(process, named)


@pytest.mark.parametrize("case", MORE_ARGUMENTS)
def test_arguments_that_a_node_cannot_use(case, tmp_path):
    for name, text in MALFORMED.items():
        (tmp_path / name).write_text(text)
    arguments, named = MORE_ARGUMENTS[case]
    arguments = [a.format(folder=tmp_path) for a in arguments]
    expect_sentence(start([*NODE, LIGHT, *arguments], {}), named)


def test_a_node_that_the_middleware_cannot_create():
    process = start([*NODE, LIGHT], {"ROS_STATIC_PEERS": "no such host"})
    _, err = process.communicate(timeout=100.0)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert "no such host" in err.splitlines()[-1] and "ROS_STATIC_PEERS" in err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("case", ["domain", "middleware", "log directory"])
def test_a_command_whose_nodes_cannot_start(case, command, tmp_path):
    environment, named = ENVIRONMENTS[case]
    arguments = [a.format(out=tmp_path / "out") for a in COMMANDS[command]]
    expect_sentence(start([sys.executable, "-m", "tinyvla_ros.cli", *arguments], environment),
                    named)
    assert not (tmp_path / "out").exists(), "the corrected command can use it"
