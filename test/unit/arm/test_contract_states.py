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

"""Where the states of a contract come from: one source each, whatever the order of anything."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace

import pytest

from harness.policies import tiny_policy_config
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.contract_streams import contract_streams, policy_streams
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, MessageError

LEFT = {"topic": "left/joint_states", "prefix": "left_"}
RIGHT = {"topic": "right/joint_states", "prefix": "right_"}
WRENCH = {"wrist": {"topic": "wrench"}}
VECTOR = {"tip": {"topic": "tactile", "names": ["tip_0", "tip_1"]}}


def contract(**changes) -> RobotContract:
    limits = {"unit": "rad", "low": -1.0, "high": 1.0}
    return parse(RobotContract, {
        "name": "arm", "cameras": {"front": {"topic": "image"}}, "actions": {"a": limits},
        "outputs": [{"type": "positions", "topic": "commands", "channels": ["a"]}], **changes},
        "robot.yaml")


def config(*state: str):
    action = {"channels": ["a"], "units": ["rad"], "low": [-1.0], "high": [1.0], "dt": 0.05,
              "horizon": 32, "n_action_steps": 4}
    return tiny_policy_config(cameras={"front": {"height": 48, "width": 48}}, state=list(state),
                              action=action)


def find(robot: RobotContract, state: str) -> tuple[str, str, str] | None:
    source = robot.sources.find(state)
    return source and (source.stream, source.field, source.part)


def test_a_contract_of_the_release_before_reads_as_it_did():
    robot = contract(joint_states={"names": {"hand": "knuckle"}}, ee_pose={})
    assert find(robot, "hand") == ("joint_states", "position", "knuckle")
    assert find(robot, "elbow") == ("joint_states", "position", "elbow")
    assert find(robot, "elbow.velocity") == ("joint_states", "position", "elbow.velocity"), \
        "a joint that is really called so"
    assert find(robot, "ee_y") == ("ee_pose", "", "ee_y")
    assert find(contract(joint_states={}), "ee_y") is None


def test_velocities_and_efforts_are_those_of_the_joint_behind_the_state():
    robot = contract(joint_states={
        "left": LEFT | {"velocities": ["left_a", "hand"], "names": {"hand": "knuckle"}},
        "right": RIGHT | {"efforts": ["right_a"]}})
    assert find(robot, "left_a.velocity") == ("joint_states/left", "velocity", "a")
    assert find(robot, "hand.velocity") == ("joint_states/left", "velocity", "knuckle")
    assert find(robot, "right_a.effort") == ("joint_states/right", "effort", "a")
    assert find(robot, "left_a.effort") == ("joint_states/left", "position", "a.effort")


def test_a_joint_whose_name_is_that_of_a_velocity_can_be_renamed():
    robot = contract(joint_states={"velocities": ["wheel"], "names": {"odd": "wheel.velocity"}})
    assert find(robot, "wheel.velocity") == ("joint_states", "velocity", "wheel")
    assert find(robot, "odd") == ("joint_states", "position", "wheel.velocity")
    assert robot.sources.of_joint("joint_states", "wheel.velocity") == "odd"


@pytest.mark.parametrize("order", list(itertools.permutations(["left", "right", "base"])))
def test_sides_are_told_apart_in_whatever_order(order):
    topics = {"left": LEFT, "right": RIGHT, "base": {"topic": "joint_states"}}
    robot = contract(joint_states={name: topics[name] for name in order})
    assert find(robot, "left_a") == ("joint_states/left", "position", "a")
    assert find(robot, "right_a") == ("joint_states/right", "position", "a")
    assert find(robot, "wheel") == ("joint_states/base", "position", "wheel")
    of_joint = robot.sources.of_joint
    assert of_joint("joint_states/left", "a") == "left_a"
    assert of_joint("joint_states/right", "a") == "right_a"
    assert of_joint("joint_states/base", "left_a") is None, "that is the left arm's"


def test_topics_with_names_alone_have_no_other_states():
    robot = contract(joint_states={"left": {"topic": "l", "names": {"pan_l": "pan"}},
                                   "right": {"topic": "r", "names": {"pan_r": "pan"}}})
    assert find(robot, "pan_l") == ("joint_states/left", "position", "pan")
    assert find(robot, "pan_r") == ("joint_states/right", "position", "pan")
    assert find(robot, "pan") is None
    assert robot.sources.of_joint("joint_states/left", "lift") is None


MISTAKES = [
    ({"joint_states": {"left": LEFT, "right": RIGHT | {"topic": "left/joint_states"}}},
     ("joint_states.left", "joint_states.right", "left/joint_states")),
    ({"joint_states": {"left": LEFT, "right": LEFT | {"topic": "r"}}},
     ("joint_states.left and joint_states.right", "'left_'")),
    ({"joint_states": {"left": {"topic": "l"}, "right": {"topic": "r"}}},
     ("neither prefix nor names",)),
    ({"joint_states": {"l": {"topic": "l", "names": {"a": "x"}},
                       "r": {"topic": "r", "names": {"a": "x"}}}},
     ("'a'", "joint_states/l", "joint_states/r")),
    ({"joint_states": {"left": LEFT | {"velocities": ["a"]}, "right": RIGHT}},
     ("joint_states.left.velocities", "'a'", "'a.velocity'")),
    ({"joint_states": {"left": LEFT | {"efforts": ["right_a"]}, "right": RIGHT}},
     ("joint_states.left.efforts", "'right_a'")),
    ({"joint_states": {"left": LEFT | {"prefx": "l_"}, "right": RIGHT}},
     ("joint_states.left", "'prefx'", "Did you mean 'prefix'?")),
    ({"joint_states": {"left": LEFT | {"topic": "a b"}, "right": RIGHT}},
     ("'joint_states.left.topic'", "'a b'")),
    ({"wrenches": {"wrist": {}}}, ("'wrenches.wrist.topic'", "missing")),
    ({"wrenches": WRENCH, "vectors": {"tip": {"topic": "t", "names": ["wrist_fz"]}}},
     ("'wrist_fz'", "wrench/wrist", "vector/tip")),
    ({"vectors": {"tip": {"topic": "t", "names": []}}}, ("'vectors.tip.names'", "at least 1")),
    ({"joint_states": {"efforts": ["a"]},
      "actions": {"a": {"unit": "rad", "low": -1, "high": 1, "jump": 1, "state": "a.effort"}}},
     ("actions.a.state", "'a.effort'", "no position")),
    ({"wrenches": WRENCH,
      "actions": {"a": {"unit": "N", "low": -1, "high": 1, "jump": 1, "state": "wrist_fz"}}},
     ("actions.a.state", "'wrist_fz'")),
]


@pytest.mark.parametrize(("changes", "words"), MISTAKES, ids=lambda value: str(value)[:50])
def test_what_could_be_confused_is_one_sentence(changes, words):
    with pytest.raises(InputError) as err:
        contract(**copy.deepcopy(changes))
    for word in words:
        assert word in str(err.value), str(err.value)


def test_a_contract_can_be_written_and_read_again():
    robot = contract(joint_states={"left": LEFT, "right": RIGHT}, wrenches=WRENCH, vectors=VECTOR)
    assert RobotContract.model_validate(robot.model_dump(mode="json")) == robot


@pytest.mark.parametrize(("changes", "state", "words"), [
    ({"joint_states": {"left": LEFT, "right": RIGHT}}, ["left_a", "pan"], ("'pan'", "prefix")),
    ({"joint_states": None}, ["a"], ("joint_states is missing", "a")),
    ({"joint_states": {"left": LEFT | {"names": {"left_x": "a"}}}}, ["left_a", "left_x"],
     ("joint_states.left.names", "'a'", "left_a and left_x")),
    ({"wrenches": WRENCH}, ["wrist_fx", "wrist_fq"], (
        "joint_states is missing", "wrist_fq")),
])
def test_a_state_without_a_source_is_named(changes, state, words):
    with pytest.raises(InputError) as err:
        check_contract(contract(**changes), config(*state))
    for word in words:
        assert word in str(err.value), str(err.value)


def test_what_may_surprise_is_noted():
    notes = check_contract(contract(joint_states={}, wrenches=WRENCH),
                           config("elbow", "elbow.velocity"))
    assert any("does not use wrench/wrist" in note for note in notes)
    assert any("'elbow.velocity'" in note and "velocities" in note for note in notes)


def joint_state(**positions: float):
    return SimpleNamespace(name=list(positions), position=list(positions.values()), velocity=[],
                           effort=[1.0] * len(positions))


def test_the_table_has_what_a_checkpoint_needs_and_nothing_else():
    robot = contract(joint_states={"left": LEFT, "right": RIGHT | {"efforts": ["right_a"]}},
                     wrenches=WRENCH, vectors=VECTOR)
    camera, left, right, vector = policy_streams(
        robot, config("tip_1", "right_a.effort", "right_b", "left_b"))
    assert [s.name for s in (camera, left, right, vector)] == [
        "camera/front", "joint_states/left", "joint_states/right", "vector/tip"]
    assert left.decode(joint_state(b=1.0, a=2.0)) == {"left_b": 1.0}
    assert right.decode(joint_state(a=3.0, b=4.0)) == {"right_b": 4.0, "right_a.effort": 1.0}
    assert dict(right.states) == {"right_b": "b", "right_a.effort": "effort of a"}
    assert left.is_shared and left.is_stamped
    assert not vector.is_shared and not vector.is_stamped
    msg = SimpleNamespace(data=[float("nan"), 7.0], layout=SimpleNamespace(data_offset=0))
    assert vector.decode(msg) == {"tip_1": 7.0}
    msg.data = [7.0]
    with pytest.raises(MessageError, match="1 numbers"):
        vector.decode(msg)


def test_an_export_has_all_joints_and_what_else_the_contract_names():
    robot = contract(joint_states={"left": LEFT, "right": RIGHT | {"efforts": ["right_a"]}},
                     wrenches=WRENCH)
    _, left, right, wrench = contract_streams(robot, ["front"])
    assert left.decode(joint_state(b=1.0, a=2.0)) == {"left_b": 1.0, "left_a": 2.0}
    assert right.decode(joint_state(a=3.0)) == {"right_a": 3.0, "right_a.effort": 1.0}
    assert list(wrench.states) == [f"wrist_{a}" for a in ("fx", "fy", "fz", "tx", "ty", "tz")]
    names = [s.name for s in contract_streams(robot, [], only=("wrist_fz", "left_a"))]
    assert names == ["joint_states/left", "wrench/wrist"]
