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
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.sequence.check import check_sequence
from tinyvla_ros.sequence.run import (
    PATIENCE_S,
    SeenPolicy,
    SequenceCancelled,
    SequenceProgress,
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
    ("steps: [{instruction: a, until: {}}]", ("nothing is asked", "seconds, topic")),
    ("steps: [{instruction: a, until: {failure_score: 1}}]", ("failure_score", "in fails_if")),
    ("steps: [{instruction: a, until: {progress: 1.5}}]", ("progress", "1.5")),
    ("steps: [{instruction: a, until: {progress: .nan}}]", ("progress", "nan")),
    ("steps: [{instruction: a, until: {done: true}}]", ("done", "True")),
    ("steps: [{instruction: a, until: {progress: 0.9, done: 0.5}}]", ("several conditions",)),
    ("steps: [{instruction: a, until: {done: 0.5, topic: t}}]", ("several conditions",)),
    ("steps: [{instruction: a, until: {topic: t}, fails_if: {failure_score: 0}}]",
     ("failure_score", "above 0")),
    ("steps: [{instruction: a, until: {topic: t}, fails_if: {seconds: 3}}]",
     ("fails_if.seconds", "give limit")),
    ("steps: [{instruction: a, limit: 5, until: {topic: t}, fails_if: {topic: t, lasts: 6}}]",
     ("fails_if.lasts", "6", "5")),
    ("steps: [{instruction: a, until: {seconds: -1}}]", ("seconds", "-1")),
    ("steps: [{instruction: a, until: {seconds: .nan}}]", ("seconds", "nan")),
    ("steps: [{instruction: a, until: {seconds: 90}}]", ("90", "60", "larger limit")),
    ("steps: [{instruction: a, limit: 5, until: {topic: t, lasts: 6}}]", ("lasts", "6", "5")),
    ("steps: [{instruction: a, until: {topic: t, above: 2, below: 1}}]", ("2", "1", "smaller")),
    ("steps: [{instruction: a, until: {topic: t, equals: 1}}]", ("equals",)),
    ("steps: [{instruction: a, until: {topic: the drawer}}]", ("the drawer", "the_drawer")),
    ("steps: [{instruction: a, until: {topic: t}, call: go home}]", ("go home", "go_home")),
    ("steps: 2026-02-30", ("not valid YAML",)),
    ("[" * 5000, ("not valid YAML",)),
    ("steps: [{instruction: a, until: {above: 1}}]", ("about a topic",)),
    ("steps: [{instruction: a, until: {topic: t, above: .inf}}]", ("above", "inf")),
    ("steps: [{instruction: a, until: {topic: t, equals: yes, above: 1}}]", ("leave one",)),
    ("steps: [{instruction: a, until: {topic: t}, tries: 0}]", ("tries", "0")),
    ("steps: [{instruction: a, until: {topic: t}, on_failure: home}]",
     ("'home'", "no step's name")),
    ("steps: [{instruction: a, until: {topic: t}, on_success: a}]", ("'a'", "no step's name")),
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


def test_the_shipped_sequence_fits_its_checkpoint():
    check_sequence(Sequence.load(share_directory() / "config/sequences/drawer.yaml"),
                   share_directory() / "checkpoints/metaworld-scenes")


# ---- the run ------------------------------------------------------------------------------------

class Robot:
    """A policy in simulated time: what it is asked for is done after some seconds."""

    def __init__(self, **takes: float):
        self.takes = {"open": 2.0, "close": 2.0} | takes  # seconds until the topic says so
        self.time = 0.0
        self.seen = SeenPolicy("disabled", "disabled by the operator", starts=1)
        self.told: list[str] = []
        self.does: list[str] = []  # what was asked for
        self.acted: dict[str, float] = {}
        self.at: list[tuple[float, Callable[[], None]]] = []
        self.refusals: dict[str, list[str]] = {}  # of what was asked for, one after the other
        self.is_cancelled = False

    @property
    def word(self) -> str:
        return self.told[-1].split()[0]

    def change(self, **values) -> None:
        self.seen = replace(self.seen, **values)

    def now(self) -> float:
        return self.time

    def policy(self) -> SeenPolicy:
        return self.seen

    def tell(self, instruction: str) -> None:
        self.told.append(instruction)
        if self.seen.state == "running":
            self.change(acts_on=instruction)

    def _ask(self, what: str) -> str:
        self.does.append(what)
        return self.refusals[what].pop(0) if self.refusals.get(what) else ""

    def enable(self) -> str:
        self.wait(0.0)
        refusal = self._ask("enable")
        if not refusal:
            self.change(state="running", acts_on=self.told[-1])
        return refusal

    def hold(self) -> str:
        refusal = self._ask("hold")
        if not refusal and self.seen.state not in ("missing", "stopped"):
            self.change(state="disabled", acts_on="")
        return refusal

    def call(self, service: str, limit: float) -> str:
        self.wait(0.0)
        assert self.seen.state != "running", "the arm holds meanwhile"
        return self._ask(service)

    @contextmanager
    def watch(self, until):
        self.acted[self.word] = 0.0
        yield Strange(self) if until.needs_monitor else Condition(self, bool(until.topic))

    def wait(self, seconds: float) -> None:
        if self.is_cancelled:
            raise SequenceCancelled("cancelled by the operator")
        self.time += seconds
        for when, act in [*self.at]:
            if when <= self.time:
                self.at.remove((when, act))
                act()
        assert self.time < 1e5, "it goes on forever"
        if self.seen.state == "running" and self.seen.acts_on == self.told[-1]:
            self.acted[self.word] += seconds


class Condition:
    """The topic of a step."""

    def __init__(self, robot: Robot, is_there: bool):
        self._robot, self._is_there = robot, is_there

    def is_met(self) -> bool:
        word = self._robot.word
        return self._is_there and self._robot.acted[word] >= self._robot.takes[word]

    def forget(self) -> None:
        pass

    def why_not(self) -> str:
        return "nobody publishes it"


class Strange(Condition):
    """What the monitor says: it looks strange from the second second of an episode on."""

    def __init__(self, robot: Robot):
        super().__init__(robot, True)

    def is_met(self) -> bool:
        return self._robot.acted[self._robot.word] >= 2.0


def run(sequence: Sequence, robot: Robot) -> tuple[SequenceProgress, list[SequenceProgress], list]:
    seen, tries = [], []
    end = SequenceRun(sequence, robot, seen.append,
                      lambda s, event: tries.append((s.label, event))).run()
    assert robot.does[-1] == "hold", "the arm holds at the end"
    return end, seen, tries


def test_steps_follow_each_other_and_the_arm_is_enabled_once():
    robot = Robot()
    end, seen, tries = run(read(step(), step(CLOSE), repeat=2, id="it"), robot)
    assert (end.state, end.id) == ("succeeded", "it")
    assert robot.told == [OPEN, CLOSE, OPEN, CLOSE]
    assert robot.does == ["enable", "hold"]
    assert tries == [(OPEN, "begin"), (OPEN, "success"), (CLOSE, "begin"),
                     (CLOSE, "success")] * 2
    assert {(p.turn, p.step) for p in seen} >= {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_a_step_may_end_after_a_time_in_which_the_policy_acted():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="holding", reason="camera front is silent")),
                (5.0, lambda: robot.change(state="running"))]
    end, _, _ = run(read(step(until={"seconds": 3.0})), robot)
    assert end.state == "succeeded" and robot.time == pytest.approx(7.0, abs=0.2)


def test_what_is_not_done_in_time_is_tried_again_and_then_the_sequence_ends():
    robot = Robot(open=99.0)
    end, _, tries = run(read(step(limit=4.0, tries=3), step(CLOSE)), robot)
    assert end.state == "failed"
    assert "step 1 (open the drawer): not done within 4 s; nobody publishes it" in end.text
    assert robot.told == [OPEN] * 3 and robot.time == pytest.approx(12.0, abs=0.5)
    assert [event for _, event in tries] == ["begin", "failure"] * 3


def test_a_try_that_looks_like_a_failure_ends_and_the_next_begins_from_rest():
    robot = Robot(open=99.0)
    end, _, tries = run(read(step(fails_if={"failure_score": 1.0}, tries=2)), robot)
    assert end.state == "failed" and end.text.endswith("policy_node/failure_score is above 1")
    assert robot.does == ["enable", "hold", "enable", "hold"]
    assert robot.time == pytest.approx(4.0, abs=0.5), "not the whole limit"
    assert [event for _, event in tries] == ["begin", "failure"] * 2
    again = Robot(open=1.5)
    end, _, _ = run(read(step(fails_if={"failure_score": 1.0}), repeat=2), again)
    assert end.state == "succeeded" and again.does == ["enable", "hold", "enable", "hold"]
    assert run(read(step(CLOSE, fails_if={"failure_score": 1.0})), Robot(close=1.5))[0].state == \
        "succeeded"


@pytest.mark.parametrize(("on_failure", "told", "state"), [
    ("next", [OPEN, CLOSE, REACH], "succeeded"), ("last", [OPEN, REACH], "succeeded"),
    ("stop", [OPEN], "failed"), ("done", [OPEN], "succeeded")])
def test_a_failure_goes_on_where_the_file_says(on_failure, told, state):
    robot = Robot(open=99.0, reach=1.0)
    end, _, _ = run(read(step(limit=1.0, on_failure=on_failure), step(CLOSE),
                         step(REACH, name="last")), robot)
    assert (robot.told, end.state) == (told, state)


@pytest.mark.parametrize(("on_success", "told", "state"), [
    ("next", [OPEN, CLOSE, REACH], "succeeded"), ("last", [OPEN, REACH], "succeeded"),
    ("done", [OPEN], "succeeded"), ("stop", [OPEN], "failed")])
def test_so_does_a_success(on_success, told, state):
    robot = Robot(reach=1.0)
    end, _, _ = run(read(step(on_success=on_success), step(CLOSE), step(REACH, name="last")),
                    robot)
    assert (robot.told, end.state) == (told, state)


def test_a_service_is_called_before_each_try_while_the_arm_holds():
    robot = Robot(open=99.0)
    end, _, _ = run(read(step(call="home", limit=1.0, tries=2, on_failure="next")), robot)
    assert end.state == "succeeded"
    assert robot.does == ["hold", "home", "enable", "hold", "home", "enable", "hold"]


def test_a_service_that_refuses_is_a_try_that_failed():
    robot = Robot()
    robot.refusals = {"home": ["busy"]}
    end, _, _ = run(read(step(call="home", tries=2)), robot)
    assert end.state == "succeeded" and robot.told == [OPEN]
    robot = Robot()
    robot.refusals = {"home": ["busy", "busy"]}
    end, _, _ = run(read(step(call="home", tries=2)), robot)
    assert end.state == "failed" and "home: busy" in end.text and robot.told == []


def test_no_service_is_called_while_the_policy_cannot_be_disabled():
    robot = Robot()
    robot.refusals = {"hold": ["no answer"]}
    end, _, _ = run(read(step(), step(CLOSE, call="home")), robot)
    assert end.state == "failed" and "no answer" in end.text and "home" not in robot.does


def test_a_policy_that_was_started_again_is_enabled_again():
    robot = Robot(open=10.0)
    robot.at = [(2.0, lambda: robot.change(state="missing", acts_on="")),
                (6.0, lambda: robot.change(state="disabled", starts=2))]
    end, seen, _ = run(read(step()), robot)
    assert end.state == "succeeded" and robot.does == ["enable", "enable", "hold"]
    assert "there is no policy_node" in [p.text for p in seen]


def test_what_somebody_disabled_or_took_over_is_theirs_as_long_as_they_like():
    robot = Robot(open=10.0)
    hour = 60.0 * PATIENCE_S
    robot.at = [(2.0, lambda: robot.change(state="disabled", acts_on="")),
                (hour, lambda: robot.change(state="running", acts_on=OPEN)),
                (hour + 2, lambda: robot.change(by_person=True, acts_on="")),
                (2 * hour, lambda: robot.change(by_person=False, acts_on=OPEN))]
    end, seen, _ = run(read(step(limit=20.0)), robot)
    assert end.state == "succeeded" and robot.does == ["enable", "hold"]
    assert "a person has the arm" in [p.text for p in seen]


def test_what_somebody_disabled_stays_so_though_the_policy_is_started_again():
    robot = Robot(open=10.0)
    robot.at = [(2.0, lambda: robot.change(state="disabled", acts_on="")),
                (4.0, lambda: robot.change(state="missing")),
                (6.0, lambda: robot.change(state="disabled", starts=2)),
                (500.0, lambda: robot.change(state="running", acts_on=OPEN))]
    end, _, _ = run(read(step()), robot)
    assert end.state == "succeeded" and robot.does == ["enable", "hold"] and robot.time > 500.0


def test_a_policy_that_cannot_act_is_not_waited_for_forever():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="holding", reason="camera front is silent"))]
    end, _, _ = run(read(step(tries=3, on_failure="next"), step(CLOSE)), robot)
    assert end.state == "failed" and "camera front is silent" in end.text
    assert robot.time == pytest.approx(1.0 + PATIENCE_S, abs=1.0)
    robot = Robot()
    robot.change(state="missing")
    end, _, _ = run(read(step(on_failure="next")), robot)
    assert end.state == "failed" and "there is no policy_node" in end.text


def test_an_arm_that_was_stopped_is_not_moved_again():
    robot = Robot()
    robot.at = [(1.0, lambda: robot.change(state="stopped", reason="stopped by the operator"))]
    end, _, _ = run(read(step(tries=5, on_failure="next"), step(CLOSE)), robot)
    assert end.state == "failed" and "stopped by the operator" in end.text
    assert robot.told == [OPEN] and robot.does == ["enable", "hold"]


def test_an_instruction_that_the_policy_refuses_fails_its_step():
    robot = Robot()
    robot.change(refusal="Unknown instruction 'open the drawer'; give reach.")
    end, _, _ = run(read(step()), robot)
    assert end.state == "failed" and "Unknown instruction" in end.text


@pytest.mark.parametrize("when", [1.0, 0.0])
def test_a_sequence_that_is_cancelled_holds_the_arm_and_asks_for_nothing_more(when):
    robot = Robot()
    robot.at = [(when, lambda: setattr(robot, "is_cancelled", True))]
    end, _, tries = run(read(step(call=None if when else "home"), step(CLOSE, call="home")),
                        robot)
    assert (end.state, end.text) == ("cancelled", "cancelled by the operator")
    assert robot.does == (["enable", "hold"] if when else ["hold", "home", "hold"])
    assert tries == [(OPEN, "begin"), (OPEN, "abort")]


def test_whatever_goes_wrong_the_arm_is_held():
    robot = Robot()
    robot.watch = None  # what no code expects
    end, _, _ = run(read(step()), robot)
    assert end.state == "failed" and "TypeError" in end.text
