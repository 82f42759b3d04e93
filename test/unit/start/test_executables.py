# SPDX-License-Identifier: Apache-2.0
"""A node that is interrupted while its libraries load ends without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

# Writes to the pipe as soon as nobody reads it any more.
CHILD = """
import os, sys, time
parent = os.getppid()
print("up", file=sys.stderr, flush=True)
while os.getppid() == parent:
    time.sleep(0.01)
print("done")
"""
NODE = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE).wait()
def main(): return 0
"""
START = ("from tinyvla_ros.start import executables as e; "
         "e.PACKAGES['a_node'] = 'a'; e.run('a_node')")


def test_a_library_that_loads_in_a_process_of_its_own_prints_no_traceback(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a_node.py").write_text(NODE)
    node = subprocess.Popen(
        [sys.executable, "-c", START], stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert node.stderr.readline() == "up\n"
    node.send_signal(signal.SIGINT)
    # Read to its end: the child has ended as well then.
    assert node.stderr.read() == ""
    assert node.wait() == 130
