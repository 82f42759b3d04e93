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

"""Commands of the package one after the other, and beside each other, as a person types them."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path


class Commands:
    """Runs commands and notes how long they take.

    Attributes:
        rows: name and seconds of each step.
    """

    def __init__(self, out: Path):
        self._out, self.rows = out, []
        out.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, name: str):
        """Note how long something takes."""
        print(f"\n== {name}", flush=True)
        begin = time.perf_counter()
        yield
        self.rows.append([name, f"{time.perf_counter() - begin:.0f}"])

    def tinyvla(self, *arguments: object, accepted: tuple[int, ...] = (0,)) -> str:
        """Run a command to its end and return what it printed; other exit codes end the script."""
        command = ["tinyvla", *map(str, arguments)]
        print(f"$ {shlex.join(command)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "tinyvla_ros.cli", *command[1:]],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode not in accepted:
            sys.exit(f"{done.stdout[-3000:]}\n{command[1]} ended with {done.returncode}")
        return done.stdout

    @contextmanager
    def running(self, *arguments: object, until: str = ""):
        """Run a command beside others, once it has printed a text; it gets Ctrl-C at the end."""
        command = ["tinyvla", *map(str, arguments)]
        print(f"$ {shlex.join(command)} &", flush=True)
        path = self._out / f"{command[1]}.log"
        log = path.open("w")
        process = subprocess.Popen([sys.executable, "-m", "tinyvla_ros.cli", *command[1:]],
                                   stdout=log, stderr=subprocess.STDOUT)
        try:
            while until not in path.read_text():
                if process.poll() is not None:
                    sys.exit(f"{path.read_text()}\n{command[1]} ended with {process.returncode}")
                time.sleep(0.1)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60.0)
            log.close()
