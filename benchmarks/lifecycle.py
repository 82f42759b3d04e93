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

"""Take a policy node through its lifecycle many times: no hang, no leak, a hold every time.

A cycle is configure, activate, wait for a chunk, deactivate, cleanup; in every tenth the arm is
moving at the end, in the others deactivation comes at a random moment.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import print_heading
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from tqdm import tqdm

from harness.arm_contract import TIGHT, robot
from harness.arm_rig import Rig


def change(rig: Rig, number: int) -> float:
    """Make a transition; return the seconds it took."""
    start = time.monotonic()
    request = ChangeState.Request(transition=Transition(id=number))
    assert rig.service(ChangeState, "change_state", request).success, number
    return time.monotonic() - start


def main() -> int:
    """Cycle and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=1000)
    args = parser.parse_args()
    random.seed(0)
    print_heading("Lifecycle cycles", ("ros-jazzy-rclpy", "torch"), cycles=args.cycles)
    times: dict[str, list[float]] = {}
    memory, threads, late = [], [], 0
    with (tempfile.TemporaryDirectory() as place,
          Rig(Path(place), contract=robot(TIGHT), compiled=True, autostart=False) as rig):
        rig.start()
        for number in tqdm(range(args.cycles), unit="cycle", mininterval=10):
            for name in ("configure", "activate", "deactivate", "cleanup"):
                if name == "deactivate":
                    if number % 10 == 0:
                        rig.wait_running()
                    else:
                        time.sleep(random.uniform(0.0, 0.15))
                times.setdefault(name, []).append(
                    change(rig, getattr(Transition, f"TRANSITION_{name.upper()}")))
                if name == "deactivate":
                    # What was on its way when the service answered may still arrive.
                    resting = time.monotonic() + 0.02
            late += len(rig.since(resting))
            memory.append(rig.memory_mb())
            status = Path(f"/proc/{rig.process.pid}/status").read_text()
            threads.append(int(status.split("Threads:")[1].split()[0]))
        wrong = [c.wrong for c in rig.commands if c.wrong]
        commands = len(rig.commands)
    print("\n| transition | median ms | longest ms |\n|---|--:|--:|")
    for name, seconds in times.items():
        print(f"| {name} | {1e3 * np.median(seconds):.0f} | {1e3 * max(seconds):.0f} |")
    tenth = max(1, args.cycles // 10)
    print(f"\ncycles: {args.cycles}, hangs 0; commands {commands}, wrong {len(wrong)}, after "
          f"deactivation {late}")
    print(f"memory MB: {np.median(memory[tenth:2 * tenth]):.1f} after the first tenth, "
          f"{np.median(memory[-tenth:]):.1f} in the last; threads {threads[0]} at first, "
          f"{threads[-1]} at the end")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
