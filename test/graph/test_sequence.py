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

"""sequence_node takes a real policy_node through steps, on the dry-run arm."""

from __future__ import annotations

import signal
from itertools import pairwise

import pytest
import yaml
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import SetBool, Trigger

from harness.sequence_rig import CLOSE, OPEN, SequenceRig, run_recorded
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.ros.episode_event import BEGIN, END


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    yield from run_recorded(SequenceRig(tmp_path_factory.mktemp("sequence")))


def step(instruction: str = OPEN, **more) -> dict:
    return {"instruction": instruction, "until": {"topic": "done"}} | more


def test_steps_follow_each_other_as_their_topics_say(rig):
    events = len(rig.events)
    rig.begin(step(name="first"), step(CLOSE, name="second", until={
        "topic": "level", "above": 0.5, "lasts": 0.2}))
    rig.until(lambda now: now["state"] == "running" and now["step"] == "1", "the first step")
    rig.until_policy("running")
    rig.wait(lambda: rig.instructions[-1:] == [OPEN], "its chunks")
    assert not rig.ask("start").success, "one runs"
    rig.done.publish(Bool(data=True))
    rig.until(lambda now: now["state"] == "running" and now["step"] == "2", "the second step")
    rig.wait(lambda: rig.instructions[-1:] == [CLOSE], "its chunks")
    rig.node.create_timer(0.02, lambda: rig.level.publish(Float32(data=0.7)))
    assert rig.until_end()["state"] == "succeeded", rig.now
    rig.until_policy("disabled")
    rig.wait_rest()
    rig.wait(lambda: len(rig.events) >= events + 4, "episodes")
    kinds = [(e.kind, e.values["task"], e.values.get("success"))
             for e in list(rig.events)[events:]]
    assert kinds == [(BEGIN, "first", None), (END, "first", "true"),
                     (BEGIN, "second", None), (END, "second", "true")]
    for name, instruction in (("first", OPEN), ("second", CLOSE)):
        rig.wait(lambda wanted=name: rig.recorded(wanted), "its bag")
        with Bag(rig.recorded(name)[0]) as bag:
            assert (bag.custom["instruction"], bag.custom["outcome"]) == (instruction, "success")
            assert all(bag.topics[t].count for t in bag.topics if t.endswith("image_raw"))


def test_a_step_that_takes_too_long_is_tried_again_and_fails(rig):
    rig.begin(step(limit=0.5, tries=2, until={"topic": "nobodys"}))
    end = rig.until_end()
    assert "not done within 0.5 s; nobody publishes" in end["text"] and end["attempt"] == "2", end


def test_a_try_fails_as_a_topic_says(rig):
    rig.begin(step(fails_if={"topic": "level", "above": 0.9}))
    rig.until_state("running")
    timer = rig.node.create_timer(0.02, lambda: rig.level.publish(Float32(data=0.95)))
    end = rig.until_end()
    rig.node.destroy_timer(timer)
    assert end["state"] == "failed" and "level is above 0.9" in end["text"], end


def test_a_service_is_called_while_the_arm_rests(rig):
    rig.homed = 0
    rig.begin(step(CLOSE, until={"seconds": 0.2}),
              step(call="home", tries=2, until={"seconds": 0.2}))
    assert rig.until_end()["state"] == "succeeded", rig.now
    assert rig.homed == 2, "the first call was refused, and was a try"
    assert [c for c in rig.commands if c.time_s < rig.homed_s][-1].is_hold


def test_a_sequence_that_is_cancelled_holds_the_arm(rig):
    rig.begin(step())
    rig.until_state("running")
    assert rig.ask("cancel").success
    assert rig.until_end()["state"] == "cancelled"
    rig.until_policy("disabled")
    assert not rig.ask("cancel").success, "nothing runs any more"


def test_what_is_published_on_run_is_run_or_refused_by_its_id(rig):
    rig.done.publish(Bool(data=False))
    refused = "{id: a, steps: [{instruction: fly, until: {seconds: 1}}]}"
    for _ in range(2):  # the same again is told again
        before = len(rig.feedback)
        rig.texts.publish(String(data=refused))
        rig.wait(lambda then=before: any(f["id"] == "a" for f in rig.feedback[then:]), "a refusal")
        assert rig.now["state"] == "failed" and "fly" in rig.now["text"]
    rig.texts.publish(String(data=yaml.safe_dump({"steps": [step()], "id": "b"})))
    rig.until(lambda now: now["id"] == "b" and now["state"] == "running", "it")
    before = len(rig.feedback)
    rig.texts.publish(String(data=yaml.safe_dump({"steps": [step()], "id": "c"})))
    rig.wait(lambda: ("c", "b") in pairwise(f["id"] for f in rig.feedback[before:]), "a refusal")
    assert next(f for f in rig.feedback[before:] if f["id"] == "c")["state"] == "failed"
    rig.done.publish(Bool(data=True))
    assert (rig.until_end()["state"], rig.now["id"]) == ("succeeded", "b")


def test_a_topic_of_another_type_is_told(rig):
    rig.begin(step(until={"topic": "level"}))
    end = rig.until_end()
    assert "level is std_msgs/msg/Float32" in end["text"] and "true or false" in end["text"], end


def test_who_disables_the_policy_is_not_overruled(rig):
    rig.begin(step())
    rig.until_state("running")
    assert rig.call("enable", SetBool.Request(data=False)).success
    rig.until_state("waiting")
    rig.until_policy("disabled")
    messages = len(rig.feedback)
    rig.wait(lambda: len(rig.feedback) > messages + 3, "more feedback")
    assert rig.values["state"] == "disabled" and rig.now["state"] == "waiting"
    assert rig.call("enable", SetBool.Request(data=True)).success
    rig.until_state("running")
    rig.done.publish(Bool(data=True))
    assert rig.until_end()["state"] == "succeeded"


def test_an_emergency_stop_ends_it(rig):
    rig.begin(step(tries=3, on_failure="next"), step(CLOSE))
    rig.until_state("running")
    assert rig.call("stop", Trigger.Request()).success
    end = rig.until_end()
    assert end["state"] == "failed" and "stopped by the operator" in end["text"], end
    assert rig.call("reset", Trigger.Request()).success


def test_it_goes_on_with_a_policy_that_was_killed_and_started_again(rig):
    rig.begin(step(), step(CLOSE, until={"seconds": 0.3}))
    rig.until_state("running")
    rig.signal("policy_node", signal.SIGKILL)
    rig.processes.pop("policy_node").wait()
    rig.start_policy()
    rig.until_state("waiting")
    rig.until_state("running")
    rig.done.publish(Bool(data=True))
    assert rig.until_end()["state"] == "succeeded", rig.now


def test_the_arm_holds_when_the_sequence_is_killed(rig):
    rig.begin(step())
    rig.until_state("running")
    rig.signal("sequence_node", signal.SIGKILL)
    rig.processes.pop("sequence_node").wait()
    rig.wait_status("instruction: the last came")
    rig.wait_rest()
    rig.write(step(until={"seconds": 0.1}), id="after")
    rig.start_sequence_node()


def test_the_arm_holds_when_the_sequence_is_ended(rig):
    rig.begin(step())
    rig.until_state("running")
    rig.signal("sequence_node", signal.SIGINT)
    assert rig.processes.pop("sequence_node").wait(30.0) == 0
    rig.until_policy("disabled")
    assert rig.until_end()["state"] == "cancelled"
    rig.write(step(until={"seconds": 0.1}), id="after the end")
    rig.start_sequence_node()


@pytest.fixture
def without_sequence_node(rig):
    """The policy alone."""
    rig.signal("sequence_node", signal.SIGINT)
    rig.processes.pop("sequence_node").wait(30.0)
    yield
    rig.write(step(until={"seconds": 0.1}), id="the last")
    rig.start_sequence_node()


def test_the_command_joins_a_policy_that_runs(rig, without_sequence_node, capfd):
    common = ["run-sequence", str(rig.file), "--robot", str(rig.path), "--namespace",
              rig.namespace]
    rig.write(step(CLOSE, until={"seconds": 0.2}))
    assert main(common) == 0, capfd.readouterr()
    rig.write(step(until={"topic": "level"}))
    assert main(common) == 1
    assert "level is std_msgs/msg/Float32" in "".join(capfd.readouterr())
    # What it cannot do is said before anything starts.
    rig.write(step("fly"))
    assert main([*common, "--checkpoint", str(rig.checkpoint)]) == 2
    assert "fly" in capfd.readouterr().err
    assert main([*common, "--device", "cuda"]) == 2
    assert "device" in capfd.readouterr().err
