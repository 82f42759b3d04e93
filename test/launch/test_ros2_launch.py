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

"""``ros2 launch`` from outside: exit codes, and what is left when it or a node ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs rclpy")
pytest.importorskip(
    "launch_ros", reason="launch_ros is part of a ROS 2 installation; none is sourced here")

from ament_index_python.packages import PackageNotFoundError, get_package_prefix  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402

from harness.left_over import new_context, popen  # noqa: E402
from harness.processes import start_node, stop  # noqa: E402
from tinyvla_ros.arm.contract import RobotContract  # noqa: E402
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint  # noqa: E402
from tinyvla_ros.policy.config import PolicyConfig  # noqa: E402

ROOT = Path(__file__).parents[2]
STARTED = re.compile(r"\[(\w+)-\d+\]: process started with pid \[(\d+)\]")


def _built() -> bool:
    try:
        get_package_prefix("tinyvla_ros")
    except PackageNotFoundError:
        return False
    return shutil.which("ros2") is not None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _built(), reason="tinyvla_ros is not built: 'colcon build' and source "
                                            "install/setup.bash")]


class Launch:
    """A ``ros2 launch`` whose output is read as it comes.

    Attributes:
        output: what it printed so far.
        nodes: executable -> process id.
    """

    def __init__(self, name: str, **arguments):
        # With a terminal, launch leaves it to Ctrl-C there to reach the nodes.
        self._terminal, stdin = os.openpty()
        self._process = popen(
            ["ros2", "launch", "tinyvla_ros", f"{name}.launch.py",
             *(f"{k}:={v}" for k, v in arguments.items())], stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        os.close(stdin)
        self.output, self.nodes = "", {}

    def until(self, text: str) -> None:
        """Read to a line with a text."""
        for line in self._process.stdout:
            self.output += line
            if match := STARTED.search(line):
                self.nodes[match[1]] = int(match[2])
            if text in line:
                return
        raise AssertionError(f"no {text!r} in:\n{self.output}")

    def send(self, number: int) -> None:
        """Send a signal to ``ros2 launch`` alone."""
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Do what Ctrl-C in a terminal does."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Read what is left and return the exit code.

        The output ends when the nodes have ended as well: they hold the other end of no pipe that
        outlives them.
        """
        self.output += self._process.stdout.read()
        return self._process.wait()

    def kill(self) -> None:
        """End what a failed test left."""
        os.close(self._terminal)
        for pid in (self._process.pid, *self.nodes.values()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def start() -> Iterator:
    """Return a function that starts a launch file."""
    running = []

    def run(name: str, **arguments) -> Launch:
        running.append(Launch(name, **arguments))
        return running[-1]
    yield run
    for each in running:
        each.kill()


@pytest.fixture
def policy(start, tiny_checkpoint) -> Launch:
    """A policy that is ready."""
    run = start("policy", robot=ROOT / "config/robots/metaworld.yaml", checkpoint=tiny_checkpoint)
    run.until("ready, disabled")
    return run


def wait_until_ended(pid: int) -> None:
    """Wait for a process that is not a child; the test's time limit is the limit."""
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.05)


def test_a_launch_fails_if_its_only_node_dies(policy):
    os.kill(policy.nodes["policy_node"], signal.SIGKILL)
    assert policy.wait() != 0
    assert "policy_node ended with exit code -9" in policy.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGQUIT])
def test_no_node_outlives_ros2_launch(policy, number):
    policy.send(number)
    assert policy.wait() != 0
    wait_until_ended(policy.nodes["policy_node"])


def test_lifecycle_shutdown_is_no_error(policy):
    context = new_context()
    node = rclpy.create_node("manager", context=context)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        client = node.create_client(ChangeState, "/policy_node/change_state")
        assert client.wait_for_service(60.0)
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_ACTIVE_SHUTDOWN
        executor.spin_until_future_complete(client.call_async(request), timeout_sec=60.0)
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    assert policy.wait() == 0, policy.output
    assert "ERROR" not in policy.output


@pytest.mark.parametrize("library", ["", "pydantic_core"])
def test_ctrl_c_while_the_nodes_load_reports_no_death(start, tiny_checkpoint, tmp_path, library):
    run = start("sim_eval", tasks="reach-v3", episodes=1, checkpoint=tiny_checkpoint,
                out=tmp_path / "out", record=True)
    run.until("[policy_node-4]: process started")
    maps = Path(f"/proc/{run.nodes['policy_node']}/maps")
    while library not in maps.read_text():  # torch is loaded later
        time.sleep(0.01)
    run.interrupt()
    run.wait()
    assert "process has died" not in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "out" / "episodes.jsonl").exists()


def test_respawn_starts_a_node_again(start, tiny_checkpoint):
    run = start("policy", robot=ROOT / "config/robots/metaworld.yaml", checkpoint=tiny_checkpoint,
                on_exit="respawn")
    run.until("ready, disabled")
    os.kill(run.nodes["policy_node"], signal.SIGKILL)
    run.until("ready, disabled")
    run.interrupt()
    assert run.wait() == 0


@pytest.mark.parametrize(("limit", "ends_well"), [(30.0, True), (5.0, False)])
def test_a_sequence_survives_its_policy_and_is_not_begun_again(start, tmp_path, limit, ends_well):
    robot, checkpoint = ROOT / "config/robots/so101.yaml", tmp_path / "checkpoint"
    write_untrained_checkpoint(RobotContract.load(robot), checkpoint)
    file = tmp_path / "sequence.yaml"
    until = {"seconds": 5.0} if ends_well else {"topic": "nobodys"}
    file.write_text(yaml.safe_dump({"steps": [{
        "instruction": PolicyConfig.load(checkpoint).instructions[0], "until": until,
        "limit": limit}]}))
    arm = start_node("dry_run_arm_node", robot=str(robot), checkpoint=str(checkpoint))
    try:
        run = start("sequence", file=file, robot=robot, checkpoint=checkpoint, on_exit="respawn")
        run.until("ready, disabled")
        run.until("enabled")
        os.kill(run.nodes["policy_node"], signal.SIGKILL)
        run.until("ready, disabled")
        assert (run.wait() == 0) == ends_well, run.output
    finally:
        stop(arm)
    assert ("sequence succeeded" in run.output) == ends_well
    assert run.output.count("sequence_node-2]: process started") == 1


def test_the_recorder_stops_with_the_policy(start, tiny_checkpoint, tmp_path):
    run = start("policy", robot=ROOT / "config/robots/metaworld.yaml", checkpoint=tiny_checkpoint,
                record=True, out=tmp_path / "episodes", namespace="arm_1")
    run.until("arm_1.policy_node]: ready, disabled")
    os.kill(run.nodes["policy_node"], signal.SIGKILL)
    assert run.wait() != 0
    assert re.search(r"episode_recorder_node-1\]: process has finished cleanly", run.output)


@pytest.mark.parametrize("name", ["policy", "sequence", "sim_eval", "dry_run"])
def test_arguments_are_shown_without_our_dependencies(name):
    shown = subprocess.run(["ros2", "launch", "tinyvla_ros", f"{name}.launch.py", "--show-args"],
                           capture_output=True, text=True, check=True, timeout=100).stdout
    for argument in json.loads((ROOT / "launch/arguments.json").read_text())[name]:
        assert f"'{argument['name']}':" in shown
        assert argument["description"] in shown


HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pydantic", "torch", "numpy", "tinyvla_ros", "sim_bridge"}:
            raise ImportError(f"{name} is hidden")
sys.meta_path.insert(0, Hide())
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from harness.left_over import new_context, popen
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]),
    launch_arguments=[a.split(":=") for a in sys.argv[2:]])]))
sys.exit(service.run())
"""


def test_a_run_from_a_python_without_our_dependencies(tiny_checkpoint, tmp_path):
    file = Path(get_package_prefix("tinyvla_ros")) / "share/tinyvla_ros/launch/sim_eval.launch.py"
    run = subprocess.run(
        [sys.executable, "-c", HIDE, str(file), "tasks:=reach-v3", "episodes:=1",
         f"checkpoint:={tiny_checkpoint}", f"out:={tmp_path / 'out'}"],
        capture_output=True, text=True, check=False, timeout=250,
        env=os.environ | {"VIRTUAL_ENV": sys.prefix})
    assert run.returncode == 0, run.stdout + run.stderr
    assert list(json.loads((tmp_path / "out/results.json").read_text())["tasks"]) == ["reach-v3"]
