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
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.sequence.steps import DONE, STOP, EndCondition, Sequence, Step

# How often the policy is looked at, s.
PERIOD_S = 0.05
# The longest time that a policy may not act for a reason that is nobody's will, and that it may
# take to load, s.
PATIENCE_S, READY_S = 60.0, 180.0
RUNNING, DISABLED, STOPPED, MISSING = "running", "disabled", "stopped", "missing"
End = Literal["succeeded", "failed", "cancelled"]
TryEvent = Literal["begin", "success", "failure", "abort"]


class SequenceCancelled(Exception):
    """Somebody wants no more of it."""


@dataclass(frozen=True)
class SeenPolicy:
    """What is seen of a policy.

    Attributes:
        state: of its supervisor, or ``missing``.
        reason: of that state.
        acts_on: the instruction of the commands that the arm has from it; empty if it has none.
        by_person: whether a person has the arm.
        starts: how often its node was started, as far as this was seen.
        refusal: what it says of the instruction that it was told; empty if it takes it.
    """

    state: str = MISSING
    reason: str = ""
    acts_on: str = ""
    by_person: bool = False
    starts: int = 0
    refusal: str = ""


class WatchedCondition(Protocol):
    """The topic of an end condition, while a step waits for it."""

    def is_met(self) -> bool:
        """Return whether the condition is met; raises ``InputError`` if it never can be."""

    def forget(self) -> None:
        """The policy does not act on the step: what its monitor says meanwhile is not of it."""

    def why_not(self) -> str:
        """Return what is wrong with the topic, empty if it only says no."""


class SequencedRobot(Protocol):
    """A policy on a robot, and time.

    All but ``hold`` raise ``SequenceCancelled`` when somebody has cancelled the sequence.
    """

    def now(self) -> float:
        """Return steady seconds."""

    def policy(self) -> SeenPolicy:
        """Return what is seen of the policy now."""

    def tell(self, instruction: str) -> None:
        """Tell the policy an instruction, again and again until the next one."""

    def enable(self) -> str:
        """Let the policy act; return why it does not, empty if it does."""

    def hold(self) -> str:
        """Disable the policy, so that the arm comes to rest; return why it was not."""

    def call(self, service: str, limit: float) -> str:
        """Call a service; return why it refused, empty if it did not.

        Raises:
            InputError: it did not answer within so many seconds.
        """

    def watch(self, until: EndCondition) -> AbstractContextManager[WatchedCondition]:
        """Watch the topic of a condition, from now on."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


@dataclass(frozen=True)
class SequenceProgress:
    """How far a sequence is.

    Attributes:
        state: of it.
        text: what it does, or how it ended, in words.
        id: of the sequence.
        step: number of the step, from 1 on; 0 before the first.
        steps: of the sequence.
        label: of the step.
        instruction: of the step.
        attempt: which of the step's tries it is.
        turn: which repetition it is.
        seconds: that the policy acted in this try.
    """

    state: Literal["idle", "running", "waiting"] | End = "idle"
    text: str = "no sequence was started"
    id: str = ""
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
        on_progress: called with every change but the end.
        on_try: called with the step at the beginning and the end of each try, for recordings.
    """

    def __init__(self, sequence: Sequence, robot: SequencedRobot,
                 on_progress: Callable[[SequenceProgress], None],
                 on_try: Callable[[Step, TryEvent], None] = lambda step, event: None):
        self._sequence, self._robot = sequence, robot
        self._on_progress, self._on_try = on_progress, on_try
        # The start of the policy that was enabled here, and whether somebody disabled it since.
        self._enabled: int | None = None
        self._is_held = False
        self._told = ""
        self.progress = SequenceProgress("waiting", "looking for the policy", sequence.id,
                                 steps=len(sequence.steps))

    def run(self) -> SequenceProgress:
        """Run it to its end; whatever happened, the policy is disabled when this returns.

        Returns:
            How it ended.
        """
        end: End
        try:
            text = self._run()
            end = "failed" if text else "succeeded"
        except SequenceCancelled as err:
            end, text = "cancelled", str(err)
        except InputError as err:
            end, text = "failed", str(err)
        except Exception as err:  # the arm must be held all the same
            end, text = "failed", repr(err)
        problem = self._robot.hold()
        text = text or "all steps are done"
        if problem:
            text += f"; the policy could not be disabled: {problem}"
        self.progress = replace(self.progress, state=end, text=text)
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
                wanted = step.on_failure if failure else step.on_success
                if wanted == STOP:
                    return f"step {number + 1} ({step.label}): {failure or 'it leads to stop'}"
                if wanted == DONE:
                    return ""
                number = self._sequence.after(number, wanted)
        return ""

    def _step(self, step: Step) -> str:
        """Return why a step failed, empty if it did not."""
        failure = ""
        for attempt in range(1, step.tries + 1):
            self._report(attempt=attempt, seconds=0.0)
            if step.call and (failure := self._call(step)):
                continue
            if not step.call and step.fails_if is not None and step.instruction == self._told:
                # The monitor begins anew, as it does for other words.
                self._rest("the try does not begin")
            event: TryEvent = "abort"
            self._on_try(step, "begin")
            try:
                failure = self._try(step)
                event = "failure" if failure else "success"
            finally:
                self._on_try(step, event)
            if not failure:
                break
        return failure

    def _call(self, step: Step) -> str:
        """Call the step's service while the arm holds; return why it refused."""
        self._rest(f"{step.call} was not called")
        self._report(state="waiting", text=f"calling {step.call}")
        refusal = self._robot.call(step.call, step.call_limit)
        return refusal and f"{step.call}: {refusal}"

    def _rest(self, otherwise: str) -> None:
        """Disable the policy, which is enabled again by the next try, and let the arm rest.

        Raises:
            InputError: it does not come to rest, so this does not happen.
        """
        robot = self._robot
        if robot.policy().state == MISSING:
            return
        if problem := robot.hold():
            raise InputError(f"{otherwise}, because the policy could not be disabled: {problem}")
        # Its last commands bring the arm to rest.
        begin = robot.now()
        while (seen := robot.policy()).state not in (DISABLED, STOPPED, MISSING) or seen.acts_on:
            self._report(state="waiting", text="the arm comes to rest")
            robot.wait(PERIOD_S)
            if robot.now() - begin > PATIENCE_S:
                raise InputError(f"{otherwise}: the policy was disabled, and is {seen.state} "
                                 f"{PATIENCE_S:g} s later")
        if not self._is_held:
            self._enabled = None

    def _try(self, step: Step) -> str:
        robot, until = self._robot, step.until
        robot.tell(step.instruction)
        self._told = step.instruction
        now = robot.now()
        acted = idle = 0.0
        was_seen = False
        with ExitStack() as watching:
            conditions = {field: watching.enter_context(robot.watch(condition))
                          for field, condition in step.conditions.items()}
            watched, failing = conditions["until"], conditions.get("fails_if")
            while True:
                seen = robot.policy()
                was_seen |= seen.state != MISSING
                if seen.state == STOPPED:
                    # Who stopped the arm decides what follows.
                    raise InputError(f"the policy was stopped: {seen.reason}")
                if seen.refusal:
                    return seen.refusal
                problem = self._enable(seen)
                acts = seen.state == RUNNING and seen.acts_on == step.instruction
                robot.wait(PERIOD_S)
                before, now = now, robot.now()
                if acts:
                    acted, idle = acted + now - before, 0.0
                    self._report(state="running", text=step.label, seconds=round(acted, 1))
                    if watched.is_met() or (until.seconds is not None and acted >= until.seconds):
                        return ""
                    if failing is not None and failing.is_met():
                        return str(step.fails_if)
                    if acted >= step.limit:
                        return "; ".join(filter(None, (
                            f"not done within {step.limit:g} s",
                            *(condition.why_not() for condition in conditions.values()))))
                    continue
                for condition in conditions.values():
                    condition.forget()
                is_wanted = seen.by_person or (seen.state == DISABLED and self._is_held)
                idle = 0.0 if is_wanted else idle + now - before
                why = _waiting(seen, problem)
                self._report(state="waiting", text=why)
                limit = PATIENCE_S if was_seen else READY_S
                if idle >= limit:
                    raise InputError(f"the policy did not act for {limit:g} s: {why}")

    def _enable(self, seen: SeenPolicy) -> str:
        """Enable the policy at the beginning, and when its node was started again.

        Not against the will of somebody who has disabled it. Returns why it was not.
        """
        if seen.state == MISSING:
            return ""
        if seen.starts == self._enabled:
            # It was enabled here, so somebody else has disabled it.
            self._is_held = seen.state == DISABLED
            return ""
        if self._is_held:
            self._is_held = seen.state == DISABLED
            if not self._is_held:
                self._enabled = seen.starts
            return ""
        problem = self._robot.enable()
        if not problem:
            self._enabled = seen.starts
        return problem


def _waiting(seen: SeenPolicy, problem: str) -> str:
    if seen.by_person:
        return "a person has the arm"
    if seen.state == MISSING:
        return "there is no policy_node"
    if seen.state == RUNNING:
        return "the policy has not acted on the instruction yet"
    return f"the policy is {seen.state}: {problem or seen.reason}"
