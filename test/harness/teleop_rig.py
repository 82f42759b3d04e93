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

"""A person at a gamepad or a leader arm, a real teleop node, and the dry-run arm it drives.

The person's messages come from this process; tests and benchmarks break them. Every command of
the node is judged by the robot contract.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from harness.left_over import new_context, popen
from harness.received_command import CommandJudge, ReceivedCommand
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.resources import share_directory, use_middleware_profile
from tinyvla_ros.core.ros.episode_event import EpisodeEvent
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED
from tinyvla_ros.nodes.shared.sent_request import SentRequest
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.start.executables import PARENT
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings

# Of the mapping game_controller.
AXES, BUTTONS, DEAD_MAN, MODE = 6, 21, 10, 6
START, SUCCESS, FAILURE, DISCARD, NEXT = 3, 11, 12, 13, 14
RATE_HZ = 50.0
LIMIT_S = 60.0
# Longer than a process may be held up on a busy machine, s.
PAUSE_S = 3.0
# An arm whose place does not change for so long stands still, s.
STILL_S = 0.2
# What an arm of a dry run shows, where nobody looks: nodes of several tests share the cores.
SMALL_IMAGES = {"width": 96, "height": 96}
_NUMBERS = itertools.count(1)


class TeleopRig:
    """The person, the node, and the arm: of a dry run, or simulated with a task's physics.

    Attributes:
        axes, buttons: what the next messages of the gamepad hold.
        joy: what becomes of each message of the gamepad.
        leader: joint -> position of the leader arm; empty while there is none.
        leader_joy: what becomes of each message of the leader.
        commands: all trajectories so far.
        wrong: what was wrong with commands.
        statuses: messages of the node on /diagnostics.
        values: its newest values there.
        checkpoint: a policy of the arm, untrained by default.
        driver: the node that drives the arm: teleop_node, or policy_node with a takeover.
        path: of the robot contract.
        namespace: of the nodes.
        events: episode events so far.
        commanders: who commanded, as published.
        periods: in which the person sent something, or would have.
        states: joint states so far.
    """

    def __init__(self, place: Path, robot: str = "so101", starts_node: bool = True,
                 driver: str = "teleop_node", remappings: Mapping[str, str] = {},
                 arm: Mapping[str, object] | None = None, camera_rate: float = 0.0, task: str = "",
                 checkpoint: Path | None = None, **parameters):
        contract = yaml.safe_load(
            (share_directory() / "config" / "robots" / f"{robot}.yaml").read_text())
        # A busy machine may hold this process, or the node, up for longer than it allows.
        contract["stamps"] = {**contract.get("stamps", {}), "max_age": PAUSE_S}
        for camera in contract["cameras"].values():
            camera |= {"rate": camera_rate} if camera_rate else {}
        path = place / "robot.yaml"
        path.write_text(yaml.safe_dump(contract, sort_keys=False))
        self.contract = RobotContract.load(path)
        self._output = self.contract.outputs[0]
        self.channels = tuple(self._output.channels)
        self._judge = CommandJudge(self.contract)
        self.low, self.high = self._judge.low, self._judge.high
        self._place, self.path, self._parameters = place, path, parameters
        self._starts_node, self.driver, self._remappings = starts_node, driver, remappings
        self._task = task
        self._arm = ({} if task else SMALL_IMAGES) if arm is None else arm
        self.checkpoint = checkpoint or place / "checkpoint"
        if not self.checkpoint.exists():
            write_untrained_checkpoint(self.contract, self.checkpoint)
        self.axes, self.buttons = [0.0] * AXES, [0] * BUTTONS
        self.joy: Callable[[Joy], Iterable[Joy]] = lambda msg: [msg]
        self.leader: dict[str, float] = {}
        self.leader_joy: Callable[[JointState], Iterable[JointState]] = lambda msg: [msg]
        self.commands: list[ReceivedCommand] = []
        self.wrong: list[str] = []
        self.statuses: list[str] = []
        self.values: dict[str, str] = {}
        self.events: list[EpisodeEvent] = []
        self.commanders: list[str] = []
        self.state: dict[str, float] = {}
        self.periods = self.states = 0
        use_middleware_profile()
        self._context = new_context()
        # Several may be there at a time.
        self.namespace = f"person_{next(_NUMBERS)}"
        self.node = rclpy.create_node("person", namespace=self.namespace, context=self._context)
        self.publisher = self.node.create_publisher(Joy, "joy", 10)
        self.leader_publisher = self.node.create_publisher(JointState, "leader/joint_states", 10)
        for kind, topic, callback, qos in (
                (JointTrajectory, self._output.topic, self._on_command, 50),
                (JointState, self.contract.joint_states.topic, self._on_state, 50),
                (DiagnosticArray, "/diagnostics", self._on_status, 50),
                (DiagnosticStatus, "episode", lambda m: self.events.append(EpisodeEvent.read(m)),
                 EPISODE_QOS),
                (String, f"{driver}/commander", lambda m: self.commanders.append(m.data),
                 LATCHED)):
            self.node.create_subscription(kind, topic, callback, qos)
        for output in self.contract.outputs[1:]:
            self.node.create_subscription(
                Float64MultiArray, output.topic,
                lambda m, o=output: self.wrong.extend(self._judge.positions(o, m)), 50)
        self.resets = 0
        self.node.create_service(Trigger, "new_scene", self._on_reset)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._closing = False
        self._wake = threading.Event()
        self.processes: dict[str, subprocess.Popen] = {}
        self._threads = [threading.Thread(target=self._spin, daemon=True),
                         threading.Thread(target=self._publish_forever, daemon=True)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> TeleopRig:
        if self._task:
            self.start("sim_robot_node", task=self._task, **self._arm)
            # A dry run tells the policy itself.
            self.node.create_publisher(String, self.contract.instruction, LATCHED).publish(
                String(data=PolicyConfig.load(self.checkpoint).instructions[0]))
        else:
            self.start("dry_run_arm_node", robot=str(self.path),
                       checkpoint=str(self.checkpoint), **self._arm)
        if not self._starts_node:
            return self
        checkpoint = {"checkpoint": str(self.checkpoint)} \
            if self.driver == "policy_node" else {}
        self.start(self.driver, robot=str(self.path),
                   **{"input_timeout": PAUSE_S, **checkpoint, **self._parameters})
        self.wait(lambda: self.state and self._node_hears(), "the node and the arm")
        return self

    def _node_hears(self) -> bool:
        """Return whether the node has got messages of everything that it needs of the arm."""
        ages = [v for k, v in self.values.items() if k.startswith("age_s ")]
        return bool(ages) and "never" not in ages

    def __exit__(self, *error) -> None:
        for process in self.processes.values():
            self._end(process)
        self._closing = True
        for thread in self._threads:
            thread.join(5.0)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    # ---- processes ------------------------------------------------------------------------

    def start(self, executable: str, **parameters) -> None:
        """Start a node."""
        log = (self._place / f"{executable}.log").open("a")
        self.processes[executable] = popen(
            node_command(NodeDescription(
                executable, parameters, NodeSettings(namespace=self.namespace),
                self._remappings if executable == self.driver else {})),
            of_rig=True, stdout=log, stderr=log,
            env={**os.environ, PARENT: str(os.getpid())})  # ends with this process
        log.close()

    def signal(self, executable: str, number: int) -> None:
        """Send a node a signal."""
        self.processes[executable].send_signal(number)

    def log(self, executable: str = "") -> str:
        """Return what a node printed, by default the one that drives."""
        path = self._place / f"{executable or self.driver}.log"
        return path.read_text() if path.exists() else ""

    @staticmethod
    def _end(process: subprocess.Popen) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # ---- the person -----------------------------------------------------------------------

    def press(self, *buttons: int) -> None:
        """Hold buttons down, from the next message on."""
        for button in buttons:
            self.buttons[button] = 1
        self._wake.set()

    def release(self, *buttons: int) -> None:
        """Let go of buttons; of all without a name."""
        for button in buttons or range(len(self.buttons)):
            self.buttons[button] = 0
        self._wake.set()

    def tap(self, button: int, condition: Callable[[], object], what: str) -> None:
        """Press a button until something comes of it, so that no pause swallows it."""
        self.press(button)
        self.wait(condition, what)
        self.release(button)
        self.until_sent(5)

    def push(self, axis: int, value: float) -> None:
        """Deflect an axis, from the next message on."""
        self.axes[axis] = value
        self._wake.set()

    def let_go(self) -> None:
        """Everything at rest, all messages good."""
        self.joy = lambda msg: [msg]
        self.leader_joy = lambda msg: [msg]
        self.axes, self.buttons = [0.0] * AXES, [0] * BUTTONS
        self.until_sent(5)

    def until_sent(self, count: int) -> None:
        """Wait until some more messages were sent."""
        before = self.periods
        self.wait(lambda: self.periods >= before + count, "messages")

    def engage(self) -> None:
        """Hold the dead man and wait until the node runs.

        After a pause of the machine it must be pressed again, as by any person.
        """
        while True:
            self.let_go()
            self.wait(lambda: "running" not in self.status, "the release")
            self.press(DEAD_MAN)
            self.wait(lambda: self.status == "running" or self.must_release, "running")
            if self.status == "running":
                return

    @property
    def is_held(self) -> bool:
        """Whether the last command is a hold, or had ended before one was needed."""
        return self.commands[-1].is_hold or self.commander == ""

    @property
    def must_release(self) -> bool:
        """Whether the dead man must be released before it counts again."""
        return "release it first" in self.status

    # ---- what the node does ---------------------------------------------------------------

    @property
    def status(self) -> str:
        """The newest message of the node."""
        return self.statuses[-1] if self.statuses else ""

    @property
    def commander(self) -> str | None:
        """Who commands, as published last: empty if nobody does, None before it is known."""
        return self.commanders[-1] if self.commanders else None

    def wait(self, condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + limit_s
        while not condition():
            dead = [n for n, p in self.processes.items() if p.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come; status: {self.status!r}, ended: {dead}\n"
                                   f"{self.log()[-3000:]}")
            time.sleep(0.001)

    def wait_status(self, text: str) -> None:
        """Wait until the node's message has a text."""
        self.wait(lambda: text in self.status, f"status {text!r}")

    def wait_rest(self) -> None:
        """Wait until nothing moves the arm any more, and it stands still."""
        self.wait(lambda: not self.commands or self.is_held, "a hold")
        self.wait_still()

    def wait_still(self) -> None:
        """Wait until the arm stands still, held or not."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            place, states, since_s = self.position, self.states, time.monotonic()
            # What queued up during a pause comes all at once.
            self.wait(lambda since=states, then=since_s + STILL_S: self.states > since + 10
                      and time.monotonic() > then, "joint states")
            if np.abs(self.position - place).max() < 1e-4:
                return
            assert time.monotonic() < deadline, "the arm never came to rest"

    @property
    def has_position(self) -> bool:
        """Whether it is known; channels that are increments are no places."""
        return all(n in self.state for n in self.channels)

    @property
    def position(self) -> np.ndarray:
        """(channels,) of the arm."""
        return np.array([self.state[n] for n in self.channels])

    def call(self, name: str, request):
        """Call a service of the node."""
        kind = {SetBool.Request: SetBool, Trigger.Request: Trigger}[type(request)]
        client = self.node.create_client(kind, f"{self.driver}/{name}")
        try:
            assert client.wait_for_service(LIMIT_S), name
            sent = SentRequest(client, request, repeats=True)  # as a person would press again
            self.wait(sent.poll, f"an answer of {name}")
            return sent.answer
        finally:
            self.node.destroy_client(client)

    def _on_command(self, msg: JointTrajectory) -> None:
        command, wrong = self._judge.trajectory(msg, self.position if self.has_position else None)
        self.wrong += wrong
        if command is not None:
            self.commands.append(command)

    def _on_state(self, msg: JointState) -> None:
        names = {v: k for k, v in self.contract.joint_names.items()}
        self.states += 1
        self.state |= {names.get(n, n): p for n, p in zip(msg.name, msg.position, strict=True)}

    def _on_status(self, msg: DiagnosticArray) -> None:
        name = f"{self.namespace}/{self.driver}: {self.driver.removesuffix('_node')}"
        for status in (s for s in msg.status if s.name == name):
            self.values |= {v.key: v.value for v in status.values}
            self.statuses.append(status.message)

    def _on_reset(self, request, response):
        self.resets += 1
        response.success = True
        return response

    def _spin(self) -> None:
        while not self._closing:
            self._executor.spin_once(timeout_sec=0.05)

    # ---- what the person sends ------------------------------------------------------------

    def now_ns(self) -> int:
        """ROS time."""
        return self.node.get_clock().now().nanoseconds

    def joy_message(self) -> Joy:
        """Return a good message of the gamepad."""
        msg = Joy(axes=list(self.axes), buttons=list(self.buttons))
        set_stamp(msg.header.stamp, self.now_ns())
        return msg

    def leader_message(self) -> JointState:
        """Return a good message of the leader."""
        msg = JointState(name=list(self.leader), position=list(self.leader.values()))
        set_stamp(msg.header.stamp, self.now_ns())
        return msg

    def _publish_forever(self) -> None:
        while not self._closing:
            for msg in self.joy(self.joy_message()):
                self.publisher.publish(msg)
            self.periods += 1
            if self.leader:
                for msg in self.leader_joy(self.leader_message()):
                    self.leader_publisher.publish(msg)
            self._wake.wait(1.0 / RATE_HZ)
            self._wake.clear()
