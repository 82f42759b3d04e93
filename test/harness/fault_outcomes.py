# SPDX-License-Identifier: Apache-2.0
"""Break something, wait, repair it, and note what the arm was commanded meanwhile."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from harness.arm_rig import Faults, Rig
from harness.faults import Fault

# A fault's silence: no command for so long means that the arm was let come to rest.
QUIET_S = 0.3


@dataclass
class Outcome:
    """What happened in all repetitions of a fault."""

    holds_ms: list[float] = field(default_factory=list)
    commands: int = 0
    wrong: list[str] = field(default_factory=list)
    stale: int = 0
    recovered: int = 0


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
    elif fault.expect == "no listener":
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
