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

"""From what was found on a graph to a contract; no ROS."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.commented_yaml import open_lines
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.robot_draft.cameras import camera_name, choose_cameras
from tinyvla_ros.robot_draft.draft import draft_contract
from tinyvla_ros.robot_draft.found import (
    FoundCamera,
    FoundController,
    FoundJoints,
    FoundPose,
    FoundRobot,
    FoundStream,
    Timing,
)
from tinyvla_ros.robot_draft.timing import stamp_skew, usual_rate
from tinyvla_ros.robot_draft.urdf import read_urdf

URDF = """<?xml version="1.0"?><robot name="two_joints">
  <joint name="fixed" type="fixed"/>
  <joint name="lift" type="prismatic"><limit lower="0" upper="0.3" velocity="0.3"/></joint>
  <joint name="elbow" type="revolute"><limit lower="-1.57081" upper="2.0" velocity="3.0"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="100" effort="1"/></joint>
  <joint name="finger" type="prismatic"><limit lower="0" upper="0.04" velocity="10"/></joint>
  <joint name="finger_2" type="prismatic">
    <limit lower="0" upper="0.04"/><mimic joint="finger"/></joint>
</robot>"""
POSITIONS = {"lift": 0.1, "elbow": 0.2, "wheel": 1.0, "finger": 0.02, "finger_2": 0.02}
SECOND = 10 ** 9


def timing(rate: float, offset_s: float = 0.0, age_s: float = 0.004, longest: float = 0.0
           ) -> Timing:
    count = int(5 * rate)
    stamps = tuple(round((offset_s + i / rate) * SECOND) for i in range(count))
    return Timing(count, rate, longest or 1.1 / rate, stamps, (age_s,) * count)


def robot(**changes) -> FoundRobot:
    camera = FoundCamera("camera/front/image_raw", ("/driver",), timing=timing(30.1),
                         size=(640, 480), encoding="rgb8")
    return replace(FoundRobot(
        5.0, False, URDF, FoundJoints("joint_states", ("/broadcaster",), timing=timing(99.5),
                                      positions=POSITIONS), (), (camera,), (), (),
        (FoundController("arm_controller/joint_trajectory", "joint_trajectory", "/arm_controller",
                         ("lift", "elbow", "wheel"), "position"),
         FoundController("gripper_controller/commands", "positions"))), **changes)


def contract_of(found: FoundRobot) -> tuple[RobotContract, str]:
    text = draft_contract(found).text
    return parse(RobotContract, yaml.safe_load(text), "draft"), text


def test_a_robot_with_a_description_needs_nothing_filled_in():
    contract, text = contract_of(robot())
    assert contract.name == "two_joints" and "???" not in text.split("docs/")[1]
    assert contract.cameras["front"].rate == 30 and contract.joint_states.rate == 100
    assert contract.cameras["front"].frozen_after == 5
    assert 0.05 <= contract.joint_states.timeout < 0.1 < 2 / 30 * 2
    lift, elbow, wheel, finger = (contract.actions[n] for n in
                                  ("lift", "elbow", "wheel", "finger"))
    assert (lift.unit, lift.low, lift.high, lift.velocity) == ("m", 0, 0.3, 0.1)
    assert (elbow.unit, elbow.low, elbow.high, elbow.velocity) == ("rad", -1.57, 2.0, 1.0)
    assert elbow.state == "elbow" and elbow.low >= -1.57081, "never beyond the description"
    assert wheel.continuous and wheel.velocity == 0.5, "100 rad/s is a placeholder"
    assert finger.velocity == 0.05
    questions = [line.question for line in open_lines(text)]
    assert any("100" in q and "placeholder" in q for q in questions)
    assert any("the controller did not say" in q for q in questions), "the gripper's"
    assert [list(o.channels) for o in contract.outputs] == [["lift", "elbow", "wheel"], ["finger"]]


def test_every_uncertain_value_is_marked_without_a_description():
    text = draft_contract(robot(description="")).text
    keys = {line.key for line in open_lines(text) if line.key}
    assert keys == {f"actions.{j}.{end}" for j in ("lift", "elbow", "wheel", "finger", "finger_2")
                    for end in ("low", "high")}
    questions = {line.question for line in open_lines(text)}
    assert any("0.200" in q for q in questions), "where the joint is now"


def test_limits_of_parameters_come_before_those_of_the_description():
    first, gripper = robot().controllers
    limits = {"elbow": {"max_velocity": 1.5, "max_acceleration": 4.0, "min_position": -1.0,
                        "max_position": 1.0}}
    contract, text = contract_of(robot(controllers=(replace(first, limits=limits), gripper)))
    elbow = contract.actions["elbow"]
    assert (elbow.low, elbow.high, elbow.velocity, elbow.acceleration) == (-1, 1, 0.5, 4)
    assert "parameters: max_acceleration" in text


def test_a_broken_description_is_told():
    for text, words in (("<robot", "not valid XML"), ("<a/>", "not a <robot>")):
        draft = draft_contract(robot(description=text))
        assert any(words in note for note in draft.notes)


def test_joints_of_a_description_that_say_nothing():
    _, joints = read_urdf("""<robot name="r">
      <joint name="a" type="revolute"><limit lower="0" upper="0" velocity="0"/></joint>
      <joint name="b" type="revolute"><limit lower="-1e16" upper="1e16" velocity="x"/></joint>
      <joint name="c" type="revolute"/></robot>""")
    assert [(j.low, j.high) for j in joints.values()] == [(None, None)] * 3
    assert joints["a"].speed_is_placeholder and joints["b"].velocity is None


@pytest.mark.parametrize(("topic", "name"), [
    ("camera/side/image_raw", "side"), ("front_camera/color/image_raw", "front"),
    ("wrist_camera/color/image_raw/compressed", "wrist"), ("image_raw", "camera"),
    ("camera/color/image_raw", "camera"), ("cam_high/image", "high"), ("left/top/image", "top")])
def test_names_of_cameras(topic, name):
    assert camera_name(topic) == name


def test_of_several_topics_of_a_camera_the_plainest_that_came_is_taken():
    def camera(topic, count=1, compressed=False, size=(640, 480), error=""):
        return FoundCamera(topic, timing=Timing(count), compressed=compressed, size=size,
                           error=error)
    taken, left = choose_cameras([
        camera("front/image_raw/compressed", compressed=True), camera("front/image_raw"),
        camera("front/image_rect"), camera("wrist/image_raw", 0),
        camera("wrist/image_raw/compressed", compressed=True),
        camera("depth/image_raw", size=None, error="It is depth."),
        camera("a/top/image"), camera("b/top/image")])
    assert {n: c.topic for n, c in taken.items()} == {
        "front": "front/image_raw", "wrist": "wrist/image_raw/compressed", "top": "a/top/image",
        "top_2": "b/top/image"}
    assert {c.topic: r for c, r in left} == {
        "front/image_raw/compressed": "camera front is taken from front/image_raw",
        "front/image_rect": "camera front is taken from front/image_raw",
        "wrist/image_raw": "no image came", "depth/image_raw": "It is depth."}


@pytest.mark.parametrize(("measured", "rate"), [(29.8, 30), (100.7, 100), (487.0, 500), (33.4, 33),
                                                (0.98, 1), (17.3, 17)])
def test_rates_are_those_that_drivers_have(measured, rate):
    assert usual_rate(measured) == rate


def test_stamps_follow_from_what_was_measured():
    camera = robot().cameras[0]
    late = replace(camera, topic="wrist/image_raw", timing=timing(30.1, 0.012, age_s=0.15))
    contract, _ = contract_of(robot(cameras=(camera, late)))
    assert contract.stamps.tolerance == pytest.approx(0.02), "1.5 times 12 ms, rounded up"
    assert contract.stamps.max_age == pytest.approx(0.45)
    assert contract.stamps.max_ahead == 0.02
    ahead = replace(camera, timing=timing(30.1, age_s=-0.03))
    assert contract_of(robot(cameras=(ahead,)))[0].stamps.max_ahead == 0.06
    wrong = draft_contract(robot(cameras=(replace(camera, timing=timing(30.1, age_s=3600.0)),)))
    assert "check the clocks" in wrong.text
    far = replace(camera, timing=timing(30.1, 1e4))
    assert "no time in common" in draft_contract(robot(cameras=(far,))).text


def test_skew_is_to_the_nearest_stamp():
    def stream(*ms):
        return FoundStream("t", timing=Timing(stamps=tuple(m * 10 ** 6 for m in ms)))
    apart = stamp_skew([stream(10, 20, 30), stream(0, 12, 22, 40)])
    assert apart == pytest.approx(0.008, abs=1e-3)
    assert stamp_skew([stream(10), stream()]) is None
    assert stamp_skew([stream(10)]) == 0
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.integers(0, 10 ** 6, 200)).tolist() for _ in range(2))
    inside = [x for x in a if b[0] <= x <= b[-1]]
    wanted = np.quantile([min(abs(x - y) for y in b) for x in inside], 0.95) / 1e3
    assert stamp_skew([stream(*a), stream(*b)]) == pytest.approx(wanted)


def test_an_irregular_stream_has_no_rate_and_is_marked():
    camera = replace(robot().cameras[0], timing=timing(30.1, longest=0.4))
    contract, text = contract_of(robot(cameras=(camera,)))
    assert contract.cameras["front"].rate is None and contract.cameras["front"].timeout == 0.8
    assert any("irregular" in line.question for line in open_lines(text))


def test_simulated_time():
    contract, _ = contract_of(robot(simulated_time=True))
    assert contract.stamps.max_ahead == 0 and contract.cameras["front"].timeout == 60
    assert contract.cameras["front"].reliable and contract.cameras["front"].rate is None


def test_controllers_of_the_same_joints_and_of_other_interfaces_are_left_out():
    first, gripper = robot().controllers
    rival = replace(first, topic="scaled/joint_trajectory", node="/scaled")
    efforts = FoundController("effort_controller/commands", "positions", "/effort_controller",
                              ("finger",), "effort")
    twist = FoundController("servo_node/delta_twist_cmds", "twist")
    draft = draft_contract(robot(controllers=(first, gripper, rival, efforts, twist)))
    contract = parse(RobotContract, yaml.safe_load(draft.text), "draft")
    assert [o.topic for o in contract.outputs] == ["scaled/joint_trajectory",
                                                   "gripper_controller/commands"]
    for topic in ("arm_controller/joint_trajectory", "effort_controller/commands",
                  "servo_node/delta_twist_cmds"):
        assert any(topic in note for note in draft.notes) and f"# {topic}: " in draft.text


def test_a_hand_that_is_moved_by_twists():
    pose = FoundPose("tcp_pose_broadcaster/pose", ("/b",), timing=timing(100), frame="base")
    goal = FoundPose("goal_pose", ("/rviz",), timing=timing(1))
    wrench = FoundStream("ft_sensor/wrench", timing=timing(100))
    contract, text = contract_of(robot(
        poses=(goal, pose), wrenches=(wrench,),
        controllers=(FoundController("servo_node/delta_twist_cmds", "twist"),)))
    assert contract.ee_pose.topic == pose.topic and contract.outputs[0].frame == "base"
    assert contract.actions["ee_vx"].hold == "zero"
    assert contract.outputs[0].channels["ee_wz"].to == "angular.z"
    assert "# ft_sensor/wrench: forces, 100 Hz" in text


def test_a_pose_alone_is_enough_to_see_the_arm():
    pose = FoundPose("ee_pose", ("/b",), timing=timing(100), frame="base")
    empty = FoundJoints("joint_states", ("/b",), timing=timing(100))
    for joints in (None, empty):
        draft = draft_contract(robot(joints=joints, poses=(pose,), controllers=(
            FoundController("servo_node/delta_twist_cmds", "twist"),)))
        contract = parse(RobotContract, yaml.safe_load(draft.text), "draft")
        assert contract.joint_states is None and contract.ee_pose.topic == "ee_pose"
        assert any("JointState" in n or "joint_states" in n for n in draft.notes)


def test_chunks_have_the_channels_that_were_sent():
    sent = FoundController("action_chunk", "chunk", commanded={
        "ee_dx": (-1, 1), "gripper": (0, 1)})
    text = draft_contract(robot(controllers=(sent,))).text
    assert {line.key for line in open_lines(text) if line.key} == {
        f"actions.{c}.{f}" for c in ("ee_dx", "gripper") for f in ("unit", "low", "high")}
    text = draft_contract(robot(controllers=(replace(sent, commanded={}),))).text
    assert "outputs.0.channels.0" in {line.key for line in open_lines(text)}


def test_a_joint_that_is_not_finite_is_told_and_has_no_state():
    joints = replace(robot().joints, positions=POSITIONS | {"elbow": math.nan})
    draft = draft_contract(robot(joints=joints))
    assert any("elbow is not finite" in note for note in draft.notes)
    contract = parse(RobotContract, yaml.safe_load(draft.text), "draft")
    assert contract.actions["elbow"].state is None


@pytest.mark.parametrize(("changes", "words"), [
    ({"cameras": ()}, ("No camera", "nobody publishes")),
    ({"cameras": (FoundCamera("wrist/image_raw", ("/driver",)),)},
     ("wrist/image_raw", "/driver", "no image came", "--seconds")),
    ({"joints": None}, ("JointState", "joint_state_broadcaster")),
    ({"joints": FoundJoints("joint_states", ("/b",))}, ("joint_states of /b", "--joint-states")),
    ({"joints": FoundJoints("joint_states", ("/b",), timing=Timing(5))}, ("no positions",)),
    ({"joints": FoundJoints("joint_states", ("/b",), timing=Timing(5), positions={"a": math.nan})},
     ("no joint has a finite position", "(a)")),
    ({"controllers": ()}, ("No controller", "ros2 control list_controllers")),
])
def test_what_a_contract_cannot_do_without(changes, words):
    with pytest.raises(InputError) as err:
        draft_contract(robot(**changes))
    assert all(word in str(err.value) for word in words), err.value
