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

"""Forces, vectors, efforts and two arms in a dataset: as live, or the bag is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from harness import bags
from harness.bags import SIM_NS, WALL_NS, Sent
from harness.two_arms import CONTRACT, STATE, about, episode
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import contract_streams
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.topics import ArrivalTimes, find_streams
from tinyvla_ros.core.configuration import parse
from training.data.lerobot.reader import read_tables

MS = 1_000_000


def spoiled(topic: str, change, at: int = 5) -> list[Sent]:
    sent = episode()
    change([s for s in sent if s.topic == topic][at].message)
    return sent


def test_all_of_it_is_exported_and_named(tmp_path, capsys):
    assert bags.export(tmp_path / "data", bags.write(tmp_path / "bag", episode(), about())) == 0
    names = read_tables(tmp_path / "data").info["features"]["observation.state"]["names"]
    assert sorted(names) == sorted(STATE)
    assert f"state: {', '.join(names)}" in capsys.readouterr().out
    states = bags.load(tmp_path / "data", state=tuple(STATE)).states
    i = np.arange(len(states))[:, None]
    expected = np.concatenate([i / 10, -i / 10, i, i / 5, -i / 5, i, 0 * i, 0 * i + 1, 0 * i,
                               0 * i + 2, 0 * i, i + 0.5, 0 * i - 1], 1)
    assert np.allclose(states, expected, atol=1e-6)


@pytest.mark.parametrize("turned", [("left",), ("right",), ("left", "right")])
def test_left_and_right_do_not_depend_on_the_order_of_joints(tmp_path, turned):
    for name, order in (("a", ()), ("b", turned)):
        bag = bags.write(tmp_path / f"bag_{name}", episode(order), about())
        assert bags.export(tmp_path / name, bag, "--states", *STATE) == 0
    a, b = (bags.load(tmp_path / n, state=tuple(STATE)).states for n in "ab")
    assert np.array_equal(a, b)


def test_some_of_it_can_be_asked_for_and_the_rest_may_be_wrong(tmp_path):
    sent = spoiled("/wrench", lambda m: setattr(m.wrench.force, "x", math.nan))
    bag = bags.write(tmp_path / "bag", sent, about())
    assert bags.export(tmp_path / "data", bag, "--states", "hand_ty", "right_pan") == 0
    states = bags.load(tmp_path / "data", state=("right_pan", "hand_ty")).states
    assert np.allclose(states[:, 1], 2.0) and np.allclose(states[3], [0.6, 2.0])


@pytest.mark.parametrize(("topic", "change", "words"), [
    ("/wrench", lambda m: setattr(m.wrench.torque, "z", math.inf), (
        "/wrench", "'hand_tz' is inf")),
    ("/tactile", lambda m: setattr(m, "data", np.array([1.0])), ("/tactile", "1 numbers")),
    ("/tactile", lambda m: setattr(m, "data", np.array([1.0, math.nan])), ("'tip_1' is nan",)),
    ("/left/joint_states", lambda m: setattr(m, "effort", np.array([1.0])), (
        "/left/joint_states", "2 names and 1 efforts")),
    ("/left/joint_states", lambda m: setattr(m, "effort", np.array([math.nan, 1.0])), (
        "effort of pan", "/left/joint_states", "is nan")),
])
def test_what_is_wrong_refuses_the_bag(tmp_path, capsys, topic, change, words):
    bag = bags.write(tmp_path / "bag", spoiled(topic, change), about())
    text = bags.refusal(bag, tmp_path, capsys)
    for word in words:
        assert word in text, text


def test_two_publishers_of_a_wrench_refuse_the_bag(tmp_path, capsys):
    bag = bags.write(tmp_path / "bag", episode(), about(), publishers={"/wrench": 2})
    assert "2 publishers sent to /wrench" in bags.refusal(bag, tmp_path, capsys)


def test_an_effort_that_leaps_is_no_joint_that_wraps(tmp_path):
    def leap(msg):
        msg.effort = msg.effort + 2 * math.pi
    bag = bags.write(tmp_path / "bag", spoiled("/left/joint_states", leap), about())
    assert bags.export(tmp_path / "data", bag) == 0


def test_a_vector_counts_from_its_arrival(tmp_path):
    """By the recorded clock, as a node on simulated time would have it; else by receive time."""
    contract = parse(RobotContract, CONTRACT, "two arms")
    for name, sent, expected in (
            ("clock", episode(), [SIM_NS + i * 50 * MS for i in range(12)]),
            ("none", [s for s in episode() if s.topic != "/clock"],
             [WALL_NS + i * 200 * MS + 2 * MS for i in range(12)])):
        with Bag(bags.write(tmp_path / name, sent, about())) as bag:
            found = find_streams(bag, contract_streams(contract, [], ["tip_0"]))
            arrivals, stamps = ArrivalTimes(bag, (s for _, s in found)), []
            for message in bag.messages(["/tactile", *arrivals.topics]):
                arrivals.add(message, bag.decode(message))
                if message.topic.name == "/tactile":
                    stamps.append(arrivals.stamp(message))
        assert stamps == expected


def test_the_topic_of_one_arm_does_not_stand_for_another(tmp_path, capsys):
    """Without its own topic, joint_states would be found in the namespace left."""
    arms = {"left": CONTRACT["joint_states"]["left"], "base": {"topic": "joint_states"}}
    contract = yaml.safe_dump(CONTRACT | {"joint_states": arms})
    sent = [s for s in episode() if s.topic != "/right/joint_states"]
    bag = bags.write(tmp_path / "bag", sent, bags.custom(robot_contract=contract))
    text = bags.refusal(bag, tmp_path, capsys)
    for part in ("/left/joint_states would be read as", "joint_states/left", "joint_states/base"):
        assert part in text
