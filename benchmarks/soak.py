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

"""Half an hour of a policy node at camera rate: memory, missed deadlines, latency by stage.

Two cameras at 30 Hz. Every image is a deadline: it leads to a plan, or the node says why not: a
newer image was taken, or the arm was held.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import print_heading
from tqdm import tqdm

from harness.arm_contract import CAMERA_HZ, TIGHT, robot
from harness.arm_rig import Rig


def main() -> int:
    """Soak and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT of both cameras")
    parser.add_argument("--full-size", action="store_true",
                        help="a network of the shipped checkpoint's size instead of a tiny one")
    parser.add_argument("--backend", choices=("onnxruntime", "torch"), default="onnxruntime",
                        help="what runs the network")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    print_heading("Soak", ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", args.backend),
                  minutes=args.minutes, network="full size" if args.full_size else "tiny",
                  backend=args.backend,
                  cameras=f"2 of {args.size} at {CAMERA_HZ:g} Hz")
    contract = robot(TIGHT)
    for camera in contract["cameras"].values():
        camera["timeout"] = 0.3  # both ends share two cores here
    contract["joint_states"]["timeout"] = 0.3
    with (tempfile.TemporaryDirectory() as place,
          Rig(Path(place), (width, height), contract, network=True, full_size=args.full_size,
              compiled=args.backend != "torch", backend=args.backend) as rig):
        rig.start()
        rig.wait_running()
        start, memory = time.monotonic(), []
        end = start + 60 * args.minutes
        with tqdm(total=round(end - start), unit="s", mininterval=30) as bar:
            while time.monotonic() < end:
                time.sleep(min(10.0, max(0.0, end - time.monotonic())))
                memory.append(rig.memory_mb())
                bar.update(round(time.monotonic() - start) - bar.n)
        seconds = time.monotonic() - start
        commands = rig.since(start)
        time.sleep(1.5)
        values = rig.policy_values
    images = CAMERA_HZ * seconds
    chunks = [c for c in commands if not c.is_hold]
    gaps = np.diff([c.time_s for c in chunks])
    tenth = max(1, len(memory) // 10)
    first, last = np.median(memory[tenth:2 * tenth]), np.median(memory[-tenth:])
    print(f"\nimages per camera {images:.0f}, chunks {len(chunks)} "
          f"({100 * len(chunks) / images:.1f} %), holds {len(commands) - len(chunks)}, wrong "
          f"{sum(bool(c.wrong) for c in commands)}")
    for wrong, count in Counter(c.wrong for c in commands if c.wrong).items():
        print(f"  wrong: {wrong}: {count}")
    print(f"time between chunks ms: median {1e3 * np.median(gaps):.1f}, p99 "
          f"{1e3 * np.percentile(gaps, 99):.1f}, longest {1e3 * gaps.max():.1f}")
    print(f"memory MB: {first:.1f} in the second tenth, {last:.1f} in the last: "
          f"{100 * (last / first - 1):+.2f} %; at the end of every tenth: "
          + " ".join(f"{m:.0f}" for m in memory[tenth - 1::tenth]))
    print("\n| stage | p50 ms | p99 ms |\n|---|--:|--:|")
    for stage in ("transport", "wait", "inference", "hand-over", "total"):
        print(f"| {stage} | {values.get(f'{stage}_ms_p50', '-')} | "
              f"{values.get(f'{stage}_ms_p99', '-')} |")
    missed = sum(int(v) for k, v in values.items() if k.startswith("missed "))
    print(f"\nof {values['images']} images that arrived {values['plans']} became plans, "
          f"{missed} are accounted for, "
          f"{int(values['images']) - int(values['plans']) - missed} are not (one may be on its "
          "way)")
    for key, value in values.items():
        if key.startswith(("hold ", "rejected ", "missed ")):
            print(f"  {key}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
