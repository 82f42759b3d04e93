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

"""A node that is interrupted while it loads ends without a word, and with who started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tinyvla_ros.start.executables import PARENT

# Writes to the pipe as soon as nobody reads it any more.
CHILD = """
import os, sys, time
parent = os.getppid()
print("up", file=sys.stderr, flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
print("done")
"""
LOADING = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE).wait()
def main(): return 0
"""
RUNNING = """
import sys, time
print("up", file=sys.stderr, flush=True)
time.sleep(1000)
"""
START = ("from tinyvla_ros.start import executables as e; "
         "e.PACKAGES['a_node'] = 'a'; e.run('a_node')")


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a module as a node."""
    def run(node: str, *prefix: str) -> subprocess.Popen:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "a_node.py").write_text(node)
        return subprocess.Popen(
            [*(prefix or (sys.executable, "-c")), START], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(tmp_path)})
    return run


def test_a_library_that_loads_in_a_process_of_its_own_prints_no_traceback(start):
    node = start(LOADING)
    assert node.stderr.readline() == "up\n"
    node.send_signal(signal.SIGINT)
    # Read to its end: the child has ended as well then.
    assert node.stderr.read() == ""
    # As a running node after Ctrl-C; ``ros2 launch`` calls anything else a death.
    assert node.wait() == 0


def test_ctrl_c_before_python_is_up_waits_and_prints_no_traceback(start):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the node inherits it
    try:
        node = start(RUNNING)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    node.send_signal(signal.SIGINT)
    out, err = node.communicate()
    assert (node.returncode, out, err.removeprefix("up\n")) == (0, "", "")


def test_a_node_ends_with_what_started_it(start):
    """``ros2 launch`` leaves its processes behind when it is ended by SIGTERM or SIGKILL."""
    launch = start(RUNNING, sys.executable, "-c", (
        "import subprocess, sys, os; "
        f"os.environ[{PARENT!r}] = str(os.getpid()); "
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]]).wait()"))
    assert launch.stderr.readline() == "up\n"
    launch.kill()
    assert launch.stderr.read() == ""  # ends when the node has closed the other end
