# SPDX-License-Identifier: Apache-2.0
"""What a policy node does when things fail: a table of faults, each repeated many times.

A real node in its own process drives a rig made of messages (``_arm_rig.py``). Each repetition
waits until the arm is being moved, breaks something, waits until commands have ended, repairs it,
and waits until the arm moves again where it should.

Time to hold: from the first message that is bad or missing, or from the call, to the hold command.
Judged of every command: finite, within position, velocity and jump limits, accepted by the rules
of joint_trajectory_controller; and after the time to hold nothing but holds may come.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _arm_rig import CAMERA_HZ, JOINT_HZ, Faults, Rig
from _faults import FAULTS, Fault
from _figures import print_heading
from tqdm import tqdm

# A fault's silence: no command for so long means that the arm was let come to rest.
QUIET_S = 0.3
TARGET_MS = 100.0


@dataclass
class Outcome:
    """What happened in all repetitions of a fault."""

    holds_ms: list[float] = field(default_factory=list)
    commands: int = 0
    wrong: list[str] = field(default_factory=list)
    stale: int = 0
    recovered: int = 0


def main() -> int:
    """Run the matrix and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=[], metavar="TEXT",
                        help="faults whose name holds one of these")
    args = parser.parse_args()
    chosen = [f for f in FAULTS if not args.only or any(t in f.name for t in args.only)]
    print_heading("Faults", ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", "torch"),
                  cameras=f"2 of 96x96 at {CAMERA_HZ:g} Hz", joint_states=f"{JOINT_HZ:g} Hz",
                  timeouts="80 ms cameras, 60 ms joints", chunk="15 rows of 33 ms",
                  repeats=args.repeats)
    outcomes = {}
    with (tempfile.TemporaryDirectory() as place, Rig(Path(place)) as rig,
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


def repeat(rig: Rig, fault: Fault, outcome: Outcome) -> None:
    """Break, wait, repair, and note what happened."""
    rig.wait_running()
    time.sleep(0.1)
    while rig.commands[-1].is_hold:  # a busy machine held up the rig's own messages
        rig.wait_running()
    begun = len(rig.commands)
    start = fault.begin(rig)
    if fault.expect == "run":
        time.sleep(0.7)
        outcome.stale += all(c.is_hold for c in rig.since(start + 0.3))
    elif fault.expect == "unheard":
        time.sleep(0.7)
    else:
        rig.wait(lambda: not rig.since(time.monotonic() - QUIET_S)
                 and time.monotonic() > start + QUIET_S + 0.2, "silence")
        rig.wait(lambda: not rig.moving(), "rest", 5.0)
        if fault.expect == "run-out":
            time.sleep(max(0.0, start + 1.0 - time.monotonic()))
    after = rig.since(start)
    if fault.expect == "hold":
        # A hold for another reason may come just before, on a busy machine.
        holds = [c for c in rig.commands[begun:] if c.is_hold]
        outcome.holds_ms.append(
            1e3 * max(0.0, holds[-1].time_s - start) if holds else math.inf)
        limit = start + 0.5 * QUIET_S
        outcome.stale += sum(not c.is_hold for c in after if c.time_s > limit)
    elif fault.expect == "run-out":
        # Nobody is left to hold: the last command is where the arm stops by itself.
        outcome.stale += sum(not c.is_hold and c.time_s > start + 0.1 for c in after)
    rig.faults = Faults()
    fault.end(rig)
    rig.wait_running()
    outcome.recovered += 1
    new = rig.commands[begun:]
    outcome.commands += len(new)
    outcome.wrong += [c.wrong for c in new if c.wrong]


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
