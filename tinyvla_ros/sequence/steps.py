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

"""What a sequence file says: steps of instruction, end condition, tries, and where to go on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, StrictBool, StrictStr, model_validator

from tinyvla_ros.core.configuration import Config, parse, parse_yaml, read_yaml
from tinyvla_ros.core.ros.topic_names import TopicName
from tinyvla_ros.monitor.interface import DONE_TOPIC, PROGRESS_TOPIC, SCORE_TOPIC

Words = Annotated[str, Field(min_length=1, max_length=1000)]
# Where a step leads, beside the name of a later one: to the next, to the end as a success, to the
# end as a failure.
NEXT, DONE, STOP = "next", "done", "stop"
# So long such a condition holds by default, s.
MONITORED_LASTS_S = 0.2
# What a condition may ask of the policy's monitor -> its topic.
SCORE = "failure_score"
MONITORED = {"progress": f"policy_node/{PROGRESS_TOPIC}", "done": f"policy_node/{DONE_TOPIC}",
             SCORE: f"policy_node/{SCORE_TOPIC}"}


class EndCondition(Config):
    """What ends a try: the first of several conditions counts.

    ``progress: 0.95`` and ``done: 0.5``, and ``failure_score: 1`` in ``fails_if``, stand for a
    topic of the policy's monitor that is above that number.

    Attributes:
        seconds: so long the policy has acted.
        topic: whose newest message says so: Bool, String or a number of std_msgs.
        equals: what it must be; true if nothing else is asked of the topic.
        above: what its number must exceed.
        below: what its number must stay under.
        lasts: how long that must hold, s.
    """

    seconds: float | None = Field(None, gt=0.0, le=86400.0)
    topic: TopicName | None = None
    equals: StrictBool | StrictStr | None = None
    above: float | None = Field(None, allow_inf_nan=False)
    below: float | None = Field(None, allow_inf_nan=False)
    lasts: float = Field(0.0, ge=0.0, le=3600.0)

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, values):
        """Put the topic of the monitor for the word that stands for it."""
        words = [w for w in MONITORED if isinstance(values, dict) and w in values]
        if not words:
            return values
        if len(words) > 1 or {"topic", "equals", "above", "below"} & set(values):
            raise ValueError(f"{' and '.join(words)}, topic, equals, above and below are several "
                             "conditions; give one of them")
        value = values[words[0]]
        most = math.inf if words[0] == SCORE else 1.0
        if isinstance(value, bool) or not isinstance(value, int | float) or \
                not 0.0 < value < most:
            raise ValueError(f"{words[0]} is {value!r}; give a number " + (
                "above 0" if most == math.inf else "between 0 and 1"))
        rest = {k: v for k, v in values.items() if k != words[0]}
        # What was said of the step before may still come; and one look alone may be mistaken.
        return {"lasts": MONITORED_LASTS_S} | rest | {"topic": MONITORED[words[0]],
                                                      "above": value}

    @property
    def needs_monitor(self) -> bool:
        """Whether the checkpoint must have a monitor for it."""
        return self.topic in MONITORED.values()

    @model_validator(mode="after")
    def _asks_for_something(self):
        asked = [self.equals is not None, self.is_number]
        if self.topic is None and (any(asked) or self.lasts):
            raise ValueError("equals, above, below and lasts are about a topic; name it in topic")
        if all(asked):
            raise ValueError("equals is for words and yes or no, above and below are for numbers; "
                             "leave one of them out")
        if self.seconds is None and self.topic is None:
            raise ValueError("nothing is asked; give seconds, topic, progress or done in until, "
                             f"and topic or {SCORE} in fails_if")
        if None not in (self.above, self.below) and self.above >= self.below:
            raise ValueError(f"no number is above {self.above:g} and below {self.below:g}; give a "
                             "smaller one for above")
        return self

    @property
    def is_number(self) -> bool:
        """Whether the topic has numbers."""
        return self.above is not None or self.below is not None

    @property
    def asks_for_alarm(self) -> bool:
        """Whether it is met by what the monitor takes for a failure."""
        return self.topic == MONITORED[SCORE]

    def __str__(self) -> str:
        """Return what is asked of the topic, which it must have, in words."""
        if self.is_number:
            return f"{self.topic} is " + " and ".join(
                f"{word} {bound:g}" for word, bound in (("above", self.above),
                                                        ("below", self.below))
                if bound is not None)
        words = "true" if self.equals is None else str(self.equals)
        return f"{self.topic} is {words.lower() if isinstance(self.equals, bool) else words}"

    def accepts(self, value: bool | float | str) -> bool:
        """Return whether a message's value meets the condition."""
        if not self.is_number:
            return value == (True if self.equals is None else self.equals)
        return (self.above is None or value > self.above) and \
            (self.below is None or value < self.below)


class Step(Config):
    """One thing that a policy is told to do.

    Attributes:
        instruction: what the policy is told.
        name: for ``on_success`` and ``on_failure`` of earlier steps.
        until: when it is done.
        fails_if: when a try has failed before its limit: a topic, or failure_score of the monitor.
        limit: longest try, s in which the policy acts; then the try has failed.
        tries: how often it is tried.
        call: service (std_srvs/Trigger) that is called before each try, while the arm holds.
        call_limit: longest wait for its answer, s; then the sequence ends.
        on_success: next, done (the sequence ends and has succeeded), stop (it ends and has
            failed), or the name of a later step.
        on_failure: the same, after the last try.
    """

    instruction: Words
    name: str = Field("", max_length=100)
    until: EndCondition
    fails_if: EndCondition | None = None
    limit: float = Field(60.0, gt=0.0, le=86400.0)
    tries: int = Field(1, ge=1, le=1000)
    call: TopicName | None = None
    call_limit: float = Field(60.0, gt=0.0, le=3600.0)
    on_success: str = Field(NEXT, min_length=1)
    on_failure: str = Field(STOP, min_length=1)

    @model_validator(mode="after")
    def _can_end(self):
        if self.fails_if is not None and self.fails_if.seconds is not None:
            raise ValueError(f"fails_if.seconds is {self.fails_if.seconds:g}; give limit, after "
                             "which a try has failed")
        if self.until.asks_for_alarm:
            raise ValueError(f"until asks for {SCORE}, which tells of failures; give it in "
                             "fails_if")
        for field, condition in self.conditions.items():
            for name in ("seconds", "lasts"):
                if (getattr(condition, name) or 0.0) > self.limit:
                    raise ValueError(
                        f"{field}.{name} is {getattr(condition, name):g}, and limit ends the try "
                        f"after {self.limit:g} s; give a larger limit")
        return self

    @property
    def conditions(self) -> dict[str, EndCondition]:
        """What ends a try, by the name of its field."""
        given = {"until": self.until, "fails_if": self.fails_if}
        return {field: condition for field, condition in given.items() if condition is not None}

    @property
    def label(self) -> str:
        """What it is called where people read it."""
        return self.name or self.instruction


class Sequence(Config):
    """Steps that a policy takes one after the other.

    Attributes:
        steps: in their order.
        repeat: how often they are gone through.
        id: returned with everything that is told about this sequence.
    """

    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)
    repeat: int = Field(1, ge=1, le=1000000)
    id: str = Field("", max_length=200)

    @classmethod
    def load(cls, path: str | Path) -> Sequence:
        """Read a file.

        Raises:
            InputError: it cannot be read, or a value is not valid.
        """
        return parse(cls, read_yaml(path), str(path))

    @classmethod
    def read(cls, text: str) -> Sequence:
        """Read the text of a file; raises as ``load``."""
        return parse(cls, parse_yaml(text, "the sequence"), "the sequence")

    @model_validator(mode="after")
    def _goes_forward(self):
        names = [step.name for step in self.steps]
        if twice := {n for n in names if n and names.count(n) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is the name of two steps; give each its "
                             "own")
        own = (NEXT, DONE, STOP)
        if taken := set(own) & set(names):
            raise ValueError(f"{', '.join(sorted(taken))} cannot be the name of a step; give "
                             "another")
        for number, step in enumerate(self.steps):
            for field in ("on_success", "on_failure"):
                wanted = getattr(step, field)
                if wanted in own or wanted in names[number + 1:]:
                    continue
                why = "is not after it, and steps would go round forever; give tries, or repeat " \
                    "of the file" if wanted in names else \
                    f"is no step's name; give {', '.join(own)} or the name of a later step"
                raise ValueError(f"{field} of step {number + 1} ({step.label}) is {wanted!r}, "
                                 f"which {why}")
        return self

    def after(self, number: int, wanted: str) -> int | None:
        """Return the number of the step that follows one; None if that was the last.

        Args:
            number: of the step.
            wanted: its ``on_success`` or ``on_failure``, other than done and stop.
        """
        if wanted != NEXT:
            return next(n for n, step in enumerate(self.steps) if step.name == wanted)
        return number + 1 if number + 1 < len(self.steps) else None
