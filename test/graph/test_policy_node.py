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

"""``policy_node`` in its own process: chunks for good observations, none for bad messages."""

from __future__ import annotations

import math
import signal

import pytest
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from harness.policies import write_robot
from harness.processes import Output, Probe, running_policy_node, start, start_node
from tinyvla_ros.nodes.shared.runner import LATCHED
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings


@pytest.fixture(scope="module")
def node(tiny_checkpoint, tmp_path_factory):
    """A running policy node, shared by the tests of this module."""
    robot = write_robot(tmp_path_factory.mktemp("robot") / "robot.yaml")
    with running_policy_node(tiny_checkpoint, robot) as process:
        yield process


@pytest.fixture
def probe(node, tiny_config):
    """A fresh observer; the policy forgets what other tests sent."""
    probe = Probe(tiny_config)
    probe.until_matched()
    probe.call(Trigger, "/policy_node/reset", Trigger.Request())
    probe.instruct(tiny_config.instructions[0])
    yield probe
    probe.close()


def expect_chunk(probe, stamp: int) -> None:
    probe.publish(probe.observation(stamp))
    probe.until(lambda: stamp in probe.chunk_stamps(), f"the chunk for stamp {stamp}")


def spoil(name: str, **changes):
    """Return a function that makes one message of an observation bad."""
    def change(messages: dict) -> None:
        for field, value in changes.items():
            setattr(messages[name], field, value)
    return change


def drop(name: str):
    return lambda messages: messages.pop(name)


def joints(change):
    def apply(messages: dict) -> None:
        change(messages["joints"])
    return apply


def _nan(msg):
    msg.position[3] = math.nan


def _without_last(msg):
    msg.name, msg.position = msg.name[:-1], msg.position[:-1]


def _duplicate(msg):
    msg.name = [*msg.name[:-1], msg.name[0]]


def _unstamped(messages):
    messages["joints"].header.stamp.sec = 0


BAD = {
    "wrong encoding": (spoil("side", encoding="rgb7"), "'rgb7'"),
    "truncated buffer": (spoil("side", data=b"123"), "3 bytes"),
    "wrong step": (spoil("front", step=7), "step is 7"),
    "zero size": (spoil("front", height=0), "at least 1"),
    "NaN joint": (joints(_nan), "is nan"),
    "missing joint": (joints(_without_last), None),
    "joint named twice": (joints(_duplicate), "twice"),
    "unstamped joints": (_unstamped, "stamp"),
    "missing camera": (drop("front"), None),
    "missing joint state": (drop("joints"), None),
}


@pytest.mark.parametrize("case", BAD)
def test_no_chunk_from_bad_input_and_the_node_lives(node, probe, case):
    change, words = BAD[case]
    expect_chunk(probe, 10)
    messages = probe.observation(11)
    change(messages)
    probe.publish(messages)
    if words:
        probe.until(lambda: any(words in s.message for s in probe.diagnostics), words)
    # The next good observation is answered; had there been a chunk for the bad one, it would
    # have come before: chunks are published in order by one thread.
    expect_chunk(probe, 12)
    assert 11 not in probe.chunk_stamps()
    assert node.poll() is None


def test_bad_pose_gives_no_chunk(probe):
    messages = probe.observation(20)
    messages["pose"].pose.position.z = math.inf
    probe.publish(messages)
    probe.until(lambda: any("'ee_z' is inf" in s.message for s in probe.diagnostics), "the reason")
    expect_chunk(probe, 21)
    assert 20 not in probe.chunk_stamps()


def test_chunk_message_has_the_documented_form(probe, tiny_config):
    expect_chunk(probe, 30)
    msg = probe.chunks[-1]
    assert msg.joint_names == list(tiny_config.action.channels)
    assert msg.header.frame_id == tiny_config.instructions[0]
    times = [p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in msg.points]
    assert times == pytest.approx([0.0125 * (i + 1) for i in range(16)])
    assert all(abs(v) <= 1.0 for p in msg.points for v in p.positions)


def test_unknown_instruction_stops_chunks_and_is_explained(probe, tiny_config):
    expect_chunk(probe, 40)
    probe.instruct("press the read button")
    probe.until(lambda: any("Did you mean 'press the red button'" in s.message
                            for s in probe.diagnostics), "the suggestion")
    probe.publish(probe.observation(41))
    probe.instruct(tiny_config.instructions[1])
    probe.until(lambda: 41 in probe.chunk_stamps(), "the chunk for the corrected instruction")
    answered = [c.header.frame_id for c, stamp in zip(probe.chunks, probe.chunk_stamps(),
                                                      strict=True) if stamp == 41]
    assert answered == [tiny_config.instructions[1]]


def test_a_new_instruction_gives_a_new_chunk_for_the_same_observation(probe, tiny_config):
    expect_chunk(probe, 50)
    probe.instruct(tiny_config.instructions[2])
    probe.until(lambda: len(probe.chunks) == 2, "the second chunk")
    assert probe.chunk_stamps() == [50, 50]
    assert probe.chunks[1].header.frame_id == tiny_config.instructions[2]
    assert probe.chunks[0].points[0].positions != probe.chunks[1].points[0].positions


def test_a_moment_that_is_asked_for_again_is_answered_again(probe):
    """A simulation in lock-step repeats itself where no answer came, and to begin again."""
    for times in (1, 2, 3):
        probe.publish(probe.observation(10))
        probe.until(lambda times=times: probe.chunk_stamps().count(10) == times,
                    f"{times} chunk(s) for the same stamp")


def test_disabled_means_silent(probe):
    response = probe.call(SetBool, "/policy_node/enable", SetBool.Request(data=False))
    assert response.success
    probe.publish(probe.observation(60))
    probe.until(lambda: any(s.message == "disabled by the operator" for s in probe.diagnostics),
                "the state")
    assert probe.chunk_stamps() == []
    probe.call(SetBool, "/policy_node/enable", SetBool.Request(data=True))
    probe.until(lambda: 60 in probe.chunk_stamps(), "the chunk after enabling")


def test_the_commander_topic_says_when_the_policy_commands(probe):
    said = []
    probe.node.create_subscription(String, "/policy_node/commander",
                                   lambda msg: said.append(msg.data), LATCHED)
    probe.until(lambda: said, "the latched message")
    expect_chunk(probe, 70)
    probe.until(lambda: said[-1] == "policy", "the policy's word")
    probe.call(SetBool, "/policy_node/enable", SetBool.Request(data=False))
    probe.publish(probe.observation(71))  # time goes on, and the arm has come to rest
    probe.until(lambda: said[-1] == "", "the end of its commands")
    probe.call(SetBool, "/policy_node/enable", SetBool.Request(data=True))
    probe.until(lambda: 71 in probe.chunk_stamps(), "the chunk after enabling")


def test_diagnostics_carry_digest_and_latency(probe, tiny_checkpoint):
    from tinyvla_ros.core.files import checkpoint_digest
    expect_chunk(probe, 70)
    probe.until(lambda: any(s.message == "running" for s in probe.diagnostics), "diagnostics")
    status = next(s for s in probe.diagnostics if s.message == "running")
    values = {v.key: v.value for v in status.values}
    assert status.name == "policy_node: policy"
    assert status.hardware_id == values["checkpoint_digest"] == checkpoint_digest(tiny_checkpoint)
    assert float(values["inference_ms_p50"]) > 0


def test_a_policy_on_a_real_arm_starts_disabled(tiny_checkpoint):
    # In one namespace with the node of the other tests it may be refused before it ends.
    process = start(*node_command(NodeDescription(
        "policy_node", {"checkpoint": str(tiny_checkpoint)}, NodeSettings(namespace="real"))))
    output = Output(process)
    output.wait_for("~/enable")
    process.send_signal(signal.SIGTERM)
    assert output.wait_end() == 0


@pytest.mark.parametrize(("parameters", "words"), [
    ({"threads": 0}, "'threads' is 0"),
    ({"threads": "many"}, "'threads' is many"),
    ({"extra_latency": -1.0}, "'extra_latency' is -1.0"),
    ({"robot": "/nowhere"}, "/nowhere"),
    ({"device": "tpu9"}, "tpu9"),
    ({"checkpoint": "/nowhere"}, "/nowhere"),
])
def test_a_bad_parameter_is_one_sentence(parameters, words, tiny_checkpoint):
    process = start_node("policy_node", **{"checkpoint": str(tiny_checkpoint), **parameters})
    output = Output(process)
    assert output.wait_end() == 2
    errors = [line for line in output.lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in output.text
