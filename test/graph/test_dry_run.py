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

"""The dry-run arm on real topics, and ``tinyvla dry-run`` with the real policy node."""

from __future__ import annotations

import re
import signal
import sys
import time

import numpy as np
import pytest
import yaml

from harness.left_over import new_context
from harness.parameters import ParameterTool
from harness.processes import LIMIT_S, Output, start, start_node, stop
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.core.ros.messages import image_to_array, set_stamp, stamp_to_ns
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint

ROBOTS = share_directory() / "config" / "robots"


class Operator:
    """A node of the test that commands one robot's arm and keeps what it publishes."""

    def __init__(self, robot: str):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import PoseStamped, TwistStamped
        from sensor_msgs.msg import CompressedImage, Image, JointState
        from std_msgs.msg import Float64MultiArray, String
        from trajectory_msgs.msg import JointTrajectory

        from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
        from tinyvla_ros.nodes.shared.runner import LATCHED

        self.contract = RobotContract.load(ROBOTS / f"{robot}.yaml")
        self._context = new_context()
        self.node = rclpy.create_node("operator", context=self._context)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.received = {}
        types = {"joint_trajectory": JointTrajectory, "positions": Float64MultiArray,
                 "twist": TwistStamped}
        self.outputs = [self.node.create_publisher(types[o.type], o.topic, 10)
                        for o in self.contract.outputs]
        for name, camera in self.contract.cameras.items():
            self._listen(name, CompressedImage if camera.compressed else Image, camera.topic)
        self._listen("joints", JointState, self.contract.joint_states.topic)
        if self.contract.ee_pose is not None:
            self._listen("pose", PoseStamped, self.contract.ee_pose.topic)
        self._listen("diagnostics", DiagnosticArray, "/diagnostics")
        self._listen("instruction", String, self.contract.instruction, LATCHED)

    def _listen(self, name: str, message: type, topic: str, qos=50) -> None:
        self.received[name] = []
        self.node.create_subscription(message, topic, self.received[name].append, qos)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def until(self, condition, what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came"
            self._executor.spin_once(timeout_sec=0.05)

    def until_ready(self) -> None:
        self.until(lambda: all(p.get_subscription_count() for p in self.outputs)
                   and all(self.received.values()), "the arm")

    def until_next(self, name: str):
        count = len(self.received[name])
        self.until(lambda: len(self.received[name]) > count, name)
        return self.received[name][-1]

    def positions(self) -> dict[str, float]:
        msg = self.until_next("joints")
        return dict(zip(msg.name, msg.position, strict=True))

    def diagnosis(self) -> dict[str, str]:
        return {v.key: v.value for v in self.until_next("diagnostics").status[0].values}

    def command(self, lift: float) -> None:
        from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
        names = self.contract.outputs[0].targets
        point = JointTrajectoryPoint(positions=[lift if n == "shoulder_lift_joint" else 0.0
                                                for n in names], velocities=[0.0] * len(names))
        set_stamp(point.time_from_start, 200_000_000)
        self.outputs[0].publish(JointTrajectory(joint_names=names, points=[point]))


@pytest.fixture
def arm(request, tmp_path):
    """The arm node of a robot, with its output, and an operator that commands it."""
    operator = Operator(request.param)
    write_untrained_checkpoint(operator.contract, tmp_path)
    process = start_node("dry_run_arm_node", robot=str(ROBOTS / f"{request.param}.yaml"),
                         checkpoint=str(tmp_path))
    output = Output(process)
    try:
        operator.until_ready()
        yield operator, output
    finally:
        operator.close()
        assert stop(process) == 0, output.text


@pytest.mark.parametrize("arm", ["ur5e"], indirect=True)
def test_the_arm_has_the_topics_and_names_of_the_contract(arm):
    operator, _ = arm
    assert [m.data for m in operator.received["instruction"]] == ["dry run"]
    joints = operator.positions()
    assert "robotiq_85_left_knuckle_joint" in joints and "gripper" not in joints
    assert joints["shoulder_lift_joint"] == pytest.approx(-1.57)
    for name in ("front", "wrist"):
        first, second = (image_to_array(operator.until_next(name)) for _ in range(2))
        assert first.shape == (240, 320, 3)
        assert not np.array_equal(first, second)
    now_ns = operator.node.get_clock().now().nanoseconds
    for name in ("front", "wrist", "joints"):
        stamp_ns = stamp_to_ns(operator.until_next(name).header.stamp)
        assert abs(stamp_ns - now_ns) < 5e9, "stamps are ROS time"
    fronts = {stamp_to_ns(m.header.stamp) for m in operator.received["front"]}
    wrists = {stamp_to_ns(m.header.stamp) for m in operator.received["wrist"]}
    assert fronts & wrists, "cameras of one rate see the same moments"


@pytest.mark.parametrize("arm", ["ur5e"], indirect=True)
def test_the_arm_follows_commands_and_reports_a_refused_nan(arm):
    from std_msgs.msg import Float64MultiArray
    operator, output = arm
    operator.command(-1.5)
    operator.until(lambda: operator.positions()["shoulder_lift_joint"] == -1.5, "the position")
    operator.outputs[1].publish(Float64MultiArray(data=[0.5]))
    operator.command(float("nan"))
    output.wait_for("REFUSED (not finite)")
    topic = operator.contract.outputs[0].topic
    operator.until(lambda: operator.diagnosis().get(f"refused {topic}: not finite") == "1",
                   "the count")
    values = operator.diagnosis()
    assert values["accepted"] == "2" and values["refused"] == "1"
    assert values["last_refusal"].startswith(f"{topic}: Point 0")
    assert values["largest_velocity shoulder_lift_joint"].endswith("% of the limit)")
    assert operator.positions()["shoulder_lift_joint"] == -1.5


@pytest.mark.parametrize("arm", ["servo"], indirect=True)
def test_the_hand_follows_twists(arm):
    from geometry_msgs.msg import TwistStamped
    operator, _ = arm
    before = operator.until_next("pose").pose.position.x
    msg = TwistStamped()
    msg.twist.linear.x = 0.1
    msg.header.stamp = operator.node.get_clock().now().to_msg()
    operator.outputs[0].publish(msg)
    operator.until(lambda: operator.until_next("pose").pose.position.x > before + 0.002,
                   "the motion")


def lively(robot: RobotContract) -> RobotContract:
    """Return a contract whose untrained policy goes to and fro by tenths of a radian."""
    loose = {"velocity": 20.0, "acceleration": None, "jump": 0.5}
    return robot.model_copy(update={"actions": {
        n: c.model_copy(update=loose if c.state else {}) for n, c in robot.actions.items()}})


def test_a_controller_that_ignores_commands_is_named_by_the_policy(tmp_path):
    """As after ``ros2 control set_controller_state ... inactive``: its subscription stays."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    robot = lively(RobotContract.load(ROBOTS / "ur5e.yaml"))
    write_untrained_checkpoint(robot, tmp_path)
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(robot.model_dump(mode="json", exclude_unset=True)))
    given = {"robot": str(path), "checkpoint": str(tmp_path)}
    nodes = [start_node("dry_run_arm_node", **given), start_node(
        "policy_node", autostart=True, enabled=True, **given)]
    outputs = [Output(n) for n in nodes]
    context = new_context()
    listener, statuses = rclpy.create_node("listener", context=context), []
    listener.create_subscription(DiagnosticArray, "/diagnostics",
                                 lambda m: statuses.extend(m.status), 100)
    tool = ParameterTool("/dry_run_arm_node", listener, context=context)

    def until(level: bytes, word: str) -> DiagnosticStatus:
        statuses.clear()
        deadline = time.monotonic() + LIMIT_S
        while True:
            for status in statuses:
                if status.name == "policy_node: policy" and status.level == level and \
                        word in status.message:
                    return status
            assert time.monotonic() < deadline, [s.message for s in statuses]
            tool.spin()

    try:
        tool.wait()
        until(DiagnosticStatus.OK, "running")
        assert tool.set(follow=False)[0].successful
        named = until(DiagnosticStatus.WARN, "is its controller active?")
        values = {v.key: v.value for v in named.values}
        assert any(joint in named.message for joint in robot.actions)
        assert int(values[f"subscribers /{robot.outputs[0].topic}"]) == 1
        assert tool.set(follow=True)[0].successful
        until(DiagnosticStatus.OK, "running")
    finally:
        tool.close()
        context.try_shutdown()
        codes = [stop(n) for n in nodes]
    assert codes == [0, 0], [o.text for o in outputs]


def dry_run(*more: str) -> Output:
    return Output(start(sys.executable, "-m", "tinyvla_ros.cli", "dry-run", *more))


# One of each kind; test/unit/dry_run goes through all contracts.
@pytest.mark.parametrize("robot", ["ur5e", "servo", "so101_two"])
def test_a_dry_run_runs_and_sums_up(robot):
    output = dry_run("--robot", str(ROBOTS / f"{robot}.yaml"), "--seconds", "6")
    code = output.wait_end()
    lines = [line.removeprefix("[dry_run_report_node] ").split(maxsplit=1)
             for line in output.lines if line.startswith("[dry_run_report_node]   ")]
    summary = {words[0]: words[1].strip() for words in lines if len(words) == 2}
    assert "running" in summary["policy"]
    assert int(summary["plans"]) > 20
    assert "Traceback" not in output.text
    # A machine that is busy with something else delivers late, and nothing else may go wrong.
    causes = set(re.findall(r": ([a-z ]+) \(\d+\)", summary["commands"]))
    assert causes <= {"stale", "in the past"}, output.text
    assert code == (1 if causes else 0), output.text


def test_ctrl_c_ends_a_dry_run_with_its_summary():
    output = dry_run()
    output.wait_for(re.compile("policy running.* fastest: (?!nothing)"))
    output.process.send_signal(signal.SIGINT)
    assert output.wait_end() == 130
    assert "commands followed" in output.text and "largest velocity elbow_joint" in output.text
    assert "Traceback" not in output.text


@pytest.mark.parametrize(("arguments", "words"), [
    (["--robot", "/nowhere.yaml"], "Cannot read /nowhere.yaml"),
    (["--robot", str(ROBOTS / "metaworld.yaml")], "of type 'chunk'"),
    (["--checkpoint", "/nowhere"], "/nowhere has no config.json"),
    (["--instruction", "juggle"], "Unknown instruction 'juggle'"),
])
def test_bad_arguments_are_one_sentence(arguments, words, capfd):
    assert main(["dry-run", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err, out + err


@pytest.mark.parametrize(("parameters", "words"), [
    ({}, "Parameter 'robot' is empty"),
    ({"robot": str(ROBOTS / "ur5e.yaml")}, "Parameter 'checkpoint' is empty"),
    ({"robot": str(ROBOTS / "ur5e.yaml"), "checkpoint": "/nowhere"}, "/nowhere has no config"),
    ({"width": 1}, "Parameter 'width' is 1"),
])
def test_bad_parameters_are_one_sentence(parameters, words):
    output = Output(start_node("dry_run_arm_node", **parameters))
    assert output.wait_end() == 2
    assert words in output.text and "Traceback" not in output.text
