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

"""The launch files under the real launch system."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs rclpy")
launch_pytest = pytest.importorskip(
    "launch_pytest", reason="launch_pytest is part of a ROS 2 installation; none is sourced here")

from ament_index_python.packages import (  # noqa: E402
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch import LaunchDescription  # noqa: E402
from launch.actions import IncludeLaunchDescription, RegisterEventHandler  # noqa: E402
from launch.event_handlers import OnShutdown  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_pytest.actions import ReadyToTest  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.task import Future  # noqa: E402
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from harness.left_over import new_context  # noqa: E402
from tinyvla_ros.bags.reader import Bag  # noqa: E402


def _built() -> bool:
    try:
        return (Path(get_package_prefix("tinyvla_ros")) / "lib/tinyvla_ros/policy_node").exists()
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _built(), reason="tinyvla_ros is not built: 'colcon build' "
                                "and source install/setup.bash")


def include(name: str, **arguments) -> IncludeLaunchDescription:
    path = Path(get_package_share_directory("tinyvla_ros")) / "launch" / name
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)),
                                    launch_arguments=[(k, str(v)) for k, v in arguments.items()])


@launch_pytest.fixture
def run(tiny_checkpoint, tmp_path):
    """A run of one episode of two tasks, and an event set when the launch shuts down."""
    ended = threading.Event()
    return LaunchDescription([
        include("sim_eval.launch.py", tasks="reach-v3 button-press-v3", episodes=1, seed=3,
                checkpoint=tiny_checkpoint, out=tmp_path / "out", record=True),
        RegisterEventHandler(OnShutdown(on_shutdown=lambda *_: ended.set())),
        ReadyToTest()]), ended


@pytest.mark.launch(fixture=run)
def test_the_run_ends_by_itself_with_results(run, tmp_path):
    _, ended = run
    assert ended.wait(120.0)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["tasks"]) == ["reach-v3", "button-press-v3"]
    episodes = tmp_path / "out" / "episodes"
    with Bag(episodes / "0000_reach-v3_seed3") as bag:
        assert bag.topics["/action_chunk"].count >= int(bag.custom["chunks"])
    assert (episodes / "0001_button-press-v3_seed3").is_dir()


@launch_pytest.fixture
def dry_run():
    """A policy and a kinematic arm."""
    return LaunchDescription([include("dry_run.launch.py"), ReadyToTest()])


@pytest.mark.launch(fixture=dry_run)
def test_the_dry_run_moves_its_arm(dry_run):
    topic = "/scaled_joint_trajectory_controller/joint_trajectory"
    context = new_context()
    node = rclpy.create_node("listener", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        heard = Future(executor=executor)
        node.create_subscription(
            JointTrajectory, topic, lambda m: None if heard.done() else heard.set_result(m), 10)
        executor.spin_until_future_complete(heard, timeout_sec=120.0)
        assert len(heard.result().joint_names) == 6
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


@pytest.mark.parametrize(("arguments", "words"), [
    ({"robot": "/nowhere"}, "/nowhere"),
    ({}, "'UR5e'"),
])
def test_a_policy_that_does_not_fit_its_robot_is_not_started(arguments, words, tiny_checkpoint):
    robot = Path(get_package_share_directory("tinyvla_ros")) / "config/robots/ur5e.yaml"
    assert words in ros2_launch("policy.launch.py",
                                {"checkpoint": tiny_checkpoint, "robot": robot} | arguments)


@pytest.mark.parametrize(("arguments", "words"), [
    ({"tasks": "reach-v2"}, "Did you mean 'reach-v3'"),
    ({"checkpoint": "/nowhere"}, "/nowhere"),
    ({"episodes": "many"}, "many"),
])
def test_bad_arguments_end_the_launch_with_an_error(arguments, words, tiny_checkpoint, tmp_path):
    arguments = {"checkpoint": tiny_checkpoint, "out": tmp_path / "out", **arguments}
    assert words in ros2_launch("sim_eval.launch.py", arguments)


def ros2_launch(name: str, arguments: dict) -> str:
    """Run a launch that must fail; return what it printed."""
    run = subprocess.run(["ros2", "launch", "tinyvla_ros", name,
                          *(f"{k}:={v}" for k, v in arguments.items())],
                         capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode != 0
    return run.stdout + run.stderr
