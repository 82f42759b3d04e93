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

"""``tinyvla bag replay`` and the commands beside it on topics that are not what they seem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import bags
from harness.bags import WALL_NS, Sent
from harness.compiled import compiled_copy
from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.ros_messages import make, serialize
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.replay import recorded_chunks
from tinyvla_ros.bags.topics import contract_of
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.policy.policy import Policy

CHUNKS = "/policy_node/chunk"
BOOL = "std_msgs/msg/Bool"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "checkpoint"
    cameras = {name: {"height": 48, "width": 48} for name in bags.CAMERAS}
    action = {"channels": list(bags.CHANNELS), "units": ["cm", "m"], "low": [-1.0] * 2,
              "high": [1.0] * 2, "dt": 0.0125, "horizon": 16, "n_action_steps": 8}
    write_random_checkpoint(path, tiny_policy_config(
        cameras=cameras, state=["joint_1", "elbow", "ee_x"], action=action,
        instructions=[bags.WORDS]))
    return path


@pytest.fixture(scope="module")
def sent(checkpoint, tmp_path_factory) -> list[Sent]:
    """An episode with the chunks that the policy really makes of it."""
    messages = [*bags.lockstep(4)]
    messages += [m._replace(topic=CHUNKS) for m in messages if m.topic == "/action_chunk"]
    bag = bags.write(tmp_path_factory.mktemp("bag") / "bag", messages)
    policy = Policy(checkpoint)
    with Bag(bag) as opened:
        chunks = [policy.infer(observation, past=past).actions for _, observation, past in
                  recorded_chunks(opened, policy.config, contract_of(opened, None))]
    made = iter(chunks)
    return [bags.trajectory(CHUNKS, bags.stamp_of(m), next(made), 12_500_000, m.log_ns)
            if m.topic == CHUNKS else m for m in messages]


def replay(checkpoint: Path, *paths: Path) -> int:
    return run_command(["bag", "replay", *map(str, paths), "--checkpoint", str(checkpoint)])


def test_every_chunk_is_the_same_again(checkpoint, sent, tmp_path, capsys):
    assert replay(checkpoint, bags.write(tmp_path / "bag", sent)) == 0
    assert "3 of 3 chunks identical" in capsys.readouterr().out


@pytest.mark.parametrize("late", ["/camera/wrist/image_raw", "/joint_states"])
def test_a_chunk_recorded_before_its_observation_is_compared(checkpoint, sent, tmp_path, capsys,
                                                             late):
    """A policy is fast: its chunk reaches the recorder before a large image does."""
    after = {bags.stamp_of(m): m.log_ns for m in sent if m.topic == CHUNKS}
    moved = [m._replace(log_ns=after[bags.stamp_of(m)] + 3_000_000)
             if m.topic == late and bags.stamp_of(m) in after else m for m in sent]
    assert replay(checkpoint, bags.write(tmp_path / "bag", moved)) == 0
    assert "3 of 3 chunks identical" in capsys.readouterr().out


def test_replay_takes_the_recorded_backend_and_steps_where_it_can(checkpoint, sent, tmp_path,
                                                                  capsys):
    compiled = compiled_copy(checkpoint, tmp_path, 3)
    bag = bags.write(tmp_path / "bag", sent, bags.custom() | {
        "backend": "onnxruntime 1.0.0", "sample_steps": "3"})
    for backend, place in (("onnxruntime", compiled), ("torch", checkpoint)):
        assert replay(place, bag) == 1  # recorded with other steps
        output = capsys.readouterr().out
        assert f"of 3 chunks identical on {backend} " in output
        assert "recorded on onnxruntime 1.0.0" in output
    before = bags.write(tmp_path / "before", sent)  # release 0.1.0 had torch only
    assert replay(compiled, before) == 0
    assert "3 of 3 chunks identical on torch " in capsys.readouterr().out


@pytest.mark.parametrize("topic", ["/joint_states", "/ee_pose", "/camera/front/image_raw", CHUNKS])
def test_a_topic_of_another_type_is_one_sentence_and_the_other_bags_go_on(
        checkpoint, sent, tmp_path, capsys, topic):
    folder = tmp_path / "bags"
    bags.write(folder / "a", [*(s for s in sent if s.topic != topic),
                              Sent(topic, BOOL, WALL_NS, make(BOOL, data=True))])
    bags.write(folder / "b", sent)
    assert replay(checkpoint, folder) == 2
    output = capsys.readouterr().out
    assert f"{topic} has messages of type {BOOL}" in output
    assert "3 of 3 chunks identical" in output
    assert run_command(["bag", "info", str(folder)]) == 0
    assert run_command(["bag", "report", str(folder), "--out", str(tmp_path / "page.html")]) == 0


@pytest.mark.parametrize("topic, change, why", [
    ("/camera/front/image_raw", lambda m: setattr(m, "encoding", "16UC1"), "depth"),
    ("/joint_states", lambda m: setattr(m, "position", np.array([], np.float64)),
     "joint_states")])
def test_it_is_said_why_observations_are_missing(checkpoint, sent, tmp_path, capsys, topic, change,
                                                 why):
    from harness.ros_messages import STORE

    changed = []
    for message in sent:
        if message.topic == topic:
            copy = STORE.deserialize_cdr(serialize(message.message), message.type)
            change(copy)
            message = message._replace(message=copy)
        changed.append(message)
    assert replay(checkpoint, bags.write(tmp_path / "bag", changed)) == 1
    output = capsys.readouterr().out
    assert "3 lack an observation" in output
    assert why in output
