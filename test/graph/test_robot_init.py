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

"""``tinyvla robot init`` on real graphs: what it writes passes ``robot check --live``."""

from __future__ import annotations

import math
import re
import sys
import threading
import time

import pytest
import rclpy
import yaml

from harness.found_robot import POSITIONS, FoundRobotNodes
from harness.processes import LIMIT_S, Output, start, start_node, stop
from harness.teleop_rig import PAUSE_S
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.commented_yaml import open_lines
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint

ROBOTS = share_directory() / "config" / "robots"


@pytest.fixture
def init(tmp_path, capfd):
    """Run the command; returns exit code, contract as text, and what was printed."""
    def run(*arguments: str, seconds: float = 2.0) -> tuple[int, str, str]:
        out = tmp_path / "robot.yaml"
        code = main(["robot", "init", "--out", str(out), "--seconds", str(seconds), *arguments])
        said = capfd.readouterr()
        return code, out.read_text() if out.exists() else "", said.out + said.err
    return run


def filled(text: str, other: RobotContract) -> str:
    """Fill in every ``???`` from another contract of the robot, as its owner would."""
    lines = text.splitlines()
    for line in open_lines(text):
        if line.key:
            _, channel, field = line.key.split(".")
            value = getattr(other.actions[channel], field)
            lines[line.number - 1] = lines[line.number - 1].replace("???", str(value), 1)
    return "\n".join(lines)


def check(tmp_path, text: str, capfd, checkpoint=None) -> tuple[int, str]:
    """Run ``robot check --live`` on a contract, which forgives pauses of the machine."""
    (tmp_path / "filled.yaml").write_text(text)
    file = tmp_path / "patient.yaml"
    file.write_text(re.sub(r"\btimeout: [0-9.]+", f"timeout: {PAUSE_S}", text))
    if checkpoint is None:
        checkpoint = tmp_path / "checkpoint"
        write_untrained_checkpoint(RobotContract.load(file), checkpoint)
    code = main(["robot", "check", str(file), "--checkpoint", str(checkpoint), "--live",
                 "--seconds", "5"])
    return code, capfd.readouterr().out


@pytest.mark.alone  # rates and timeouts are measured
def test_a_robot_with_a_description_and_a_controller_that_answers(init, tmp_path, capfd):
    with FoundRobotNodes():
        code, text, said = init()
        assert code == 0, said
        contract = RobotContract.load(tmp_path / "robot.yaml")
        code, checked = check(tmp_path, text, capfd)
        assert code == 0, checked
    assert "0 problem(s)" in checked and "is still marked: how far a command" in checked
    assert contract.name == "desk_arm" and set(contract.cameras) == {"front", "wrist"}
    assert contract.joint_states.rate == 50 and contract.cameras["front"].rate == 20
    trajectory, positions = contract.outputs
    assert (trajectory.type, list(trajectory.channels)) == ("joint_trajectory",
                                                            ["lift", "elbow", "wheel"])
    assert (positions.type, list(positions.channels)) == ("positions", ["gripper"])
    lift, elbow, wheel = (contract.actions[n] for n in trajectory.channels)
    assert (lift.unit, lift.high) == ("m", 0.3)
    assert (elbow.low, elbow.high, elbow.velocity, elbow.acceleration) == (-1.5, 2.0, 1.0, 4.0)
    assert wheel.continuous
    assert "parameter 'joints' of /arm_controller" in text and "64x48 rgb8" in text
    for step in ("looking for topics", "listening to 3 topic(s)", "robot check"):
        assert step in said


@pytest.mark.alone
def test_the_dry_run_of_a_ur5e(init, tmp_path, capfd):
    robot = RobotContract.load(ROBOTS / "ur5e.yaml")
    write_untrained_checkpoint(robot, tmp_path / "ur5e")
    process = start_node("dry_run_arm_node", robot=str(ROBOTS / "ur5e.yaml"),
                         checkpoint=str(tmp_path / "ur5e"))
    output = Output(process)
    try:
        output.wait_for("is ready")
        code, text, said = init()
        assert code == 0, said
        assert "robot_description" in said
        assert main(["robot", "check", str(tmp_path / "robot.yaml")]) == 2
        assert "'actions.shoulder_pan_joint.low' is ???" in capfd.readouterr().err
        knuckle = "robotiq_85_left_knuckle_joint"
        owner = robot.model_copy(update={"actions": robot.actions | {
            knuckle: robot.actions["elbow_joint"].model_copy(update={"low": 0.0, "high": 0.8})}})
        code, checked = check(tmp_path, filled(text, owner), capfd)
        assert code == 0, checked
    finally:
        assert stop(process) == 0, output.text
    contract = RobotContract.load(tmp_path / "filled.yaml")
    assert contract.cameras["wrist"].compressed and contract.cameras["front"].rate == 30
    assert [list(o.channels) for o in contract.outputs] == [
        [n for n in robot.actions if n != "gripper"], [knuckle]]
    assert [o.topic for o in contract.outputs] == [o.topic for o in robot.outputs]


@pytest.mark.alone
@pytest.mark.simulator
def test_metaworld(init, tiny_checkpoint, tmp_path, capfd):
    out = tmp_path / "results"
    output = Output(start(sys.executable, "-m", "tinyvla_ros.cli", "sim-eval", "--checkpoint",
                          str(tiny_checkpoint), "--out", str(out), "--tasks", "reach-v3",
                          "--episodes", "1000"))
    try:
        output.wait_for("1/1000")
        code, text, said = init(seconds=3.0)
        assert code == 0, said
        robot = RobotContract.load(ROBOTS / "metaworld.yaml")
        code, checked = check(tmp_path, filled(text, robot), capfd, tiny_checkpoint)
        assert code == 0, checked
    finally:
        stop(output.process)
    contract = RobotContract.load(tmp_path / "filled.yaml")
    assert {n: c.topic for n, c in contract.cameras.items()} == {
        n: c.topic for n, c in robot.cameras.items()}
    assert contract.outputs == robot.outputs and contract.ee_pose == robot.ee_pose.model_copy(
        update={"rate": None})
    assert contract.stamps.max_ahead == 0


def test_of_two_robots_one_is_taken_and_it_is_said_how_to_choose(init, tmp_path):
    with FoundRobotNodes("left"), FoundRobotNodes("right", cameras=["top"]):
        code, text, said = init()
        assert code == 0, said
        assert "left/joint_states was taken" in said and "right/joint_states" in said
        assert "--namespace" in said and "--joint-states" in said
        contract = RobotContract.load(tmp_path / "robot.yaml")
        topics = [c.topic for c in contract.cameras.values()] + [o.topic for o in contract.outputs]
        assert all(t.startswith("left/") for t in topics)
        for choice in (("--namespace", "right"), ("--joint-states", "/right/joint_states")):
            (tmp_path / "robot.yaml").unlink()
            code, text, said = init(*choice, seconds=1.0)
            assert code == 0, said
            contract = RobotContract.load(tmp_path / "robot.yaml")
            assert contract.joint_states.topic == "right/joint_states"
            assert list(contract.cameras) == ["top"]
            assert contract.outputs[0].topic == "right/arm_controller/joint_trajectory"
            assert "parameter 'joints' of /right/arm_controller" in text
        (tmp_path / "robot.yaml").unlink()
        code, text, said = init("--joint-states", "rigth/joint_states", seconds=1.0)
        assert code == 2 and "'rigth/joint_states'" in said and "Did you mean" in said


def test_a_dead_camera_and_a_joint_that_is_not_finite_are_told(init, tmp_path):
    with FoundRobotNodes(dead=["wrist"], positions=POSITIONS | {"elbow": math.nan}):
        code, _, said = init(seconds=1.0)
    assert code == 0, said
    contract = RobotContract.load(tmp_path / "robot.yaml")
    assert list(contract.cameras) == ["front"] and contract.actions["elbow"].state is None
    assert "camera/wrist/image_raw is left out: no image came" in said
    assert "elbow is not finite" in said


@pytest.mark.parametrize(("nodes", "words"), [
    (None, ("No JointState, Image", "ROS_DOMAIN_ID")),
    ({"dead": ["front", "wrist"]}, ("No camera", "/driver", "no image came")),
    ({"positions": {}}, ("JointState", "joint_state_broadcaster")),
    ({"positions": {"a": math.nan}}, ("no joint has a finite position (a)",)),
    ({"with_controllers": False}, ("No controller", "ros2 control list_controllers")),
])
def test_what_is_missing_is_one_sentence(init, nodes, words):
    if nodes is None:
        code, text, said = init(seconds=1.0)
    else:
        with FoundRobotNodes(**nodes):
            code, text, said = init(seconds=1.0)
    assert code == 2 and not text
    error = said.splitlines()[-1]
    assert error.startswith("error: ") and all(word in error for word in words), said


@pytest.mark.parametrize(("arguments", "words"), [
    (["--seconds", "0"], ("--seconds", "0")), (["--seconds", "soon"], ("--seconds", "soon"))])
def test_bad_options_are_one_sentence(init, arguments, words):
    code, text, said = init(*arguments)
    assert code == 2 and not text and said.count("\n") == 1
    assert all(word in said for word in words)


def test_a_file_that_is_there_stays(init, tmp_path):
    (tmp_path / "robot.yaml").write_text("mine")
    begin = time.monotonic()
    code, text, said = init(seconds=600)
    assert code == 2 and text == "mine" and "nothing was overwritten" in said
    assert time.monotonic() - begin < LIMIT_S, "before anything is measured"
    assert main(["robot", "init", "--out", str(tmp_path / "no/robot.yaml")]) == 2
    assert not rclpy.ok()


def test_a_draft_is_plain_yaml(init):
    with FoundRobotNodes():
        _, text, _ = init(seconds=1.0)
    assert set(yaml.safe_load(text)) == {"name", "cameras", "joint_states", "stamps", "actions",
                                         "outputs"}


def test_a_camera_that_is_discovered_late_is_listened_to(init, tmp_path):
    late = []

    def start_camera() -> None:
        while not nodes.is_seen:
            time.sleep(0.02)
        late.append(FoundRobotNodes("gripper", positions={}, cameras=["hand"], description="",
                                    with_controllers=False).__enter__())

    with FoundRobotNodes() as nodes:
        thread = threading.Thread(target=start_camera)
        thread.start()
        try:
            code, _, said = init(seconds=5.0)
        finally:
            thread.join(60.0)
            for node in late:
                node.__exit__(None, None, None)
    assert code == 0, said
    assert "gripper/camera/hand/image_raw came late" in said
    contract = RobotContract.load(tmp_path / "robot.yaml")
    assert set(contract.cameras) == {"front", "wrist", "hand"}
