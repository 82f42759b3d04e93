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

"""Robot contracts: a mistake is found before anything moves, and named in one sentence."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from harness.policies import tiny_policy_config
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import PolicyConfig

ROBOTS = Path(__file__).resolve().parents[3] / "config" / "robots"
EXAMPLES = sorted(ROBOTS.glob("*.yaml"))
DATA = {path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES}
ARM = ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint",
       "wrist_2_joint", "wrist_3_joint")
GONE = object()


def changed(data, path: str, value):
    """Return a copy with one field replaced (or taken away) by its dotted path."""
    data = copy.deepcopy(data)
    *parts, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    holder = data
    for part in parts:
        holder = holder[part]
    if value is GONE:
        del holder[last]
    else:
        holder[last] = value
    return data


def contract(name: str = "ur5e", **changes) -> RobotContract:
    """Return an example with fields changed; two underscores stand for a dot."""
    data = DATA[name]
    for path, value in changes.items():
        data = changed(data, path.replace("__", "."), value)
    return parse(RobotContract, data, "robot.yaml")


def ur_config(**changes) -> PolicyConfig:
    """Return a policy configuration that fits the UR5e example."""
    action = {"channels": [*ARM, "gripper"], "units": ["rad"] * 6 + ["m"],
              "low": [-2.5, -2.5, -2.5, -3, -3, -3, 0.0], "high": [2.5, -0.1, 2.5, 3, 3, 3, 0.08],
              "dt": 0.02, "horizon": 32, "n_action_steps": 8}
    data = {"cameras": {n: {"height": 96, "width": 96} for n in ("front", "wrist")},
            "state": [*ARM, "gripper"], "action": action | changes.pop("action", {}),
            "instructions": ["pick up the block"]}
    return PolicyConfig.model_validate(data | changes)


# ---- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_loads(path):
    robot = RobotContract.load(path)
    sent = [channel for output in robot.outputs for channel in output.channels]
    assert sorted(sent) == sorted(robot.actions)


def test_examples_hold_what_the_documentation_says():
    assert set(DATA) >= {"metaworld", "ur5e", "servo"}
    ur5e = contract("ur5e")
    assert ur5e.outputs[0].type == "joint_trajectory"
    assert ur5e.outputs[0].targets == list(ARM), "a list of channels keeps the names"
    assert ur5e.joint_states.names == {"gripper": "robotiq_85_left_knuckle_joint"}
    assert contract("servo").outputs[0].targets == ["linear.x", "linear.y", "linear.z",
                                                    "angular.z"]


def test_limits_are_never_absent_by_mistake():
    """What a file leaves out is the careful choice."""
    robot = contract("ur5e", on_violation={}, execution={})
    assert robot.on_violation.finite == "stop"
    assert robot.on_violation.jump == "hold"
    assert robot.execution.max_duration <= 1.0


# (example, field, value, words of the sentence): the field, its value, and what would be right.
MISTAKES = [
    ("ur5e", "camera", {}, ("'camera'", "Did you mean 'cameras'?")),
    ("ur5e", "name", GONE, ("'name'", "missing", "add it")),
    ("ur5e", "name", "", ("'name'", "''", "at least 1 character")),
    ("ur5e", "cameras", {}, ("'cameras'", "{}", "at least 1")),
    ("ur5e", "cameras.front.topic", GONE, ("'cameras.front.topic'", "missing")),
    ("ur5e", "cameras.front.topics", "/image", (
        "cameras.front", "'topics'", "Did you mean 'topic'?")),
    ("ur5e", "cameras.front.rate", "fast", ("'cameras.front.rate'", "'fast'", "number")),
    ("ur5e", "cameras.front.rate", -1, ("'cameras.front.rate'", "-1", "greater than 0")),
    ("ur5e", "cameras.front.timeout", 0.01, (
        "cameras.front", "timeout 0.01 s", "0.0333 s", "30 Hz", "raise it")),
    ("ur5e", "cameras.front.timeout", float("nan"), ("'cameras.front.timeout'", "nan", "60")),
    ("ur5e", "cameras.front.frozen_after", 1, (
        "'cameras.front.frozen_after'", "1", "greater than or equal to 2")),
    ("ur5e", "joint_states.names", ["gripper"], ("'joint_states.names'", "dictionary")),
    ("ur5e", "stamps.tolerance", -0.1, ("'stamps.tolerance'", "-0.1", "equal to 0")),
    ("ur5e", "stamps.max_age", 100, ("'stamps.max_age'", "100", "10")),
    ("ur5e", "actions.elbow_joint.low", 3.0, (
        "actions.elbow_joint", "low 3.0", "below high 2.8")),
    ("ur5e", "actions.elbow_joint.low", float("-inf"), (
        "'actions.elbow_joint.low'", "-inf", "finite")),
    ("ur5e", "actions.elbow_joint.velocity", 0, (
        "'actions.elbow_joint.velocity'", "0", "greater than 0")),
    ("ur5e", "actions.elbow_joint.velocity", float("nan"), (
        "'actions.elbow_joint.velocity'", "nan", "finite")),
    ("ur5e", "actions.elbow_joint.velocity", None, (
        "actions.elbow_joint", "acceleration", "velocity limit")),
    ("ur5e", "actions.elbow_joint.acceleration", 0.1, (
        "actions.elbow_joint", "acceleration 0.1", "10 s", "5 s")),
    ("ur5e", "actions.elbow_joint.state", None, ("actions.elbow_joint", "jump", "state")),
    ("ur5e", "actions.elbow_joint.jump", None, ("actions.elbow_joint", "state", "jump")),
    ("ur5e", "actions.elbow_joint.speed", 1.0, (
        "actions.elbow_joint", "'speed'", "'velocity'", "'acceleration'")),
    ("ur5e", "actions.elbow_joint.unit", GONE, ("'actions.elbow_joint.unit'", "missing")),
    ("ur5e", "actions.elbow_joint.hold", "none", (
        "'actions.elbow_joint.hold'", "'none'", "'last' or 'zero'")),
    ("ur5e", "actions.gripper.hold", "zero", ("'gripper'", "position", "last")),
    ("ur5e", "actions.wrist_9_joint", DATA["ur5e"]["actions"]["gripper"], (
        "'wrist_9_joint'", "no output", "name it")),
    ("ur5e", "on_violation", {"position": "ignore"}, (
        "'on_violation.position'", "'ignore'", "'clamp', 'hold' or 'stop'")),
    ("ur5e", "on_violation", {"finite": "clamp"}, (
        "'on_violation.finite'", "'clamp'", "'hold' or 'stop'")),
    ("ur5e", "on_violation", {"jump": "clamp"}, (
        "'on_violation.jump'", "'clamp'", "'hold' or 'stop'")),
    ("ur5e", "outputs", [], ("'outputs'", "[]", "at least 1")),
    ("ur5e", "outputs.0.type", GONE, ("'outputs.0.type'", "missing")),
    ("ur5e", "outputs.0.type", "joint_trajectorie", (
        "outputs.0.type", "'joint_trajectorie'", "'twist', 'positions', 'chunk'",
        "Did you mean 'joint_trajectory'?")),
    ("ur5e", "outputs.1.topic", "scaled_joint_trajectory_controller/joint_trajectory", (
        "two outputs", "scaled_joint_trajectory_controller/joint_trajectory", "in one")),
    ("ur5e", "outputs.0.lead", 5, ("lead", "5", "less than or equal to 0.5")),
    ("ur5e", "outputs.0.channels", ["elbow"], ("'elbow'", "Did you mean 'elbow_joint'?")),
    ("ur5e", "outputs.1.channels", ["gripper", "elbow_joint"], (
        "'elbow_joint'", "scaled_joint_trajectory_controller", "gripper_controller", "one")),
    ("ur5e", "outputs.1.channels.gripper.scale", 0, ("scale", "0", "constant")),
    ("ur5e", "outputs.1.channels.gripper.offset", float("inf"), ("offset", "inf", "finite")),
    ("ur5e", "execution.join", "rct", (
        "'execution.join'", "'rct'", "'ensemble', 'rtc' or 'committed'")),
    ("ur5e", "execution.pace", 0.05, ("'execution.pace", "0.05", "0.1")),
    ("ur5e", "execution.takeover", 0.0, ("'execution.takeover'", "0.0", "0")),
    ("ur5e", "execution.max_duration", 0, ("'execution.max_duration'", "0", "greater than 0")),
    ("ur5e", "execution.replan_every", 1.5, ("'execution.replan_every'", "1.5", "integer")),
    ("servo", "outputs.0.frame", GONE, ("frame", "missing")),
    ("servo", "outputs.0.channels.ee_wz.to", "angular.w", (
        "'angular.w'", "Did you mean 'angular.z'?")),
    ("servo", "outputs.0.channels.ee_wz.to", "linear.x", (
        "two channels", "servo_node/delta_twist_cmds")),
    ("servo", "actions.ee_vx.hold", "last", ("'ee_vx'", "velocity", "hold to zero")),
    ("servo", "actions.ee_vx.low", 0.01, ("actions.ee_vx", "zero", "0.01 to 0.1")),
    ("servo", "actions.ee_vx.velocity", 0.01, (
        "actions.ee_vx", "velocity 0.01", "10 s", "5 s")),
    ("servo", "actions.ee_vx.acceleration", 1.0, ("actions.ee_vx", "acceleration")),
    ("servo", "actions.ee_vx.state", "ee_x", ("actions.ee_vx", "hold to last")),
    ("metaworld", "outputs.0.channels", {n: {"scale": 2.0} for n in DATA["metaworld"]["actions"]},
     ("outputs.0", "unscaled", "list")),
]


@pytest.mark.parametrize(("example", "field", "value", "words"), MISTAKES,
                         ids=[f"{m[1]}={'gone' if m[2] is GONE else str(m[2])[:20]}"
                              for m in MISTAKES])
def test_a_mistake_is_one_sentence_with_field_value_and_alternatives(example, field, value,
                                                                    words):
    with pytest.raises(InputError) as err:
        parse(RobotContract, changed(DATA[example], field, value), "robot.yaml")
    sentence = str(err.value)
    assert sentence.startswith("robot.yaml: ")
    assert "\n" not in sentence and "?." not in sentence
    for word in words:
        assert word in sentence, sentence


@pytest.mark.parametrize("field", ["cameras.front.topic", "joint_states.topic", "instruction",
                                   "outputs.0.topic", "outputs.1.topic"])
@pytest.mark.parametrize(("name", "likely"), [
    ("/joint-states", "'/joint_states'"), ("a//b", "'a/b'"), ("camera/", "'camera'"),
    ("camera/1", "'camera/_1'"), ("my topic", "'my_topic'"), ("", "camera/front/image_raw"),
    ("a" * 300, "300 characters")])
def test_topic_names_that_ros_refuses_are_refused_at_once(field, name, likely):
    with pytest.raises(InputError) as err:
        parse(RobotContract, changed(DATA["ur5e"], field, name), "robot.yaml")
    for part in (*field.split("."), likely):
        assert part in str(err.value)


@pytest.mark.parametrize("name", ["~/joints", "/left/joint_states", "_hidden/a1", "a"])
def test_topic_names_that_ros_takes_are_taken(name):
    contract = parse(RobotContract, changed(DATA["ur5e"], "joint_states.topic", name), "x")
    assert contract.joint_states.topic == name


def test_two_arms_in_two_namespaces_share_no_topic():
    for robot in DATA:
        read = contract(robot)
        topics = [read.instruction, *(c.topic for c in read.cameras.values()),
                  *(o.topic for o in read.outputs),
                  *(s.topic for s in read.sources.streams.values())]
        assert not [t for t in topics if t.startswith("/")]


@pytest.mark.parametrize("text", ["", "[]", "just words"])
def test_a_file_that_holds_no_contract_is_refused(tmp_path, text):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"robot\.yaml: .*whole file.*dictionary"):
        RobotContract.load(path)


def test_a_missing_file_and_broken_yaml_are_said(tmp_path):
    with pytest.raises(InputError, match=r"Cannot read .*nowhere\.yaml"):
        RobotContract.load(tmp_path / "nowhere.yaml")
    (tmp_path / "robot.yaml").write_text("name: [")
    with pytest.raises(InputError, match="not valid YAML"):
        RobotContract.load(tmp_path / "robot.yaml")


# ---- against a checkpoint -------------------------------------------------------------------


def test_the_shipped_checkpoint_fits_the_shipped_robot():
    checkpoint = ROBOTS.parents[1] / "checkpoints" / "metaworld-3task"
    check_contract(contract("metaworld"), PolicyConfig.load(checkpoint))


def test_a_fitting_checkpoint_may_still_surprise():
    robot = contract(actions__gripper__velocity=None, actions__elbow_joint__high=2.0,
                     cameras__front__frozen_after=None, execution__max_duration=2.0,
                     cameras__top={"topic": "/top"})
    surprises = check_contract(robot, ur_config())
    for words in (("actions.elbow_joint", "-2.8 to 2", "-2.5 to 2.5"),
                  ("actions.gripper", "velocity"), ("cameras.front.frozen_after",),
                  ("camera top",), ("0.64 s",)):
        assert any(all(w in s for w in words) for s in surprises), words


def test_nothing_surprises_where_all_limits_are_set_and_wide_enough():
    assert check_contract(contract(wrenches={}), ur_config()) == []


MISFITS = [
    ({}, {"cameras": {"frond": {"height": 96, "width": 96}}}, (
        "cameras", "'frond'", "Did you mean 'front'?")),
    ({"joint_states": None}, {}, ("joint_states", "missing", "shoulder_pan_joint", "add it")),
    ({}, {"state": [*ARM, "gripper", "ee_x"]}, ("ee_pose", "missing", "ee_x", "add it")),
    ({"joint_states__names": {"griper": "knuckle"}}, {}, (
        "joint_states.names", "'griper'", "Did you mean 'gripper'?")),
    ({"joint_states__names": {"gripper": "elbow_joint"}}, {}, (
        "joint_states.names", "'elbow_joint'", "elbow_joint and gripper")),
    ({}, {"action": {"channels": [*ARM, "hand"]}}, ("actions", "'hand'", "'gripper'")),
    ({}, {"action": {"channels": list(ARM), "units": ["rad"] * 6, "low": [-2] * 6,
                     "high": [-0.1] * 6}}, ("actions", "'gripper'", "'elbow_joint'")),
    ({"actions__gripper__unit": "mm"}, {}, ("actions.gripper.unit", "'mm'", "'m'")),
    ({"actions__gripper__low": 0.5, "actions__gripper__high": 0.6}, {}, (
        "actions.gripper", "0.5 to 0.6", "0 to 0.08")),
    ({"actions__elbow_joint__state": "elbow"}, {}, (
        "actions.elbow_joint.state", "'elbow'", "Did you mean 'elbow_joint'?")),
    ({"execution__replan_every": 32, "execution__max_duration": 2.0}, {}, (
        "execution.replan_every", "32", "32 rows")),
    ({"execution__replan_every": 25, "execution__max_duration": 0.5}, {}, (
        "execution.replan_every", "25", "25 rows")),
    ({"execution__max_duration": 0.01}, {}, ("execution.max_duration", "0.01 s", "0.02 s")),
]


@pytest.mark.parametrize(("robot", "checkpoint", "words"), MISFITS,
                         ids=[str({**m[0], **m[1]})[:40] for m in MISFITS])
def test_a_misfit_is_one_sentence_with_field_value_and_alternatives(robot, checkpoint, words):
    with pytest.raises(InputError) as err:
        check_contract(contract(**robot), ur_config(**copy.deepcopy(checkpoint)))
    sentence = str(err.value)
    assert "'UR5e'" in sentence
    assert "\n" not in sentence
    for word in words:
        assert word in sentence, sentence


def test_servo_needs_twists_in_time():
    channels = list(DATA["servo"]["actions"])
    limits = contract("servo").actions.values()
    action = {"channels": channels, "units": [c.unit for c in limits],
              "low": [c.low for c in limits], "high": [c.high for c in limits]}
    config = {"cameras": {"wrist": {"height": 96, "width": 96}}, "state": ["ee_x", "finger"]}
    assert check_contract(contract("servo"), ur_config(**config, action=action | {"dt": 0.05})) \
        == []
    with pytest.raises(InputError, match=r"servo_node.* 0\.2 s"):
        check_contract(contract("servo"), ur_config(**config, action=action | {"dt": 0.2}))


def test_a_checkpoint_for_another_robot_does_not_fit():
    with pytest.raises(InputError, match=r"'UR5e'.*checkpoint"):
        check_contract(contract(), tiny_policy_config())
