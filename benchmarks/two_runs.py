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

"""Do two runs in one ROS domain stay apart?

Starts every pair of simulation, dry run and recorder at once in one domain. Of two that would mix
one must end with exit code 2 and name the other; the others must end with 0, each with its own
results. Prints the exit codes, what was refused, and whose episodes the results have.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import _harness  # noqa: F401
from _figures import print_heading

LIMIT_S, RECORD_S, EPISODES = 300.0, 12.0, 2
TASKS = ("reach-v3", "button-press-v3")
PAIRS = (("sim-eval", "sim-eval"), ("dry-run", "dry-run"), ("recorder", "recorder"),
         ("sim-eval", "dry-run"), ("sim-eval", "recorder"), ("dry-run", "recorder"))


def main() -> int:
    """Start the pairs and print; 1 if one of them mixed or failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between the two starts")
    args = parser.parse_args()
    domain = {"ROS_DOMAIN_ID": str(random.randint(1, 101)), "PYTHONUNBUFFERED": "1",
              "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    print_heading("Two runs in one ROS domain",
                  ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp"), delay=f"{args.delay:g} s")
    print("\n| first and second | exit codes | results | refused |\n|---|---|---|---|")
    good = True
    for pair in PAIRS:
        with tempfile.TemporaryDirectory() as place:
            good &= run(pair, Path(place), os.environ | domain, args.delay)
    return 0 if good else 1


def command(kind: str, index: int, place: Path) -> list[str]:
    """Return the command of a run; both simulations have other tasks and seeds."""
    tinyvla = [sys.executable, "-m", "tinyvla_ros.cli"]
    out = str(place / f"out{index}")
    return {"sim-eval": [*tinyvla, "sim-eval", "--tasks", TASKS[index], "--episodes",
                         str(EPISODES), "--seed", str(100 * index), "--out", out],
            "dry-run": [*tinyvla, "dry-run", "--seconds", "6"],
            "recorder": [sys.executable, "-m", "tinyvla_ros.start.executables",
                         "episode_recorder_node", "--ros-args", "-p", f"out:={out}"]}[kind]


def run(pair: tuple[str, str], place: Path, environment: Mapping[str, str],
        delay: float) -> bool:
    """Run two commands at once, print a row, and return whether both were right."""
    processes, logs = [], [place / f"log{i}" for i in (0, 1)]
    for index, kind in enumerate(pair):
        with logs[index].open("w") as log:
            processes.append(subprocess.Popen(command(kind, index, place), env=environment,
                                              stdout=log, stderr=subprocess.STDOUT,
                                              start_new_session=True))
        if index == 0:
            time.sleep(delay)
    # A recorder ends when it is told to: after the other run, or after a while.
    deadline = time.monotonic() + LIMIT_S
    ends = [p for p, kind in zip(processes, pair, strict=True) if kind != "recorder"]
    until = deadline if ends else time.monotonic() + RECORD_S
    while time.monotonic() < until and any(p.poll() is None for p in ends or processes):
        time.sleep(0.1)
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(30.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            codes.append(process.wait())
    refused = [any("error: Another run" in line for line in log.read_text().splitlines())
               for log in logs]
    may_mix = "recorder" not in pair or pair == ("recorder", "recorder")
    results = [found(place / f"out{i}") for i in (0, 1)]
    own = all(codes[i] == 2 or results[i] == f"{EPISODES} episodes of {TASKS[i]}"
              for i, kind in enumerate(pair) if kind == "sim-eval")
    print(f"| {' + '.join(pair)} | {codes[0]}, {codes[1]} | {'; '.join(filter(None, results))} | "
          f"{', '.join(k for k, no in zip(('first', 'second'), refused, strict=True) if no)} |",
          flush=True)
    return own and sorted(codes) == ([0, 2] if may_mix else [0, 0]) and \
        all((code == 2) == no for code, no in zip(codes, refused, strict=True))


def found(out: Path) -> str:
    """Return the episodes of a simulation's results, or the bags of a recorder."""
    if (out / "results.json").exists():
        tasks = json.loads((out / "results.json").read_text())["tasks"]
        return ", ".join(f"{v['episodes']} episodes of {task}" for task, v in tasks.items())
    return ", ".join(sorted(bag.name for bag in out.glob("*") if bag.is_dir()))


if __name__ == "__main__":
    sys.exit(main())
