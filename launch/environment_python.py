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

"""Ask the Python of our environment for a graph; imports only the standard library.

``ros2 launch`` and colcon run in the Python of ROS, which need not have pydantic. The
nodes run in the Python that has them: of an activated environment, or of the one that the package
was built or set up with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

# What a Python must have to run a node; torch only for checkpoints that are not compiled.
MODULES = ("tinyvla_ros", "pydantic", "onnxruntime")
# Without the present directory in the path: it may be another checkout than what is installed.
_PROBE = ("import importlib.util, sys; del sys.path[0]\n"
          "sys.exit(not all(importlib.util.find_spec(name) for name in sys.argv[1:]))")
_DESCRIBE = ("import sys; del sys.path[0]\n"
             "from tinyvla_ros.cli.launch_files import main; sys.exit(main())")


def find_python(modules: Sequence[str] = MODULES) -> str:
    """Return the path of a Python that has all modules.

    Raises:
        RuntimeError: there is none; one sentence with those that were tried.
    """
    tried = []
    for path in _candidates():
        if path in tried or not os.access(path, os.X_OK):
            continue
        tried.append(path)
        probe = subprocess.run([path, "-c", _PROBE, *modules], check=False,
                               stdin=subprocess.DEVNULL, capture_output=True)
        if probe.returncode == 0:
            return path
    raise RuntimeError(
        f"No Python with {', '.join(modules)} was found (tried {', '.join(tried)}); run 'make "
        "setup' in the package, then 'source .venv/bin/activate' in this terminal.")


def _candidates() -> Iterator[str]:
    if os.environ.get("VIRTUAL_ENV"):
        yield f"{os.environ['VIRTUAL_ENV']}/bin/python3"
    yield sys.executable
    here = Path(__file__).absolute()
    # Installed, this file is in <prefix>/share/tinyvla_ros/launch.
    prefixes = [*here.parents[3:4], *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    for prefix in prefixes:
        yield from _interpreter(Path(prefix) / "lib" / "tinyvla_ros" / "policy_node")
    # `make setup` makes .venv in the checkout, which may be or hold the workspace.
    for folder in dict.fromkeys((*here.parents, *here.resolve().parents)):
        yield str(folder / ".venv" / "bin" / "python3")


def _interpreter(script: Path) -> Iterator[str]:
    """Yield the interpreter that the first line of a script names, if it names a file."""
    try:
        first = script.read_bytes().partition(b"\n")[0]
    except OSError:
        return
    words = os.fsdecode(first).removeprefix("#!").split()
    if first.startswith(b"#!") and len(words) == 1:
        yield words[0]


class Graph:
    """The nodes of a graph, described by the Python that runs them.

    Attributes:
        python: that Python.
        nodes: executable, namespace, ros_arguments and ends_run of each.
        on_exit: ``stop``, ``shutdown`` or ``respawn``.

    Args:
        name: of the launch file, without its ending.
        values: launch argument -> text.

    Raises:
        RuntimeError: no Python has the package, or an argument cannot be used; one sentence.
    """

    def __init__(self, name: str, values: dict[str, str]):
        self.python = find_python()
        # If it made something for the run, it waits for the end of its stdin, and so of this
        # process, to delete it. In a session of its own, so that Ctrl-C does not reach it.
        process = subprocess.Popen(
            [self.python, "-c", _DESCRIBE, name], text=True, encoding="utf-8",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        # This thread keeps the process object, and so its stdin, until it ends.
        threading.Thread(target=process.wait, daemon=True).start()
        process.stdin.write(json.dumps(values) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        answer = json.loads(line) if line else {
            "error": f"{self.python} could not describe the nodes; its error is above."}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        self.nodes: list[dict] = answer["nodes"]
        self.on_exit: str = answer["on_exit"]
