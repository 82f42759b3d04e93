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

"""Cause a fault, wait, repair it, and note the commands in between."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field

from harness.arm_rig import MessageFilters, Rig
from harness.faults import GO_ON, HOLD, NO_COMMANDS, REST, Fault

# After so long without a command, none is on its way.
QUIET_S = 0.3
# A plan ends at rest 0.5 s after its observation. After a longer pause of the whole machine there
# is nothing left to hold. The rig's own joint states, due every 10 ms, show such a pause.
PAUSE_S = 0.2
ATTEMPTS = 3
# Without commands for so long, no hold will come any more, s.
GIVE_UP_S = 1.5
# An arm that must go on has done so when so many chunks came.
CHUNKS = 15


@dataclass
class Outcome:
    """What happened in all repetitions of a fault.

    Attributes:
        holds_ms: from the fault to the hold, for every repetition that must hold; infinite where
            no hold came.
        commands: number of all commands.
        wrong: what was wrong with commands.
        stale: chunks that came although the arm had to be at rest.
        recovered: repetitions after which the arm moved again.
    """

    holds_ms: list[float] = field(default_factory=list)
    commands: int = 0
    wrong: list[str] = field(default_factory=list)
    stale: int = 0
    recovered: int = 0


def repeat(rig: Rig, fault: Fault, outcome: Outcome) -> None:
    """Cause a fault while the arm moves, wait, repair it, and add what happened.

    Raises:
        TimeoutError: the arm did not do what it must, or does not move again.
    """
    rig.wait_running()
    begun = len(rig.commands)
    start = fault.begin(rig)
    if fault.expect == GO_ON:
        rig.wait(lambda: sum(not c.is_hold for c in rig.since(start)) >= CHUNKS, "chunks")
    elif fault.expect == NO_COMMANDS:
        rig.wait(lambda: "no subscriber" in rig.status, "the reason")
    else:
        if fault.expect == HOLD:
            rig.wait(lambda: any(c.is_hold for c in rig.commands[begun:])
                     or not rig.since(time.monotonic() - GIVE_UP_S), "a hold, or no commands")
        rig.wait(lambda: time.monotonic() > start + max(QUIET_S + 0.2, fault.lasts_s)
                 and not rig.since(time.monotonic() - QUIET_S), "silence")
        rig.wait(lambda: not rig.moving(), "rest", 5.0)
    after = rig.since(start)
    if fault.expect == HOLD:
        # A hold for another reason may come just before, on a busy machine.
        holds = [c for c in rig.commands[begun:] if c.is_hold]
        held = max(start, holds[-1].time_s) if holds else math.inf
        outcome.holds_ms.append(1e3 * (held - start))
        outcome.stale += sum(not c.is_hold and c.time_s > held for c in after)
    elif fault.expect == REST:
        outcome.stale += sum(not c.is_hold and c.time_s > start + 0.1 for c in after)
    rig.filters = MessageFilters()
    fault.end(rig)
    rig.wait_running()
    outcome.recovered += 1
    new = rig.commands[begun:]
    outcome.commands += len(new)
    outcome.wrong += [c.wrong for c in new if c.wrong]


def hold_or_pause(rig: Rig, fault: Fault) -> None:
    """Cause a fault once and check that the arm did what it must, and no more during the fault.

    A fault is caused again if this machine paused so long that there was nothing left to hold.
    """
    for _ in range(ATTEMPTS):
        rig.longest_gap_s, outcome = 0.0, Outcome()
        repeat(rig, fault, outcome)
        assert outcome.wrong == []
        assert outcome.recovered == 1
        if fault.expect != HOLD or math.isfinite(outcome.holds_ms[0]):
            assert fault.expect != HOLD or outcome.stale == 0, "it moved again during the fault"
            return
        assert rig.longest_gap_s > PAUSE_S, f"no hold; the states were {rig.statuses[-20:]}"
        warnings.warn(f"{fault.name!r} is repeated: this machine paused for "
                      f"{rig.longest_gap_s:.2f} s", stacklevel=2)
    raise AssertionError(
        f"this machine paused in {ATTEMPTS} of {ATTEMPTS} attempts; run the test alone")
