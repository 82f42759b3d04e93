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

"""A replay pairs what two arms measure and feel as the policy node did."""

from __future__ import annotations

import pytest

from harness import bags
from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.two_arms import STATE, about, episode
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.replay import recorded_chunks
from tinyvla_ros.bags.topics import contract_of
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.policy.policy import Policy

CHUNKS = "/policy_node/chunk"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "checkpoint"
    action = {"channels": list(bags.CHANNELS), "units": ["cm", "m"], "low": [-1.0] * 2,
              "high": [1.0] * 2, "dt": 0.0125, "horizon": 16, "n_action_steps": 8}
    write_random_checkpoint(path, tiny_policy_config(
        cameras={name: {"height": 48, "width": 48} for name in bags.CAMERAS}, state=STATE,
        action=action, instructions=[bags.WORDS]))
    return path


def observations(messages, policy, path):
    with Bag(bags.write(path, messages, about())) as bag:
        return list(recorded_chunks(bag, policy.config, contract_of(bag, None)))


def with_chunks(messages, chunks):
    """Return the messages with the policy's own chunks in place of what moves the robot."""
    own = [m for m in messages if m.topic == "/action_chunk"]
    return [*messages, *(bags.trajectory(CHUNKS, bags.stamp_of(m), rows, 12_500_000, m.log_ns)
                         for m, rows in zip(own, chunks, strict=True))]


@pytest.mark.parametrize("turned", [(), ("left",), ("left", "right")])
def test_chunks_are_the_same_in_whatever_order_the_joints_came(checkpoint, tmp_path, capsys,
                                                               turned):
    policy, empty = Policy(checkpoint), [bags.chunk_rows(0)] * 11
    found = observations(with_chunks(episode(), empty), policy, tmp_path / "a")
    for i, (_, observation, _) in enumerate(found):
        assert observation.state["left_pan"] == i / 10
        assert observation.state["right_pan"] == i / 5
        assert observation.state["left_pan.effort"] == i
        assert (observation.state["hand_fx"], observation.state["tip_0"]) == (i, i + 0.5)
    made = [policy.infer(observation, past=past).actions for _, observation, past in found]
    bag = bags.write(tmp_path / "b", with_chunks(episode(turned), made), about())
    assert run_command(["bag", "replay", str(bag), "--checkpoint", str(checkpoint)]) == 0
    assert "11 of 11 chunks identical" in capsys.readouterr().out


def test_a_replay_says_which_stream_has_nothing(checkpoint, tmp_path, capsys):
    silent = [m for m in with_chunks(episode(), [bags.chunk_rows(0)] * 11)
              if m.topic != "/left/joint_states"]
    other = [m._replace(topic="/left/joint_states") for m in episode()
             if m.topic == "/right/joint_states"]
    for m in other:
        m.message.name = ["pan_2", "lift_2"]
    bag = bags.write(tmp_path / "bag", [*silent, *other], about())
    assert run_command(["bag", "replay", str(bag), "--checkpoint", str(checkpoint)]) == 1
    text = capsys.readouterr().out
    assert "joint_states/left (pan, lift, effort of pan;" in text
    assert "other messages have pan_2, lift_2)" in text
