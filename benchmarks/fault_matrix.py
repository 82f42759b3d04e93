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

"""What a policy node does when things fail: a table of faults, each repeated many times.

A real node in its own process drives a simulated arm (``test/harness/arm_rig.py``). Each
repetition waits until the arm moves, causes the fault, waits until no more commands come, repairs
it, and waits until the arm moves again.

Time to hold: from the first message that is bad or missing, or from the call, to the hold command.
Every command is checked: finite, within the limits of position, velocity and jump, and accepted by
the rules of joint_trajectory_controller. After the hold no chunk may come.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import print_heading
from tqdm import tqdm

from harness.arm_contract import CAMERA_HZ, JOINT_HZ, TIGHT, robot
from harness.arm_rig import Rig
from harness.fault_outcomes import Outcome, repeat
from harness.faults import FAULTS, Fault

TARGET_MS = 100.0


def main() -> int:
    """Run the matrix and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT",
                        help="faults whose name holds one of these")
    args = parser.parse_args()
    chosen = [f for f in FAULTS if not args.only or any(t in f.name for t in args.only)]
    print_heading("Faults", ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", "onnxruntime"),
                  cameras=f"2 of 96x96 at {CAMERA_HZ:g} Hz", joint_states=f"{JOINT_HZ:g} Hz",
                  timeouts="80 ms cameras, 60 ms joints", chunk="15 rows of 33 ms",
                  repeats=args.repeats)
    outcomes = {}
    with (tempfile.TemporaryDirectory() as place,
          Rig(Path(place), contract=robot(TIGHT), compiled=True) as rig,
          tqdm(total=len(chosen) * args.repeats, unit="fault", mininterval=10) as progress):
        rig.start()
        for fault in chosen:
            outcomes[fault.name] = Outcome()
            for _ in range(args.repeats):
                try:
                    repeat(rig, fault, outcomes[fault.name])
                except TimeoutError as err:
                    raise TimeoutError(f"{fault.name}: {err}") from None
                progress.update()
    return report(chosen, outcomes, args.repeats)


def report(faults: list[Fault], outcomes: dict[str, Outcome], repeats: int) -> int:
    """Print the table; return 1 if a command was wrong or stale."""
    print(f"\n| fault ({repeats} times each) | expected | time to hold ms: median | p99 | "
          "recovered | commands | outside limits or not finite | stale |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    everything = []
    for fault in faults:
        o = outcomes[fault.name]
        everything += o.holds_ms
        median, p99 = ((f"{statistics.median(o.holds_ms):.0f}",
                        f"{np.percentile(o.holds_ms, 99):.0f}") if o.holds_ms else ("-", "-"))
        print(f"| {fault.name} | {fault.expect} | {median} | {p99} | {o.recovered} | "
              f"{o.commands} | {len(o.wrong)} | {o.stale} |")
    if everything:
        within = sum(t <= TARGET_MS for t in everything)
        print(f"\nall holds: n {len(everything)}, median {statistics.median(everything):.0f} ms, "
              f"p99 {np.percentile(everything, 99):.0f} ms, within {TARGET_MS:g} ms "
              f"{100 * within / len(everything):.1f} %")
    wrong = [w for o in outcomes.values() for w in o.wrong]
    stale = sum(o.stale for o in outcomes.values())
    print(f"commands: {sum(o.commands for o in outcomes.values())}, wrong: {len(wrong)} "
          f"({', '.join(sorted(set(wrong))) or 'none'}), stale: {stale}")
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main())
