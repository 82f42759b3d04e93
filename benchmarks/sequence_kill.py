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

"""What becomes of a sequence whose nodes are killed.

A policy with random actions, the dry-run arm, sequence_node and a recorder, each in its own
process. Policy, sequence_node or arm gets SIGKILL at a random moment of a sequence of many short
steps, and is started again: how soon the arm holds, and whether the sequence goes on, or ends and
says why. A policy that is killed can send no hold: its last chunk ends the motion.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import latency_row, print_heading

from harness.sequence_rig import CLOSE, OPEN, SequenceRig
from tinyvla_ros.core.tables import markdown_table

POLICY, SEQUENCE, ARM = "policy_node", "sequence_node", "dry_run_arm_node"
# As tinyvla run-sequence has it.
TIMEOUT_S = 1.0
# An arm whose place does not change for so long stands still, s.
STILL_S = 0.5


def main() -> int:
    """Kill nodes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills")
    args = parser.parse_args()
    print_heading("Sequences under SIGKILL", ["ros-jazzy-rclpy"], kills=args.times,
                  instruction_timeout=TIMEOUT_S)
    rng = random.Random(0)
    holds: dict[str, list[float]] = {POLICY: [], SEQUENCE: [], ARM: []}
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as place, SequenceRig(Path(place), TIMEOUT_S) as rig:
        rig.start("episode_recorder_node", out=str(rig.bags), robot=str(rig.path))
        rig.write({"instruction": OPEN, "until": {"seconds": 0.1}})
        rig.start_sequence_node()
        for _ in range(args.times):
            node = rng.choice([POLICY, SEQUENCE, ARM])
            rig.begin(*({"instruction": words, "until": {"seconds": 0.5}}
                        for words in [OPEN, CLOSE] * 6))
            rig.until_state("running")
            time.sleep(rng.uniform(0.0, 3.0))
            since_s = time.monotonic()
            rig.signal(node, signal.SIGKILL)
            rig.processes.pop(node).wait()
            holds[node].append(until_still(rig, node, since_s))
            outcomes[node, recover(rig, node)] += 1
            print(node, f"{holds[node][-1]:.3f}", file=sys.stderr, flush=True)
        if rig.wrong:
            raise SystemExit(f"commands outside of the limits: {rig.wrong[:3]}")
    print(markdown_table(("the arm holds after SIGKILL of", "n", "answered",
                          "p50 ms", "p99 ms", "max ms"),
                         [latency_row(node, seconds) for node, seconds in holds.items()]))
    print(markdown_table(("killed", "the sequence", "times"),
                         [[*key, str(n)] for key, n in sorted(outcomes.items())]))
    return 0


def until_still(rig: SequenceRig, node: str, since_s: float) -> float:
    """Return seconds from a kill until the arm stands still, or is commanded to hold."""
    if node == POLICY:
        # What was sent last goes on to its end.
        place, moved_s = rig.position, since_s
        while time.monotonic() < moved_s + STILL_S:
            if np.abs(rig.position - place).max() > 1e-5:
                place, moved_s = rig.position, time.monotonic()
            time.sleep(0.001)
        return moved_s - since_s
    rig.wait(lambda: rig.commands[-1].is_hold and rig.commands[-1].time_s > since_s, "a hold")
    return rig.commands[-1].time_s - since_s


def recover(rig: SequenceRig, node: str) -> str:
    """Start a node again and return what becomes of the sequence."""
    if node == SEQUENCE:
        rig.write({"instruction": OPEN, "until": {"seconds": 0.1}}, id=f"{time.time()}")
        rig.start_sequence_node()
        return "ends: its node is gone, and the arm holds"
    if node == POLICY:
        rig.start_policy()
    else:
        rig.start_arm()
    end = rig.until_end()
    return "goes on to its end" if end["state"] == "succeeded" else f"ends: {end['text']}"


if __name__ == "__main__":
    sys.exit(main())
