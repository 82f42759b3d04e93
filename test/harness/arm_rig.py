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

"""A simulated six-axis arm, and a real policy node in its own process that drives it.

The rig publishes two cameras and joint states, follows commands by the rules of
joint_trajectory_controller, and judges every command. Tests and benchmarks break its messages.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from harness.arm_contract import CAMERA_HZ, CAMERAS, JOINT_HZ, JOINTS, TOPIC, robot
from harness.left_over import new_context, popen
from harness.random_network import write_random_network
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.resources import default_checkpoint, use_middleware_profile
from tinyvla_ros.core.ros.messages import fill_image, set_stamp, time_to_ns
from tinyvla_ros.dry_run.trajectory import Refused, TrajectoryFollower
from tinyvla_ros.dry_run.untrained import (
    INSTRUCTION,
    untrained_config,
    write_untrained_checkpoint,
)
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import LATCHED
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

# A hold stays at its last position for longer than any row lasts, s.
HOLD_S = 0.15
TOLERANCE = 1e-6
LIMIT_S = 60.0


@dataclass(frozen=True)
class ReceivedCommand:
    """A command.

    Attributes:
        time_s: steady seconds.
        is_hold: whether it only brings the arm to rest.
        wrong: what is wrong with it; empty if nothing is.
    """

    time_s: float
    is_hold: bool
    wrong: str


class MessageFilters:
    """What becomes of each message that is published; a fault replaces one of the functions."""

    def __init__(self):
        self.image: Callable[[str, Image], Iterable[Image]] = lambda camera, msg: [msg]
        self.joints: Callable[[JointState], Iterable[JointState]] = lambda msg: [msg]
        self.wrench: Callable[[WrenchStamped], Iterable[WrenchStamped]] = lambda msg: [msg]
        self.vector: Callable[[Float64MultiArray], Iterable[Float64MultiArray]] = \
            lambda msg: [msg]


class Rig:
    """The arm, and the policy node that drives it.

    Attributes:
        filters: changed by a fault; a new ``MessageFilters`` ends the fault.
        commands: all commands received so far.
        statuses: the newest messages of the node on /diagnostics.
        policy_values: the newest values of its policy there.
        longest_gap_s: longest time without a joint state since it was set to 0; the period is
            10 ms, so a longer gap means that this machine paused.
        position: of the joints.
        cameras, joints, wrench, vector, instruction: publishers, for additional messages.

    Args:
        place: directory for contract, checkpoint and log.
        size: (width, height) of the images.
        contract: plain data, default ``robot()``.
        network: whether the policy is a random network, which runs in torch, instead of the
            noise of an untrained checkpoint, with which a node starts five times as fast.
        full_size: ... of the shipped checkpoint's size instead of a tiny one.
        compiled: ... and it is compiled, so that the node runs it without torch.
        parameters: of the node.
    """

    def __init__(self, place: Path, size: tuple[int, int] = (96, 96), contract: dict | None = None,
                 network: bool = False, full_size: bool = False, compiled: bool = False,
                 **parameters):
        contract = contract or robot()
        self._robot, self._checkpoint = place / "robot.yaml", place / "checkpoint"
        self._robot.write_text(yaml.safe_dump(contract, sort_keys=False))
        self.contract = parse(RobotContract, contract, "rig")
        if not self._checkpoint.exists():
            if network or full_size or compiled:
                write_random_network(self.contract, self._checkpoint,
                                     _full_size(self.contract) if full_size else None)
            else:
                write_untrained_checkpoint(self.contract, self._checkpoint)
            if compiled:
                _compile(self._checkpoint)
        self._parameters = parameters
        self._lock = threading.Lock()
        self._rng = np.random.default_rng(0)
        self._noise = self._rng.integers(0, 256, (8, size[1], size[0], 3), np.uint8)
        self._follower = TrajectoryFollower(JOINTS, np.zeros(len(JOINTS)))
        self.filters, self.commands, self.statuses = MessageFilters(), [], []
        self.policy_values: dict[str, str] = {}
        self.longest_gap_s = 0.0
        self.glitch = np.zeros(len(JOINTS))
        use_middleware_profile()
        self._context = new_context()
        self.node = rclpy.create_node("rig", context=self._context)
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self.cameras = {n: self.node.create_publisher(Image, f"camera/{n}/image_raw", sensor)
                         for n in CAMERAS}
        self.joints = self.node.create_publisher(JointState, "joint_states", sensor)
        self.wrench = self.node.create_publisher(WrenchStamped, "wrench", sensor)
        self.vector = self.node.create_publisher(Float64MultiArray, "tactile", sensor)
        self._feels = bool(self.contract.wrenches)
        self.instruction = self.node.create_publisher(String, "instruction", LATCHED)
        self.subscribe()
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_status, 50)
        self.instruct(INSTRUCTION)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._closing, self._is_heard = False, threading.Event()
        self.process: subprocess.Popen | None = None
        self._threads = [threading.Thread(target=self._spin, daemon=True),
                         threading.Thread(target=self._publish_forever, daemon=True)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *error) -> None:
        self._closing = True
        self.kill(signal.SIGTERM)
        for thread in self._threads:
            thread.join(5.0)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    # ---- the node -------------------------------------------------------------------------

    def start(self, enabled: bool = True) -> None:
        """Start the policy node."""
        parameters = {"robot": str(self._robot), "checkpoint": str(self._checkpoint),
                      "enabled": enabled, **self._parameters}
        command = node_command(NodeDescription("policy_node", parameters))
        # The same node, with an inference that signals can break.
        arguments = command[command.index("--ros-args"):]
        command = [command[0], str(Path(__file__).with_name("breakable_node.py")), *arguments]
        self._is_heard.clear()
        log = (self._robot.parent / "node.log").open("a")
        self.process = popen(command, of_rig=True, stdout=log, stderr=log)
        log.close()

    def kill(self, number: int) -> None:
        """Send the node a signal; one that ends it is waited for."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            if number in (signal.SIGKILL, signal.SIGTERM):
                self.process.wait(30.0)

    def memory_mb(self) -> float:
        """Return the node's resident memory."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def call(self, name: str, request) -> bool:
        """Call a service of the node."""
        kinds = {SetBool.Request: SetBool, Trigger.Request: Trigger}
        return self.service(kinds[type(request)], name, request).success

    def service(self, kind, name: str, request):
        """Call any service of the node and return the response."""
        client = self.node.create_client(kind, f"policy_node/{name}")
        try:
            assert client.wait_for_service(LIMIT_S), name
            # ROS drops an answer if the node does not know the client within 0.1 s. A node that
            # starts may know it later than the client knows the node, but before it is heard.
            assert self._is_heard.wait(LIMIT_S), "no diagnostics"
            done = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _: done.set())
            assert done.wait(LIMIT_S), f"no answer from {name}"
            return future.result()
        finally:
            self.node.destroy_client(client)

    # ---- what the node sends --------------------------------------------------------------

    def subscribe(self) -> None:
        """Subscribe to commands, as a controller does."""
        self._subscription = self.node.create_subscription(
            JointTrajectory, TOPIC, self._on_command, 50)

    def unsubscribe(self) -> None:
        """Unsubscribe: the node has no controller."""
        self.node.destroy_subscription(self._subscription)

    def since(self, time_s: float) -> list[ReceivedCommand]:
        """Return the commands received after a steady time."""
        return [c for c in list(self.commands) if c.time_s > time_s]

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come within {limit_s:g} s; the node's state: "
                                   f"{self.status!r}")
            time.sleep(0.002)

    def wait_running(self) -> None:
        """Wait until the arm is being moved: two new chunks, and no hold after them."""
        start = time.monotonic()
        self.wait(lambda: sum(not c.is_hold for c in self.since(start)) >= 2
                  and not self.commands[-1].is_hold, "a chunk")

    @property
    def status(self) -> str:
        """The newest message of the node, empty before the first."""
        return self.statuses[-1] if self.statuses else ""

    @property
    def position(self) -> np.ndarray:
        """Positions of the joints."""
        with self._lock:
            return self._follower.sample(self._now_ns())[0]

    def moving(self) -> bool:
        """Return whether the arm is moving."""
        with self._lock:
            return bool(np.abs(self._follower.sample(self._now_ns())[1]).max() > 1e-6)

    def instruct(self, text: str) -> None:
        """Publish an instruction."""
        self.instruction.publish(String(data=text))

    def _now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def _on_command(self, msg: JointTrajectory) -> None:
        time_s, now_ns = time.monotonic(), self._now_ns()
        with self._lock:
            wrong = self._judge(msg, now_ns)
            times = [time_to_ns(p.time_from_start) / 1e9 for p in msg.points[-2:]]
            is_hold = len(times) == 2 and times[1] - times[0] > HOLD_S
            self.commands.append(ReceivedCommand(time_s, is_hold, wrong))

    def _judge(self, msg: JointTrajectory, now_ns: int) -> str:
        """Follow a command; return what is wrong with it, empty if nothing is."""
        before = self._follower.sample(now_ns)[0]
        try:
            self._follower.accept(msg, now_ns)
        except Refused as err:
            return f"refused: {err.cause}"
        order = [list(msg.joint_names).index(j) for j in JOINTS]
        rows = np.array([list(p.positions) for p in msg.points])[:, order]
        times = np.array([p.time_from_start.sec + p.time_from_start.nanosec / 1e9
                          for p in msg.points])
        limits = list(self.contract.actions.values())
        low, high = (np.array([getattr(c, k) for c in limits]) for k in ("low", "high"))
        if (rows < low - TOLERANCE).any() or (rows > high + TOLERANCE).any():
            return "position limit"
        speed = np.abs(np.diff(rows, axis=0)) / np.diff(times)[:, None]
        if (speed > np.array([c.velocity for c in limits]) * (1 + 1e-3)).any():
            return "velocity limit"
        if (np.abs(rows[0] - before) > np.array([c.jump for c in limits]) + TOLERANCE).any():
            return "jump limit"
        return ""

    def _on_status(self, msg: DiagnosticArray) -> None:
        for status in (s for s in msg.status if s.name == "policy_node: policy"):
            self.statuses.append(status.message)
            self._is_heard.set()
            self.policy_values |= {v.key: v.value for v in status.values}
        del self.statuses[:-100]

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.05)

    # ---- what the arm sends ---------------------------------------------------------------

    def _publish_forever(self) -> None:
        start = time.monotonic()
        next_image = dict.fromkeys(CAMERAS, start)
        next_joints = last_joints = start
        while not self._closing:
            now = time.monotonic()
            for name in CAMERAS:
                if now >= next_image[name]:
                    next_image[name] = max(next_image[name] + 1 / CAMERA_HZ, now - 0.1)
                    for msg in self.filters.image(name, self.image(name)):
                        self.cameras[name].publish(msg)
            if now >= next_joints:
                next_joints = max(next_joints + 1 / JOINT_HZ, now - 0.1)
                self.longest_gap_s = max(self.longest_gap_s, now - last_joints)
                last_joints = now
                for msg in self.filters.joints(self.joint_state()):
                    self.joints.publish(msg)
                if self._feels:
                    for msg in self.filters.wrench(self.wrench_stamped()):
                        self.wrench.publish(msg)
                    for msg in self.filters.vector(Float64MultiArray(data=[0.5, -0.5])):
                        self.vector.publish(msg)
            time.sleep(max(0.0, min(*next_image.values(), next_joints) - time.monotonic()))

    def image(self, name: str, stamp_ns: int | None = None) -> Image:
        """Return a good image, stamped now by default."""
        msg = Image()
        pixels = self._noise[random.randrange(len(self._noise))]
        fill_image(msg, pixels)
        msg.data[0] = random.randrange(256)
        set_stamp(msg.header.stamp, stamp_ns or self._now_ns())
        return msg

    def joint_state(self, stamp_ns: int | None = None) -> JointState:
        """Return a good joint state, stamped now by default."""
        msg = JointState(name=list(JOINTS), position=(self.position + self.glitch).tolist())
        if self._feels:
            msg.effort = [0.1] * len(JOINTS)
        set_stamp(msg.header.stamp, stamp_ns or self._now_ns())
        return msg

    def wrench_stamped(self, stamp_ns: int | None = None) -> WrenchStamped:
        """Return a good wrench, stamped now by default."""
        msg = WrenchStamped()
        msg.wrench.force.z = -9.81
        set_stamp(msg.header.stamp, stamp_ns or self._now_ns())
        return msg


def _compile(checkpoint: Path) -> None:
    from tinyvla_ros.policy.export.exporter import export_checkpoint

    export_checkpoint(checkpoint)


def _full_size(contract: RobotContract) -> PolicyConfig:
    """Return a configuration with the network of the shipped checkpoint."""
    shipped, config = PolicyConfig.load(default_checkpoint()), untrained_config(contract)
    views = dict.fromkeys(config.cameras, next(iter(shipped.cameras.values())))
    return config.model_copy(update={"cameras": views, "model": shipped.model,
                                     "diffusion": shipped.diffusion})
