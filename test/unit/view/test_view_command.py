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

"""What ``tinyvla view`` says of options, bags and ports that it cannot use."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from harness.bags import WALL_NS, Sent, lockstep, write
from harness.ros_messages import make
from tinyvla_ros.cli.main import main


def refusal(capsys, *arguments: object) -> str:
    """Return the one sentence with which a command line is refused."""
    assert main(["view", *map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("error: ")
    return err


@pytest.mark.parametrize(("arguments", "words"), [
    ([], ["--rerun or --foxglove"]),
    (["--rerun", "--foxglove"], ["one of them"]),
    (["--rerun", "--save", "x.mcap"], ["x.mcap", ".rrd"]),
    (["--foxglove", "--save", "x.rrd"], ["x.rrd", ".mcap"]),
    (["--rerun", "--layout", "x.json"], ["--layout", "--foxglove"]),
    (["--foxglove", "--port", "0"], ["--port", "65535"]),
])
def test_options_that_do_not_fit(capsys, arguments, words):
    said = refusal(capsys, *arguments)
    assert all(word in said for word in words)


@pytest.mark.parametrize(("option", "module"), [("--rerun", "rerun"), ("--foxglove", "foxglove")])
def test_a_viewer_that_is_not_installed(capsys, monkeypatch, option, module):
    monkeypatch.setattr("tinyvla_ros.core.extras.is_installed", lambda name: name != module)
    said = refusal(capsys, option)
    assert f"pip install 'tinyvla_ros[{module}]'" in said and "or use --" in said


def needs_foxglove() -> None:
    pytest.importorskip("foxglove",
                        reason="needs foxglove-sdk: pip install 'tinyvla_ros[foxglove]'")


def test_a_bag_that_is_none(capsys, tmp_path):
    needs_foxglove()
    assert "does not exist" in refusal(capsys, "--foxglove", tmp_path / "none")
    kind = "std_msgs/msg/Bool"
    other = write(tmp_path / "bag", [Sent("/door", kind, WALL_NS, make(kind, data=True))], {})
    assert "nothing to show" in refusal(capsys, "--foxglove", other)
    assert "none.yaml" in refusal(capsys, "--foxglove", other, "--robot", tmp_path / "none.yaml")


def test_a_folder_that_is_not_there(capsys, tmp_path):
    needs_foxglove()
    bag = write(tmp_path / "bag", lockstep(2))
    said = refusal(capsys, "--foxglove", bag, "--save", tmp_path / "none" / "x.mcap")
    assert "none" in said and "x.mcap" in said


def test_a_port_that_is_taken(capsys, tmp_path):
    needs_foxglove()
    bag = write(tmp_path / "bag", lockstep(2))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = refusal(capsys, "--foxglove", bag, "--port", port)
    assert f"--port {port}" in said and "127.0.0.1" in said


def test_a_host_that_is_not_this_machine(capsys, tmp_path):
    needs_foxglove()
    bag = write(tmp_path / "bag", lockstep(2))
    assert "--host" in refusal(capsys, "--foxglove", bag, "--host", "not a host")


def test_neither_viewer_is_loaded_before_it_is_chosen():
    code = ("import sys, tinyvla_ros.cli.view; "
            "sys.exit(bool({'rerun', 'foxglove'} & sys.modules.keys()))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
