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

"""Joints that turn without end, from a bag into a dataset: no value between pi and -pi."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import bags
from harness.bags import WALL_NS, WORDS
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError

TURN = 2 * math.pi
SPEED = 3.0  # rad/s: several wraps in an episode
TOPIC = "/arm/joint_trajectory"


def wrapped(values):
    return (np.asarray(values) + math.pi) % TURN - math.pi


def turning(begin: float = 2.0, wraps: bool = True) -> list[bags.Sent]:
    """Return the arm's messages; joint_1 turns, and its driver wraps or counts turns."""
    sent = []
    for message in bags.arm_messages(4.0):
        if message.topic.endswith("joint_states"):
            seconds = (bags.stamp_of(message) - WALL_NS) / 1e9
            where = begin + SPEED * seconds
            message = bags.joints(bags.stamp_of(message), {
                "joint_1": float(wrapped(where)) if wraps else where, "joint_2": -seconds},
                message.log_ns)
        sent.append(message)
    return sent


def contract(tmp_path, continuous: bool, output: dict | None = None):
    ends = {"continuous": True} if continuous else {"low": -4.0, "high": 4.0}
    return bags.arm_contract(
        tmp_path, output, joint_1={"unit": "rad", "state": "joint_1", "jump": 1.0, **ends},
        elbow={"unit": "rad", "low": -10.0, "high": 10.0, "state": "elbow", "jump": 1.0})


def export(tmp_path, sent, *options, continuous: bool = True, output: dict | None = None) -> int:
    bag = bags.write(tmp_path / "bag", sent, {})
    return bags.export(tmp_path / "data", bag, "--robot", contract(tmp_path, continuous, output),
                       "--instruction", WORDS, "--fps", 10, "--tolerance", 0.03, *options)


def stored(tmp_path):
    """Return states and actions of joint_1 as they lie in the dataset, and the time of frames."""
    from training.data.lerobot.reader import read_tables
    tables = read_tables(tmp_path / "data")
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    actions = tables.column("action")
    return (tables.column("observation.state")[:, 0], actions.reshape(-1, 2)[:, 0],
            (begin - WALL_NS) / 1e9)


@pytest.mark.parametrize(("begin", "wraps"), [(2.0, True), (2.0, False), (20.0, False)])
def test_states_and_their_actions_go_on_where_the_driver_wraps(tmp_path, begin, wraps):
    assert export(tmp_path, turning(begin, wraps), "--actions", "state", "--dt", 0.02) == 0
    states, actions, first = stored(tmp_path)
    ends = begin + SPEED * (first + 0.02 * (np.arange(len(actions)) + 1))
    turns = (actions - ends) / TURN
    assert turns == pytest.approx(np.full(len(turns), round(turns[0])), abs=1e-4)
    assert abs(states[0]) <= math.pi
    assert np.abs(actions.reshape(len(states), -1)[:, 0] - states).max() < 0.3
    features = read_json(tmp_path / "data/meta/info.json")["features"]
    assert features["observation.state"]["continuous"] == {"joint_1": TURN}
    assert features["action"]["continuous"] == {"joint_1": "joint_1"}


@pytest.mark.parametrize("velocities", [True, False])
def test_trajectories_that_wrap_go_on_too(tmp_path, velocities):
    """Within a message, from one message to the next, and near the measured joint."""
    sent = turning()
    for n in range(20):
        start = WALL_NS + n * 200_000_000
        rows = [[2.0 + SPEED * (n * 0.2 + 0.02 * (i + 1)), 0.0] for i in range(12)]
        command = bags.trajectory(TOPIC, start, wrapped(rows), 20_000_000, start + 1_000_000,
                                  names=("joint_1", "joint_2"))
        for point in command.message.points if velocities else ():
            point.velocities = np.array([SPEED, 0.0])
        sent.append(command)
    assert export(tmp_path, sent) == 0
    states, actions, first = stored(tmp_path)
    ends = 2.0 + SPEED * (first + 0.02 * (np.arange(len(actions)) + 1))
    assert np.abs(actions - ends).max() < 0.1
    assert np.abs(actions.reshape(len(states), -1)[:, 0] - states).max() < 0.3


def test_a_wrap_of_a_joint_that_is_not_continuous_is_refused_by_name(tmp_path, capsys):
    with pytest.raises(InputError):
        export(tmp_path, turning(), "--actions", "state", continuous=False)
    text = capsys.readouterr().out
    assert not (tmp_path / "data").exists()
    assert all(word in text for word in ("'joint_1'", "continuous: true"))


def test_a_commanded_wrap_of_a_joint_that_is_not_continuous_is_refused_by_name(tmp_path, capsys):
    sent = bags.arm_messages()
    start = WALL_NS + 10_000_000
    rows = [[float(wrapped(3.1 + 0.01 * i)), 0.0] for i in range(200)]
    sent.append(bags.trajectory(TOPIC, start, rows, 20_000_000, start + 1_000_000,
                                names=("joint_1", "joint_2")))
    with pytest.raises(InputError):
        export(tmp_path, sent, continuous=False)
    text = capsys.readouterr().out
    assert all(word in text for word in ("'joint_1'", TOPIC, "continuous: true"))
