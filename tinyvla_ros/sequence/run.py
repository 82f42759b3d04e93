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

"""Takes a policy through the steps of a sequence, whatever becomes of the policy meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.sequence.steps import EndCondition, Sequence, Step

# How often the policy is looked at, and the longest time that it may not act for a reason that
# is nobody's will, s.
PERIOD_S, PATIENCE_S = 0.05, 60.0
RUNNING, DISABLED, STOPPED, MISSING = "running", "disabled", "stopped", "missing"


class SequenceCancelled(Exception):
    """Somebody wants no more of it."""


@dataclass(frozen=True)
class PolicySight:
    """What is seen of a policy.

    Attributes:
        state: of its supervisor, or ``missing``.
        reason: of that state.
        obeys: the instruction that it acted on last, while it has the arm; empty otherwise.
        by_person: whether a person has the arm.
        starts: how often its node was started, as far as this was seen.
        refusal: what it says of an instruction that it cannot take; empty if it takes the last.
    """

    state: str = MISSING
    reason: str = ""
    obeys: str = ""
    by_person: bool = False
    starts: int = 0
    refusal: str = ""


class SequencedRobot(Protocol):
    """A policy on a robot, and time."""

    def sight(self) -> PolicySight:
        """Return what is seen of the policy now."""

    def tell(self, instruction: str) -> None:
        """Tell the policy an instruction, again and again until the next one."""

    def enable(self, enabled: bool) -> str:
        """Let the policy act, or not; return why that failed, empty if it did not."""

    def call(self, service: str) -> str:
        """Call a service; return why that failed, empty if it did not."""

    def watch(self, until: EndCondition) -> AbstractContextManager[Callable[[], bool]]:
        """Watch the topic of a condition, from now on; gives whether it is met.

        Raises:
            InputError: the topic does not have what is asked for, here or when it is asked.
        """

    def wait(self, seconds: float) -> float:
        """Let time pass; return how much did, s.

        Raises:
            SequenceCancelled: somebody cancelled the sequence.
        """


@dataclass(frozen=True)
class Progress:
    """How far a sequence is.

    Attributes:
        state: of it.
        text: what it does, or how it ended, in words.
        step: number of the step, from 1 on; 0 before the first.
        steps: of the sequence.
        label: of the step.
        instruction: of the step.
        attempt: which of the step's tries it is.
        turn: which repetition it is.
        seconds: that the policy acted in this try.
    """

    state: Literal["idle", "running", "waiting", "succeeded", "failed", "cancelled"] = "idle"
    text: str = "no sequence was started"
    step: int = 0
    steps: int = 0
    label: str = ""
    instruction: str = ""
    attempt: int = 0
    turn: int = 0
    seconds: float = 0.0


class SequenceRun:
    """One run of a sequence.

    Attributes:
        progress: the newest.

    Args:
        sequence: to run.
        robot: that does it.
        on_progress: called with every change.
        on_try: called before each try with the step, and after it with whether it succeeded; for
            recordings.
    """

    def __init__(self, sequence: Sequence, robot: SequencedRobot,
                 on_progress: Callable[[Progress], None],
                 on_try: Callable[[Step, bool | None], None] = lambda step, success: None):
        self._sequence, self._robot = sequence, robot
        self._on_progress, self._on_try = on_progress, on_try
        self._enabled: int | None = None  # the start of the policy that was enabled here
        self.progress = Progress("waiting", "looking for the policy", steps=len(sequence.steps))

    def run(self) -> Progress:
        """Run it to its end; the arm holds when this returns.

        Returns:
            How it ended: succeeded, failed or cancelled.
        """
        try:
            failure = self._run()
            end = ("failed", failure) if failure else ("succeeded", "all steps are done")
        except SequenceCancelled as err:
            end = "cancelled", str(err) or "cancelled"
        except InputError as err:
            end = "failed", str(err)
        problem = self._robot.enable(False)
        text = end[1] + (f"; the policy was not disabled: {problem}" if problem else "")
        self._report(state=end[0], text=text)
        return self.progress

    def _report(self, **changes) -> None:
        progress = replace(self.progress, **changes)
        if progress != self.progress:
            self.progress = progress
            self._on_progress(progress)

    def _run(self) -> str:
        """Return why it failed, empty if it did not."""
        steps = self._sequence.steps
        for turn in range(1, self._sequence.repeat + 1):
            number: int | None = 0
            while number is not None:
                step = steps[number]
                self._report(turn=turn, step=number + 1, label=step.label,
                             instruction=step.instruction)
                failure = self._step(step)
                following = self._sequence.after(number, not failure)
                if failure and following is None and step.on_failure == "stop":
                    return f"step {number + 1} ({step.label}): {failure}"
                number = following
        return ""

    def _step(self, step: Step) -> str:
        """Return why a step failed, empty if it did not."""
        failure = ""
        for attempt in range(1, step.tries + 1):
            self._report(attempt=attempt, seconds=0.0)
            if step.call:
                self._report(state="waiting", text=f"calling {step.call}")
                self._robot.enable(False)
                self._enabled = None
                if problem := self._robot.call(step.call):
                    return f"{step.call}: {problem}"
            self._on_try(step, None)
            success = False
            try:
                failure = self._try(step)
                success = not failure
            finally:
                self._on_try(step, success)
            if success:
                break
        return failure

    def _try(self, step: Step) -> str:
        robot, until = self._robot, step.until
        robot.tell(step.instruction)
        acted = idle = 0.0
        with robot.watch(until) as is_met:
            while True:
                sight = robot.sight()
                if sight.state == STOPPED:
                    # Who stopped the arm decides what follows.
                    raise InputError(f"the policy was stopped: {sight.reason}")
                if sight.refusal:
                    return sight.refusal
                problem = self._enable(sight)
                acts = sight.state == RUNNING and sight.obeys == step.instruction
                seconds = robot.wait(PERIOD_S)
                if acts:
                    acted, idle = acted + seconds, 0.0
                    self._report(state="running", text=step.label, seconds=round(acted, 1))
                    if is_met() or (until.seconds is not None and acted >= until.seconds):
                        return ""
                    if acted >= step.limit:
                        return f"not done within {step.limit:g} s"
                    continue
                is_somebodys_will = sight.by_person or (sight.state == DISABLED and not problem)
                idle = 0.0 if is_somebodys_will else idle + seconds
                why = _waiting(sight, problem)
                self._report(state="waiting", text=why)
                if idle >= PATIENCE_S:
                    return f"the policy did not act for {PATIENCE_S:g} s ({why})"

    def _enable(self, sight: PolicySight) -> str:
        """Enable the policy at the beginning, and when its node was started again.

        Not against the will of somebody who has disabled it since. Returns why that failed.
        """
        if sight.state == MISSING or sight.starts == self._enabled:
            return ""
        problem = self._robot.enable(True)
        if not problem:
            self._enabled = sight.starts
        return problem


def _waiting(sight: PolicySight, problem: str) -> str:
    if sight.by_person:
        return "a person has the arm"
    if sight.state == MISSING:
        return "there is no policy_node"
    if sight.state == RUNNING:
        return "the policy has not acted on the instruction yet"
    return f"the policy is {sight.state}: {problem or sight.reason}"
