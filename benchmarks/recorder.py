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

"""What the episode recorder takes and loses: two cameras at 30 Hz, joint states at 100 Hz.

Published is counted by the publishers, recorded is what other people's reader finds in the bag.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from _figures import print_heading
from _source import LIMIT_S, Source, start_recorder
from rosbags.highlevel import AnyReader


def main() -> int:
    """Measure and print; 1 if a message is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT of both cameras")
    parser.add_argument("--compression", default="none", choices=("none", "zstd", "lz4"))
    parser.add_argument("--jpeg", type=int, default=0, metavar="QUALITY")
    parser.add_argument("--place", default=None, help="directory on the disk to measure")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    print_heading("Recorder", ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", "mcap"),
                  seconds=args.seconds, cameras=f"2 of {args.size} at 30 Hz, noise",
                  joint_states="100 Hz", compression=args.compression, jpeg=args.jpeg or "no")
    with tempfile.TemporaryDirectory(dir=args.place) as place:
        out = Path(place) / "episodes"
        source, recorder = Source((width, height)), start_recorder(
            out, compression=args.compression, jpeg_quality=args.jpeg)
        source.wait_recorded()
        source.begin(0)
        start, cpu, memory = time.monotonic(), cpu_seconds(recorder.pid), []
        while time.monotonic() < start + args.seconds:
            time.sleep(0.5)
            memory.append(resident_mb(recorder.pid))
        source.end()
        seconds = time.monotonic() - start
        cpu = cpu_seconds(recorder.pid) - cpu
        wait_for(lambda: list(out.glob("*/metadata.yaml")))
        recorder.send_signal(signal.SIGINT)
        recorder.wait(LIMIT_S)
        source.close()
        (bag,) = out.iterdir()
        size = sum(f.stat().st_size for f in bag.iterdir())
        with AnyReader([bag]) as reader:
            recorded = {t: i.msgcount for t, i in reader.topics.items()}
    print("\n| topic | published | recorded |\n|---|--:|--:|")
    missing = 0
    for topic, count in sorted(source.published.items()):
        name = topic if topic in recorded else f"{topic}/compressed"
        missing += count - recorded.get(name, 0)
        print(f"| {name} | {count} | {recorded.get(name, 0)} |")
    print(f"\nmissing {missing}; {size / seconds / 1e6:.1f} MB/s on the disk; recorder's CPU "
          f"{100 * cpu / seconds:.0f} % of a core; its memory {min(memory):.0f} to "
          f"{max(memory):.0f} MB")
    return int(missing != 0)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE") / 1e6


def wait_for(condition) -> None:
    """Wait until something is there."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the bag was never completed")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
