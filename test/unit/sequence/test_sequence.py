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

"""What a sequence file may say, and what becomes of a policy that is taken through one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest
import yaml

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.sequence.run import (
    PATIENCE_S,
    PolicySight,
    Progress,
    SequenceCancelled,
    SequenceRun,
)
from tinyvla_ros.sequence.steps import Sequence

OPEN, CLOSE, REACH = "open the drawer", "close the drawer", "reach the goal"


def step(instruction: str = OPEN, **more) -> dict:
    return {"instruction": instruction, "until": {"topic": "done"}} | more


def read(*steps: dict, **more) -> Sequence:
    return Sequence.read(yaml.safe_dump({"steps": list(steps), **more}))


# ---- the file -----------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "words"), [
    ("steps: []", ("steps",)),
    ("steps: [", ("not valid YAML",)),
    ("- 1", ("whole file",)),
    ("steps: [{instruction: '', until: {seconds: 1}}]", ("instruction", "''")),
    ("steps: [{instruction: a}]", ("until", "missing")),
    ("steps: [{instruction: a, until: {}}]", ("nothing ends", "seconds or topic")),
    ("steps: [{instruction: a, until: {progress: 0.9}}]", ("progress", "seconds")),
    ("steps: [{instruction: a, until: {seconds: -1}}]", ("seconds", "-1")),
    ("steps: [{instruction: a, until: {seconds: .nan}}]", ("seconds", "nan")),
    ("steps: [{instruction: a, until: {seconds: 90}}]", ("90", "60", "always fail")),
    ("steps: [{instruction: a, until: {above: 1}}]", ("about a topic",)),
    ("steps: [{instruction: a, until: {topic: t, above: .inf}}]", ("above", "inf")),
    ("steps: [{instruction: a, until: {topic: t, equals: yes, above: 1}}]", ("leave one",)),
    ("steps: [{instruction: a, until: {topic: t}, tries: 0}]", ("tries", "0")),
    ("steps: [{instruction: a, until: {topic: t}, on_failure: home}]", ("'home'", "no step")),
    ("steps: [{instruction: a, until: {topic: t}, on_success: stop}]", ("'stop'", "no step")),
    ("steps: [{instruction: a, name: next, until: {topic: t}}]", ("next", "another")),
    ("steps: [{instruction: a, name: x, until: {topic: t}}, {instruction: b, name: x, "
     "until: {topic: t}}]", ("x", "two steps")),
    ("steps: [{instruction: a, name: x, until: {topic: t}, on_failure: x}]",
     ("step 1 (x)", "round forever", "repeat")),
    ("steps: [{instruction: a, name: x, until: {topic: t}}, {instruction: b, until: {topic: t}, "
     "on_success: x}]", ("step 2 (b)", "round forever")),
    ("steps: &s [*s]", ("steps.0",)),
    ("repeat: 0\nsteps: [{instruction: a, until: {topic: t}}]", ("repeat", "0")),
])
def test_what_cannot_be_run_is_refused_in_a_sentence(text, words):
    with pytest.raises(InputError) as refused:
        Sequence.read(text)
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml"):
        Sequence.load(tmp_path / "no.yaml")


# ---- the run ------------------------------------------------------------------------------------

class Robot:
    """A policy in simulated time: what it is asked for is done after some seconds."""

    def __init__(self, **takes: float):
        self.takes = {"open": 2.0, "close": 2.0} | takes  # seconds until the topic says so
        self.now = 0.0
        self.now_sight = PolicySight("disabled", "disabled by the operator", starts=1)
        self.told: list[str] = []
        self.enabled: list[bool] = []
        self.calls: list[str] = []
        self.acted: dict[str, float] = {}
        self.at: list[tuple[float, Callable[[], None]]] = []
        self.answer = ""

    @property
    def word(self) -> str:
        return self.told[-1].split()[0]

    def change(self, **values) -> None:
        self.now_sight = replace(self.now_sight, **values)

    def sight(self) -> PolicySight:
        return self.now_sight

    def tell(self, instruction: str) -> None:
        self.told.append(instruction)
        if self.now_sight.state == "running":
            self.change(obeys=instruction)

    def enable(self, enabled: bool) -> str:
        self.enabled.append(enabled)
        if not self.answer:
            self.change(state="running" if enabled else "disabled",
                        obeys=self.told[-1] if enabled else "")
        return self.answer

    def call(self, service: str) -> str:
        assert not self.enabled[-1], "the arm holds meanwhile"
        self.calls.append(service)
        return self.answer

    @contextmanager
    def watch(self, until):
        self.acted[self.word] = 0.0
        yield lambda: bool(until.topic) and self.acted[self.word] >= self.takes[self.word]

    def wait(self, seconds: float) -> float:
        self.now += seconds
        for when, act in [*self.at]:
            if when <= self.now:
                self.at.remove((when, act))
                act()
        assert self.now < 1e4, "it goes on forever"
        if self.now_sight.state == "running" and self.now_sight.obeys == self.told[-1]:
            self.acted[self.word] += seconds
        return seconds


def run(sequence: Sequence, robot: Robot) -> tuple[Progress, list[Progress], list]:
    seen, tries = [], []
    end = SequenceRun(sequence, robot, seen.append,
                      lambda s, success: tries.append((s.label, success))).run()
    assert not robot.enabled[-1], "the arm holds at the end"
    return end, seen, tries


def test_steps_follow_each_other_and_the_arm_is_enabled_once():
    robot = Robot()
    end, seen, tries = run(read(step(), step(CLOSE), repeat=2), robot)
    assert end.state == "succeeded"
    assert robot.told == [OPEN, CLOSE, OPEN, CLOSE]
    assert robot.enabled == [True, False]
    assert tries == [(OPEN, None), (OPEN, True), (CLOSE, None), (CLOSE, True)] * 2
    assert {(p.turn, p.step) for p in seen} >= {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_a_step_may_end_after_a_time_in_which_the_policy_acted():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="holding", reason="camera front is silent")),
                (5.0, lambda: robot.change(state="running"))]
    end, _, _ = run(read(step(until={"seconds": 3.0})), robot)
    assert end.state == "succeeded" and robot.now == pytest.approx(7.0, abs=0.2)


def test_what_is_not_done_in_time_is_tried_again_and_then_the_sequence_ends():
    robot = Robot(open=99.0)
    end, _, tries = run(read(step(limit=4.0, tries=3), step(CLOSE)), robot)
    assert end.state == "failed" and "step 1 (open the drawer): not done within 4 s" in end.text
    assert robot.told == [OPEN] * 3 and robot.now == pytest.approx(12.0, abs=0.5)
    assert [success for _, success in tries] == [None, False] * 3


@pytest.mark.parametrize(("on_failure", "told"), [
    ("next", [OPEN, CLOSE, REACH]), ("last", [OPEN, REACH]), ("stop", [OPEN])])
def test_a_failure_goes_on_where_the_file_says(on_failure, told):
    robot = Robot(open=99.0, reach=1.0)
    end, _, _ = run(read(step(limit=1.0, on_failure=on_failure), step(CLOSE),
                         step(REACH, name="last")), robot)
    assert robot.told == told
    assert end.state == ("failed" if on_failure == "stop" else "succeeded")


@pytest.mark.parametrize(("on_success", "told"), [
    ("next", [OPEN, CLOSE, REACH]), ("last", [OPEN, REACH]), ("done", [OPEN])])
def test_so_does_a_success(on_success, told):
    robot = Robot(reach=1.0)
    end, _, _ = run(read(step(on_success=on_success), step(CLOSE), step(REACH, name="last")),
                    robot)
    assert robot.told == told and end.state == "succeeded"


def test_a_service_is_called_before_each_try_while_the_arm_holds():
    robot = Robot(open=99.0)
    end, _, _ = run(read(step(call="home", limit=1.0, tries=2, on_failure="next")), robot)
    assert end.state == "succeeded" and robot.calls == ["home", "home"]
    robot = Robot()
    robot.answer = "no home here"
    robot.enabled.append(False)
    end, _, _ = run(read(step(call="home")), robot)
    assert end.state == "failed" and "home: no home here" in end.text


def test_a_policy_that_was_started_again_is_enabled_again():
    robot = Robot(open=10.0)
    robot.at = [(2.0, lambda: robot.change(state="missing", obeys="")),
                (6.0, lambda: robot.change(state="disabled", starts=2))]
    end, seen, _ = run(read(step()), robot)
    assert end.state == "succeeded" and robot.enabled == [True, True, False]
    assert "there is no policy_node" in [p.text for p in seen]


def test_what_somebody_disabled_or_took_over_is_theirs_as_long_as_they_like():
    robot = Robot(open=10.0)
    hour = 60.0 * PATIENCE_S
    robot.at = [(2.0, lambda: robot.change(state="disabled", obeys="")),
                (hour, lambda: robot.change(state="running", obeys=OPEN)),
                (hour + 2, lambda: robot.change(by_person=True, obeys="")),
                (2 * hour, lambda: robot.change(by_person=False, obeys=OPEN))]
    end, seen, _ = run(read(step(limit=20.0)), robot)
    assert end.state == "succeeded" and robot.enabled == [True, False]
    assert "a person has the arm" in [p.text for p in seen]


def test_a_policy_that_cannot_act_is_not_waited_for_forever():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="holding", reason="camera front is silent"))]
    end, _, _ = run(read(step()), robot)
    assert end.state == "failed" and "camera front is silent" in end.text
    assert robot.now == pytest.approx(1.0 + PATIENCE_S, abs=1.0)


def test_an_arm_that_was_stopped_is_not_moved_again():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="stopped", reason="stopped by the operator"))]
    end, _, _ = run(read(step(tries=5, on_failure="next"), step(CLOSE)), robot)
    assert end.state == "failed" and "stopped by the operator" in end.text
    assert robot.told == [OPEN] and robot.enabled == [True, False]


def test_an_instruction_that_the_policy_refuses_fails_its_step():
    robot = Robot()
    robot.change(refusal="Unknown instruction 'open the drawer'; give reach.")
    end, _, _ = run(read(step()), robot)
    assert end.state == "failed" and "Unknown instruction" in end.text


def test_a_sequence_that_is_cancelled_holds_the_arm():
    robot = Robot()

    def cancel() -> None:
        raise SequenceCancelled("cancelled by the operator")

    robot.at = [(1.0, cancel)]
    end, _, tries = run(read(step(), step(CLOSE)), robot)
    assert (end.state, end.text) == ("cancelled", "cancelled by the operator")
    assert tries[-1] == (OPEN, False)
