# SPDX-License-Identifier: Apache-2.0
"""``sim_eval.launch.py`` under the real launch system."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy")
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


def _built() -> bool:
    try:
        return (Path(get_package_prefix("tinyvla_ros")) / "lib/tinyvla_ros/policy_node").exists()
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _built(), reason="tinyvla_ros is not built: 'colcon build' "
                                "and source install/setup.bash")


def include(**arguments) -> IncludeLaunchDescription:
    path = Path(get_package_share_directory("tinyvla_ros")) / "launch/sim_eval.launch.py"
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)),
                                    launch_arguments=[(k, str(v)) for k, v in arguments.items()])


@launch_pytest.fixture
def run(tiny_checkpoint, tmp_path):
    """A run of one episode of two tasks, and an event set when the launch shuts down."""
    ended = threading.Event()
    return LaunchDescription([
        include(tasks="reach-v3 button-press-v3", episodes=1, seed=3,
                checkpoint=tiny_checkpoint, out=tmp_path / "out"),
        RegisterEventHandler(OnShutdown(on_shutdown=lambda *_: ended.set())),
        ReadyToTest()]), ended


@pytest.mark.launch(fixture=run)
def test_the_run_ends_by_itself_with_results(run, tmp_path):
    _, ended = run
    assert ended.wait(120.0)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(results["tasks"]) == ["reach-v3", "button-press-v3"]


@pytest.mark.parametrize(("arguments", "words"), [
    ({"tasks": "reach-v2"}, "Did you mean 'reach-v3'"),
    ({"checkpoint": "/nowhere"}, "/nowhere"),
    ({"episodes": "many"}, "many"),
])
def test_bad_arguments_end_the_launch_with_an_error(arguments, words, tiny_checkpoint, tmp_path):
    arguments = {"checkpoint": tiny_checkpoint, "out": tmp_path / "out", **arguments}
    run = subprocess.run(["ros2", "launch", "tinyvla_ros", "sim_eval.launch.py",
                          *(f"{k}:={v}" for k, v in arguments.items())],
                         capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode != 0
    assert words in run.stdout + run.stderr
