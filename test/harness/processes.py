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

"""Start real nodes in their own processes and talk to them from the test."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from harness.left_over import new_context, popen
from tinyvla_ros.start.executables import PARENT
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

# Generous: waits end with the event, the limit only bounds a failure.
LIMIT_S = 120.0


def start(*command: str) -> subprocess.Popen:
    """Start a process whose output can be read with ``Output``."""
    return popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                 env={**os.environ, "PYTHONUNBUFFERED": "1", PARENT: str(os.getpid())})


def start_node(executable: str, **parameters) -> subprocess.Popen:
    """Start one of the package's nodes with ROS parameters."""
    return start(*node_command(NodeDescription(executable, parameters)))


class Output:
    """Lines of a process, gathered by a thread, with waiting for a text."""

    def __init__(self, process: subprocess.Popen):
        self.process, self.lines = process, []
        self._changed = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str | re.Pattern) -> None:
        """Return once a line holds ``text``; fail if the process ends without it."""
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        with self._changed:
            self._changed.wait_for(
                lambda: any(map(pattern.search, self.lines)) or self._ended, LIMIT_S)
            found = any(map(pattern.search, self.lines))
        assert found, f"{text!r} never came:\n{self.text}"

    def wait_end(self) -> int:
        """Return the exit code once the process is gone and its output read."""
        code = self.process.wait(LIMIT_S)
        with self._changed:
            self._changed.wait_for(lambda: self._ended, LIMIT_S)
        return code


@contextmanager
def running_policy_node(checkpoint, robot) -> Iterator[subprocess.Popen]:
    """Run an enabled ``policy_node`` on simulated time; it must end cleanly."""
    process = start_node("policy_node", checkpoint=str(checkpoint), enabled=True,
                         robot=str(robot), use_sim_time=True)
    process.output = Output(process)
    process.output.wait_for("ready")
    yield process
    assert stop(process) == 0
    assert "Traceback" not in process.output.text


def stop(process: subprocess.Popen) -> int:
    """End a process with SIGINT and return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(30.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


class Listener:
    """A node that publishes nothing: it collects chunks and diagnostics and calls services."""

    def __init__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from trajectory_msgs.msg import JointTrajectory

        from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor

        self._context = new_context()
        self.node = rclpy.create_node("probe", context=self._context)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.chunks, self.holds, self.diagnostics = [], [], []
        self._clients = {}
        self.node.create_subscription(JointTrajectory, "action_chunk", self._on_chunk, 100)
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics",
            lambda m: self.diagnostics.extend(m.status), 100)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def _on_chunk(self, msg) -> None:
        (self.chunks if msg.header.frame_id else self.holds).append(msg)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Spin until a condition holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came"
            self._executor.spin_once(timeout_sec=0.05)

    def call(self, service_type, name: str, request):
        """Call a service and return its response."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, name)
        client = self._clients[name]
        self.until(client.service_is_ready, name)
        future = client.call_async(request)
        self.until(future.done, f"the answer of {name}")
        return future.result()


class Probe(Listener):
    """Stands for a robot: publishes observations, and collects what ``Listener`` does.

    Stamps count seconds from an epoch of its own, later than those of all probes before: time
    goes on for a node that outlives them.
    """

    _epochs = itertools.count(1000, 1000)

    def __init__(self, config):
        from geometry_msgs.msg import PoseStamped
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import String

        from tinyvla_ros.nodes.shared.runner import LATCHED

        super().__init__()
        self.config, self._epoch = config, next(self._epochs)
        self._images = {n: self.node.create_publisher(Image, f"camera/{n}/image_raw", 10)
                        for n in config.cameras}
        self._joints = self.node.create_publisher(JointState, "joint_states", 10)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", 10)
        self._instruction = self.node.create_publisher(String, "instruction", LATCHED)
        self._clock = self.node.create_publisher(Clock, "/clock", 10)

    def until_matched(self) -> None:
        """Wait until the policy subscribes to everything and offers chunks."""
        publishers = [*self._images.values(), self._joints, self._pose, self._instruction,
                      self._clock]
        self.until(lambda: all(p.get_subscription_count() for p in publishers)
                   and self.node.count_publishers("action_chunk"), "the policy")

    def instruct(self, text: str) -> None:
        from std_msgs.msg import String
        self._instruction.publish(String(data=text))

    def observation(self, stamp_s: int) -> dict:
        """Make the messages of a good observation; tests spoil one of them."""
        from geometry_msgs.msg import PoseStamped
        from sensor_msgs.msg import Image, JointState

        from tinyvla_ros.arm.contract_inputs import EE_STATE
        from tinyvla_ros.core.ros.messages import fill_image

        names = [n for n in self.config.state if n not in EE_STATE]
        messages = {"joints": JointState(name=names, position=[0.1] * len(names)),
                    "pose": PoseStamped()}
        for name in self.config.cameras:
            messages[name] = Image()
            fill_image(messages[name], np.full((48, 48, 3), 128, np.uint8))
        for message in messages.values():
            message.header.stamp.sec = self._epoch + stamp_s
        return messages

    def publish(self, messages: dict) -> None:
        """Set the clock to the newest stamp and publish."""
        from rosgraph_msgs.msg import Clock

        clock = Clock()
        clock.clock.sec = max(m.header.stamp.sec for m in messages.values())
        self._clock.publish(clock)
        for name, message in messages.items():
            publisher = {"joints": self._joints, "pose": self._pose, **self._images}[name]
            publisher.publish(message)

    def chunk_stamps(self) -> list[int]:
        """Return the stamps of what came of this probe's observations, not of others before."""
        stamps = [c.header.stamp.sec - self._epoch for c in self.chunks]
        return [stamp for stamp in stamps if stamp >= 0]
