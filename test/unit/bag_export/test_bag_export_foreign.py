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

"""Bags of others: topics of another type, joints that nobody needs, files beside the storage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from harness import bags, ros_messages
from harness.bags import WALL_NS, Sent
from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.ros_messages import STORE, make, serialize
from tinyvla_ros.bags.recover import recover
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError
from training.data.lerobot.reader import read_tables

BOOL = "std_msgs/msg/Bool"


def _of_another_type(topic: str, sent: list[Sent]) -> list[Sent]:
    """Replace the messages of a topic by one of another type."""
    other = Sent(topic, BOOL, WALL_NS + 10**7, make(BOOL, data=True))
    return [*(s for s in sent if s.topic != topic), other]


@pytest.mark.parametrize("topic", ["/joint_states", "/ee_pose", "/instruction", "/action_chunk",
                                   "/clock", "/camera/front/image_raw"])
def test_a_topic_of_another_type_refuses_its_bag_and_the_others_go_on(tmp_path, capsys, topic):
    folder = tmp_path / "bags"
    bags.write(folder / "a", _of_another_type(topic, bags.lockstep(12)))
    bags.write(folder / "b", bags.lockstep(12))
    assert bags.export(tmp_path / "data", folder) == 1
    output = capsys.readouterr().out
    assert f"{topic} has messages of type {BOOL}" in output
    assert "1 episodes" in output


@pytest.mark.parametrize("output, topic", [
    ({"type": "joint_trajectory", "topic": "/arm/commands",
      "channels": {"joint_1": {}, "elbow": {"to": "joint_2"}}}, "/arm/commands"),
    ({"type": "positions", "topic": "/arm/commands", "channels": ["joint_1", "elbow"]},
     "/arm/commands")])
def test_commands_of_another_type_are_refused(tmp_path, capsys, output, topic):
    contract = bags.arm_contract(tmp_path, output)
    bag = bags.write(tmp_path / "bag", _of_another_type(topic, bags.arm_messages()))
    text = bags.refusal(bag, tmp_path, capsys, "--robot", contract, "--fps", 10)
    assert f"{topic} has messages of type {BOOL}" in text


def _with_joint(sent: list[Sent], value) -> list[Sent]:
    """Add a third joint, or a spoiled second one, to every joint state."""
    for i, message in enumerate(s for s in sent if s.topic == "/joint_states"):
        name, position = value(i)
        msg = message.message
        if name in msg.name:
            msg.position[msg.name.index(name)] = position
        else:
            msg.name.append(name)
            msg.position = np.append(msg.position, position)
    return sent


def _state_names(root) -> list[str]:
    return read_tables(root).info["features"]["observation.state"]["names"]


def test_a_joint_that_the_robot_does_not_use_may_be_nan(tmp_path, capsys):
    sent = _with_joint(bags.lockstep(12), lambda i: ("finger", math.nan if i % 3 else 0.1))
    assert bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent)) == 0
    assert _state_names(tmp_path / "data") == list(bags.STATE)
    assert "without state 'finger'" in capsys.readouterr().out
    assert np.isfinite(bags.load(tmp_path / "data").states).all()


def test_a_joint_of_the_contract_must_be_finite(tmp_path, capsys):
    sent = _with_joint(bags.lockstep(12), lambda i: ("joint_2", math.nan if i == 7 else 0.1))
    text = bags.refusal(bags.write(tmp_path / "bag", sent), tmp_path, capsys)
    assert "'joint_2' of /joint_states is nan or named twice" in text
    assert "not finite in 1 of 12 messages" in text
    assert "--states" in text


def test_a_joint_named_twice_is_refused_or_left_out(tmp_path, capsys):
    """Which of the two values is meant is not known."""
    sent = bags.lockstep(12)
    for message in sent:
        if message.topic == "/joint_states":
            message.message.name = [*message.message.name, "joint_2", "finger", "finger"]
            message.message.position = np.append(message.message.position, [9.0, 0.1, 0.2])
    bag = bags.write(tmp_path / "bag", sent)
    text = bags.refusal(bag, tmp_path, capsys)
    assert "'joint_2' of /joint_states is nan or named twice" in text
    assert bags.export(tmp_path / "data", bag, "--states", "joint_1", "ee_x") == 0
    capsys.readouterr()
    assert "'finger'" in bags.refusal(bag, tmp_path, capsys, "--states", "joint_1", "finger")


def test_a_joint_of_the_contract_that_never_came_is_noted(tmp_path, capsys):
    sent = bags.lockstep(12)
    for message in sent:
        if message.topic == "/joint_states":
            message.message.name = ["joint_1", "other"]
    assert bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent)) == 0
    assert "without state 'elbow'" in capsys.readouterr().out


def test_values_beyond_float32_are_refused(tmp_path, capsys):
    """They would be stored as infinite."""
    sent = _with_joint(bags.lockstep(12), lambda i: ("joint_2", 1e300))
    assert "is 1e+300" in bags.refusal(bags.write(tmp_path / "bag", sent), tmp_path, capsys)


@pytest.mark.parametrize("contract", ["a: [", "!!python/object/apply:os.system ['true']", "3"])
def test_a_recorded_contract_that_cannot_be_read_does_not_stop_the_others(tmp_path, capsys,
                                                                          contract):
    folder = tmp_path / "bags"
    bags.write(folder / "a", bags.lockstep(12), bags.custom(robot_contract=contract))
    bags.write(folder / "b", bags.lockstep(12))
    assert bags.export(tmp_path / "data", folder) == 1
    assert "robot_contract" in capsys.readouterr().out
    assert run_command(["bag", "report", str(folder), "--out", str(tmp_path / "r.html")]) == 0


def test_only_the_states_that_are_asked_for_must_be_there(tmp_path):
    """Elsewhere the contract's own joint is bad, and another one comes now and then."""
    sent = _with_joint(bags.lockstep(12), lambda i: ("joint_2", math.inf))
    sent += [bags.joints(bags.stamp_of(s) + 1, {"gripper": 0.2, "joint_2": 0.0}, s.log_ns)
             for s in sent if s.topic == "/joint_states"][::5]
    bag = bags.write(tmp_path / "bag", sent)
    assert bags.export(tmp_path / "data", bag, "--states", "ee_z", "joint_1") == 0
    assert _state_names(tmp_path / "data") == ["ee_z", "joint_1"]
    data = bags.load(tmp_path / "data", state=("joint_1", "ee_z"))
    assert np.allclose(data.states[:, 1], 0.3 * data.states[:, 0], atol=1e-5)


def test_a_joint_that_comes_now_and_then_does_not_matter_to_the_states_asked_for(tmp_path, capsys):
    sent = bags.lockstep(12)
    for message in [s for s in sent if s.topic == "/joint_states"][::3]:
        _with_joint([message], lambda i: ("finger", 0.5))
    bag = bags.write(tmp_path / "bag", sent)
    assert "--states" in bags.refusal(bag, tmp_path, capsys)
    assert bags.export(tmp_path / "data", bag, "--states", *bags.STATE) == 0
    assert len(bags.load(tmp_path / "data").states) == 11


def test_unknown_states_are_answered_with_the_known_ones(tmp_path, capsys):
    bag = bags.write(tmp_path / "bag", bags.lockstep(12))
    text = bags.refusal(bag, tmp_path, capsys, "--states", "joint_1", "elbw")
    assert "'elbw'" in text
    assert "'elbow'" in text


def test_joint_states_without_positions_are_passed_over(tmp_path):
    """Some drivers send efforts or velocities of a gripper alone; sensor_msgs allows it."""
    none = np.array([], np.float64)
    sent = bags.lockstep(12)
    for message in [s for s in sent if s.topic == "/joint_states"]:
        msg = make("sensor_msgs/msg/JointState", header=ros_messages.header(
            bags.stamp_of(message) + 500), name=["finger"], position=none, velocity=none,
            effort=np.array([2.0]))
        sent.append(message._replace(message=msg, log_ns=message.log_ns + 1000))
    assert bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent)) == 0
    assert _state_names(tmp_path / "data") == list(bags.STATE)


def test_no_position_at_all_is_one_sentence(tmp_path, capsys):
    sent = bags.lockstep(12)
    for message in sent:
        if message.topic == "/joint_states":
            message.message.position = np.array([], np.float64)
    text = bags.refusal(bags.write(tmp_path / "bag", sent), tmp_path, capsys)
    assert "none of the" in text
    assert "/joint_states has a position" in text


def test_bags_with_different_states_can_be_put_together(tmp_path, capsys):
    folder = tmp_path / "bags"
    bags.write(folder / "a", bags.lockstep(12))
    bags.write(folder / "b", _with_joint(bags.lockstep(12), lambda i: ("finger", 0.5)))
    assert bags.export(tmp_path / "data", folder) == 1
    assert "--states" in capsys.readouterr().out
    assert bags.export(tmp_path / "both", folder, "--states", *bags.STATE) == 0
    assert len(bags.load(tmp_path / "both").starts) == 2


def test_a_policy_that_needs_a_state_is_named_with_config(tmp_path, capsys):
    policy = tmp_path / "policy"
    cameras = {name: {"height": 48, "width": 48} for name in bags.CAMERAS}
    write_random_checkpoint(policy, tiny_policy_config(cameras=cameras,
                                                       state=["joint_1", "wrist"]))
    bag = bags.write(tmp_path / "bag", bags.lockstep(12))
    with pytest.raises(InputError, match="No bag was exported"):
        run_command(["bag", "export", str(bag), "--out", str(tmp_path / "data"), "--config",
                     str(policy), "--workers", "1"])
    assert "'wrist'" in capsys.readouterr().out


def _compressed(path, sent, mode: CompressionMode) -> None:
    writer, connections = Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3), {}
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        for topic, kind, log_ns, message in sorted(sent, key=lambda s: s.log_ns):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, serialize(message))


@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_an_exported_bag_is_not_called_no_bag(tmp_path, capsys, mode):
    _compressed(tmp_path / "bag", bags.lockstep(12), mode)
    (tmp_path / "bag" / "notes.txt").write_text("mine")
    robot = tmp_path / "robot.yaml"
    robot.write_text(json.dumps(bags.CONTRACT))
    assert bags.export(tmp_path / "data", tmp_path / "bag", "--robot", robot,
                       "--instruction", bags.WORDS) == 0
    assert "no bag" not in capsys.readouterr().out


def test_a_bag_may_be_called_like_a_part(tmp_path):
    bags.write(tmp_path / "bags" / "run.part2", bags.lockstep(12))
    assert bags.export(tmp_path / "data", tmp_path / "bags") == 0


def test_of_a_recovered_episode_it_is_said_how_to_take_it(tmp_path, capsys):
    about = bags.custom()
    del about["outcome"]
    bag = bags.write(tmp_path / "bag", bags.lockstep(12), about)
    (bag / "metadata.yaml").unlink()
    recover(bag, tmp_path / "saved" / "bag")
    with pytest.raises(InputError, match="No bag was exported"):
        bags.export(tmp_path / "data", tmp_path / "saved")
    line = capsys.readouterr().out
    assert "its outcome is interrupted" in line
    assert "--outcome all" in line
    assert bags.export(tmp_path / "data", tmp_path / "saved", "--outcome", "all") == 0


def _joint_states(make_states) -> list[Sent]:
    return [s for sent in bags.arm_messages() for s in
            (make_states(sent) if sent.topic == "/joint_states" else [sent])]


def test_two_publishers_of_the_same_joints_are_refused(tmp_path, capsys):
    """joint_state_publisher's zeros between the arm's own values, with the same stamps."""
    sent = _joint_states(lambda s: [s, bags.joints(bags.stamp_of(s), {"joint_1": 0, "joint_2": 0},
                                                   s.log_ns + 100)])
    bag = bags.write(tmp_path / "bag", sent, {}, publishers={"/joint_states": 2})
    text = bags.refusal(bag, tmp_path, capsys, "--robot", bags.arm_contract(tmp_path),
                        "--actions", "state", "--fps", 10, "--instruction", "go")
    assert "2 publishers" in text and "/joint_states" in text


def test_arm_and_gripper_may_have_a_publisher_each(tmp_path):
    def apart(sent):
        values = dict(zip(sent.message.name, sent.message.position, strict=True))
        stamp = bags.stamp_of(sent)
        return [bags.joints(stamp, {"joint_1": values["joint_1"]}, sent.log_ns),
                bags.joints(stamp + 3_000_000, {"joint_2": values["joint_2"]}, sent.log_ns + 10)]

    bag = bags.write(tmp_path / "bag", _joint_states(apart), {}, publishers={"/joint_states": 2})
    assert bags.export(tmp_path / "data", bag, "--robot", bags.arm_contract(tmp_path),
                       "--actions", "state", "--fps", 10, "--instruction", "go") == 0
    data = bags.load(tmp_path / "data", 0.1, ("joint_1", "elbow"), ("joint_1", "elbow"))
    np.testing.assert_allclose(data.states[:, 0], np.arange(len(data.states)) / 10, atol=0.011)
    np.testing.assert_allclose(data.states[:, 1], -data.states[:, 0], atol=0.011)


def _two_arms(tmp_path) -> tuple:
    """Return a bag of two robots in namespaces, the right one with other joints and commands."""
    sent = []
    for message in bags.lockstep(12):
        if message.topic == "/clock":
            sent.append(message)
            continue
        sent.append(message._replace(topic=f"/left{message.topic}"))
        if message.topic == "/joint_states":
            message = message._replace(message=ros_messages.joint_state(
                bags.stamp_of(message), {"joint_1": -5.0, "joint_2": -5.0}))
        sent.append(message._replace(topic=f"/right{message.topic}"))
    about = bags.custom(**{"lost /right/action_chunk": "3"})
    return bags.write(tmp_path / "bag", sent, about), sent


def test_of_two_robots_in_a_bag_the_one_in_the_namespace_is_exported(tmp_path, capsys):
    bag, _ = _two_arms(tmp_path)
    text = bags.refusal(bag, tmp_path, capsys)
    assert "--namespace /left or /right" in text
    assert bags.export(tmp_path / "left", bag, "--namespace", "left") == 0
    assert bags.load(tmp_path / "left").states[3, 0] == 3.0
    capsys.readouterr()
    assert "3 messages of /right/action_chunk" in bags.refusal(bag, tmp_path, capsys,
                                                               "--namespace", "/right")


@pytest.mark.parametrize("missing", ["/left/joint_states", "/left/action_chunk"])
def test_one_robots_commands_never_meet_another_robots_joints(tmp_path, capsys, missing):
    """Each name was looked for alone: the left cameras got the right arm's joints."""
    _, sent = _two_arms(tmp_path)
    sent = [s for s in sent if s.topic != missing and not s.topic.startswith("/right/camera")]
    bag = bags.write(tmp_path / "mixed", sent)
    text = bags.refusal(bag, tmp_path, capsys)
    assert missing.rpartition("/")[2] in text
