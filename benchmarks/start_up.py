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

"""Start-up and memory of ``policy_node`` on every backend that is installed.

From the start of the process to "ready": checkpoint loaded, one inference done, subscribed.
Settings alternate. CPU time beside wall time tells how busy the machine was.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import print_heading

from harness.processes import Output, start_node, stop
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.policy.backends.choose import is_installed
from tinyvla_ros.policy.export.exporter import export_checkpoint

BACKENDS = ("torch", "onnxruntime", "openvino")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    backends = [name for name in BACKENDS if is_installed(name)]
    print_heading("Start of policy_node", ("torch", "onnxruntime", "openvino", "ros-jazzy-rclpy"),
                  checkpoint=args.checkpoint.name, sample_steps=args.steps, starts=args.starts,
                  order="backends alternate")
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(args.checkpoint, Path(place) / "checkpoint")
        export_checkpoint(copy, args.steps)
        for _ in range(args.starts):
            for backend in backends:
                found[backend].append(start_once(copy, backend))
    print("\n" + markdown_table(
        ["backend", "ready after s", "CPU s", "resident MB"],
        [[name, *(f"{value:.1f}" for value in np.median(rows, axis=0))]
         for name, rows in found.items()]))


def start_once(checkpoint: Path, backend: str) -> tuple[float, float, float]:
    """Return seconds until ready, CPU seconds until then, and resident megabytes."""
    begin = time.monotonic()
    process = start_node("policy_node", checkpoint=str(checkpoint), backend=backend)
    try:
        Output(process).wait_for("ready")
        seconds = time.monotonic() - begin
        status = Path(f"/proc/{process.pid}/status").read_text()
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    finally:
        stop(process)
    return seconds, sum(map(int, ticks)) / 100, int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1e3


if __name__ == "__main__":
    try:
        main()
    except InputError as err:
        sys.exit(f"error: {err}")
