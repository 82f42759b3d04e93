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

"""SIGKILL the episode recorder at random moments and see what is left of the episodes.

Every bag is read as it lies there by the ``mcap`` package, recovered, and what was recovered is
read by ``rosbags``. Lost time is from the last message that is left to the kill.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _figures import print_heading
from _source import Source, start_recorder
from mcap.exceptions import EndOfFile
from mcap.records import Message
from mcap.stream_reader import StreamReader
from rosbags.highlevel import AnyReader
from tqdm import tqdm

from tinyvla_ros.bags.recover import recover


def main() -> int:
    """Kill, read, print; 1 if a bag cannot be read or more than a second is lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--size", default="192x192", help="WIDTHxHEIGHT of both cameras")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    print_heading("Recorder killed", ("ros-jazzy-rclpy", "mcap", "rosbags"), kills=args.kills,
                  cameras=f"2 of {args.size} at 30 Hz", joint_states="100 Hz",
                  moment="0.2 to 4 s after begin")
    rng = random.Random(args.seed)
    lost, messages, by_mcap, by_rosbags = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        for i in tqdm(range(args.kills), mininterval=10):
            out = Path(place) / str(i) / "episodes"
            # A killed process stays in the graph for a while; a new source waits for the new one.
            source, recorder = Source((width, height), domain=1 + i % 90), start_recorder(
                out, domain=1 + i % 90)
            source.wait_recorded()
            begun = time.time_ns()
            source.begin(i)
            time.sleep(rng.uniform(0.2, 4.0))
            recorder.send_signal(signal.SIGKILL)
            killed = time.time_ns()
            recorder.wait()
            source.end()
            (bag,) = out.iterdir()
            in_file = read_with_mcap(next(bag.glob("*.mcap")))
            by_mcap += in_file is not None
            recovered = recover(bag, out / "recovered")
            assert recovered.messages >= (in_file or 0)
            with AnyReader([recovered.path]) as reader:
                times = [t for _, t, _ in reader.messages()]
                by_rosbags += len(times) == recovered.messages
            messages += len(times)
            lost.append((killed - (times[-1] if times else begun)) / 1e9)
            source.close()
    print(f"\nof {args.kills} bags: read by mcap as they lay there {by_mcap}, by tinyvla bag "
          f"recover {args.kills}, what it made by rosbags {by_rosbags}; {messages} messages")
    print(f"lost before the kill, s: median {np.median(lost):.2f}, p99 "
          f"{np.percentile(lost, 99):.2f}, most {max(lost):.2f}")
    return int(by_mcap < args.kills or by_rosbags < args.kills or max(lost) > 1.0)


def read_with_mcap(path: Path) -> int | None:
    """Count the messages of a file that just ends; None if it cannot be read up to there."""
    count = 0
    try:
        with path.open("rb") as file:
            for record in StreamReader(file).records:
                count += isinstance(record, Message)
    except EndOfFile:
        return count
    except Exception as err:
        print(f"{path}: {err!r}", file=sys.stderr)
        return None
    return count


if __name__ == "__main__":
    sys.exit(main())
