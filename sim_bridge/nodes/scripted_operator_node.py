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

"""A person at the SO-101 in a script: it moves a leader arm and presses buttons, nothing else.

It sees the arm and the objects on topics, and sends what a leader arm and a gamepad would send:
``leader/joint_states`` and ``joy``. ``teleop_node`` cannot tell it from a person, so it shows the
whole way to a policy without hardware, and tests it. With ``takeover_after`` it watches a policy
instead, which ``policy_node`` runs with a leader arm, and takes over where that does not succeed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool, Trigger

from sim_bridge.arms import SO101
from sim_bridge.nodes.bridge_parameters import OperatorParameters
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.so101.operator import ScriptedOperator
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import (
    EPISODE_QOS,
    LATCHED,
    OK,
    SENSOR_QOS,
    Diagnostics,
    run_node,
)
from tinyvla_ros.teleop.mapping import Mapping

# A button is held so long, s: longer than a gamepad's messages are apart.
PRESS_S = 0.12
# A scene counts as new, and at rest, when its objects have not moved for so long, s.
SETTLED_S = 0.4
# The hand stays so long before the button is pressed, after success and without it, s.
LOOK_S, HOPE_S = 0.3, 1.0
# An arm that is further than this from where it is led to, rad, and stays so, s, does not follow.
BEHIND, BEHIND_S = 0.3, 1.0
# Of the errors with which a demonstration of pick-and-place begins, so many are a cube beside the
# mark; the others are an arm astray.
MISPLACED = 0.3
# Whoever took over tries so often before the episode is a failure.
TRIES = 3
# A button that had no effect by then is pressed again, s.
AGAIN_S = 1.0


class ScriptedOperatorNode(Node):
    """Leads through one demonstration after the other, until enough are kept."""

    def __init__(self):
        super().__init__("scripted_operator_node")
        self.exit_code: int | None = None
        options = self._options = declare_parameters(self, OperatorParameters)
        self._mapping = Mapping.load(options.mapping)
        self._operator = ScriptedOperator(SO101.control_dt)
        self._poses: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._moved = time.monotonic()  # when an object moved last
        self._joints: np.ndarray | None = None
        self._success, self._force = False, 0.0
        self._event = ""  # the last one of teleop_node
        self._leader: np.ndarray | None = None  # where the leader arm is
        self._buttons: dict[int, float] = {}  # held until, steady s
        self._kept = self._discarded = self._takeovers = 0
        self._doing = self._wait_for_scene()
        self._leader_publisher = self.create_publisher(JointState, "leader/joint_states",
                                                       SENSOR_QOS)
        self._joy = self.create_publisher(Joy, "joy", SENSOR_QOS)
        self._guard = RunGuard(self, options.run, "joy",
                               [self._leader_publisher.topic_name, self._joy.topic_name])
        for name in ("cube", "mark"):
            self.create_subscription(PoseStamped, f"simulation/{name}",
                                     lambda msg, name=name: self._on_pose(name, msg), SENSOR_QOS)
        self.create_subscription(JointState, "joint_states", self._on_joints, SENSOR_QOS)
        if options.task == "so101-touch":
            self.create_subscription(WrenchStamped, "wrench", self._on_wrench, SENSOR_QOS)
        self.create_subscription(Bool, "simulation/success", self._on_success, LATCHED)
        self.create_subscription(DiagnosticStatus, "episode", self._on_episode, EPISODE_QOS)
        if options.takeover_after:
            self._events = self.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
            self._words = self.create_publisher(String, "instruction", LATCHED)
            self._words.publish(String(data=self._instruction))
            self._enable = self.create_client(SetBool, "policy_node/enable")
            self._new_scene = self.create_client(Trigger, "sim_robot_node/reset")
        self._diagnostics = Diagnostics(self, "operator", "", self._describe)
        self.create_timer(SO101.control_dt, self._tick,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Release what this run had for itself."""
        self._guard.release()

    # ---- what it sees ---------------------------------------------------------------------

    def _on_pose(self, name: str, msg: PoseStamped) -> None:
        p, q = msg.pose.position, msg.pose.orientation
        pose = np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])
        before = self._poses.get(name)
        if before is None or np.abs(before[0] - pose[0]).max() > 1e-4:
            self._moved = time.monotonic()
        self._poses[name] = pose

    def _on_joints(self, msg: JointState) -> None:
        found = dict(zip(msg.name, msg.position, strict=False))
        if all(name in found for name in SO101.joints):
            self._joints = np.array([found[name] for name in SO101.joints])

    def _on_wrench(self, msg: WrenchStamped) -> None:
        # The tool points down: what pushes it along its x is the table.
        self._force = float(np.hypot(msg.wrench.force.y, msg.wrench.force.z))

    def _on_success(self, msg: Bool) -> None:
        self._success = msg.data

    def _on_episode(self, msg: DiagnosticStatus) -> None:
        event = EpisodeEvent.read(msg)
        self._event = event.kind
        if event.kind == END:
            self._kept += 1

    # ---- what it does ---------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._guard.settled or self._joints is None:
            return
        if self._leader is None:
            self._leader = self._joints.copy()
        try:
            next(self._doing)
        except StopIteration:
            if self._kept >= self._options.episodes:
                self.get_logger().info(self._summary)
                self.exit_code = 0
                return
            self._doing = self._attend() if self._options.takeover_after else self._demonstrate()
        self._publish()

    def _publish(self) -> None:
        now_ns, now_s = self.get_clock().now().nanoseconds, time.monotonic()
        leader = JointState(name=list(SO101.joints), position=self._leader.tolist())
        set_stamp(leader.header.stamp, now_ns)
        self._leader_publisher.publish(leader)
        joy = Joy(axes=[0.0] * self._mapping.needed_axes,
                  buttons=[0] * self._mapping.needed_buttons)
        for axis, trigger in self._mapping.triggers.items():
            joy.axes[axis] = trigger.rest
        for number, until_s in self._buttons.items():
            joy.buttons[number] = int(now_s < until_s)
        set_stamp(joy.header.stamp, now_ns)
        self._joy.publish(joy)

    def _press(self, number: int, seconds: float = PRESS_S) -> None:
        self._buttons[number] = time.monotonic() + seconds

    def _wait_for_scene(self) -> Iterator[None]:
        """Wait until the objects lie still, all hands off; then take the leader to the arm."""
        self._buttons.clear()
        began = time.monotonic()
        while len(self._poses) < 2 or time.monotonic() - max(began, self._moved) < SETTLED_S:
            yield
        self._leader = self._joints.copy()

    def _demonstrate(self) -> Iterator[None]:
        buttons, dead_man = self._mapping.episode, self._mapping.dead_man
        rng = np.random.default_rng([self._options.seed, self._kept, self._discarded])
        if rng.random() < self._options.astray and self._options.task != "so101-touch":
            for joints in self._err(rng):
                self._leader = joints
                self._press(dead_man)
                yield
        was_done = self._success  # by mistake, which shows nothing
        yield from self._press_until(buttons.start, dead_man, (BEGIN,))
        yield from self._show(rng)
        succeeded = self._success and not was_done
        self._discarded += not succeeded
        yield from self._press_until(buttons.success if succeeded else buttons.discard, None,
                                     (END, ABORT))
        yield from self._wait_for_scene()

    def _show(self, rng: np.random.Generator) -> Iterator[None]:
        """Lead through the task from where the arm is, and look at what came of it."""
        followed = time.monotonic()
        for joints in self._operator.demonstrate(
                self._options.task, self._poses["cube"], self._poses["mark"], self._leader, rng,
                lambda: self._force, lambda: self._joints):
            self._leader = joints
            self._press(self._mapping.dead_man)
            yield
            if np.abs(self._joints - joints)[:5].max() < BEHIND:
                followed = time.monotonic()
            if self._success or time.monotonic() - followed > BEHIND_S:
                break
        since = time.monotonic()
        while time.monotonic() - since < (LOOK_S if self._success else HOPE_S):
            self._press(self._mapping.dead_man)
            yield

    def _attend(self) -> Iterator[None]:
        """Watch the policy in a new scene; take the arm if it has not succeeded in time."""
        rng = np.random.default_rng([self._options.seed, self._kept])
        yield from self._ask(self._enable, SetBool.Request(data=False))
        yield from self._ask(self._new_scene, Trigger.Request())
        yield from self._wait_for_scene()
        self._publish_event(BEGIN)
        yield from self._ask(self._enable, SetBool.Request(data=True))
        until_s = time.monotonic() + self._options.takeover_after
        while not self._success and time.monotonic() < until_s:
            self._leader = self._joints.copy()  # near the arm, to follow at once
            yield
        self._takeovers += not self._success
        for _ in range(TRIES):
            if self._success:
                break
            yield from self._show(rng)
        self._publish_event(END, success=str(self._success).lower())
        self._buttons.clear()
        yield from self._ask(self._enable, SetBool.Request(data=False))

    def _ask(self, client, request) -> Iterator[None]:
        """Call a service, again until the answer is yes."""
        while True:
            while not client.service_is_ready():
                yield
            future = client.call_async(request)
            while not future.done():
                yield
            if future.result().success:
                return
            self.get_logger().warning(f"{client.srv_name}: {future.result().message}",
                                      throttle_duration_sec=10.0)
            since = time.monotonic()
            while time.monotonic() - since < AGAIN_S:
                yield

    def _publish_event(self, kind: str, **values: str) -> None:
        """Tell the recorder of an episode, as a person would by its services."""
        msg = DiagnosticStatus()
        EpisodeEvent.make(kind, {
            "index": self._kept, "total": self._options.episodes, "task": self._options.task,
            "instruction": self._instruction, **values}).fill(
            msg, KeyValue, f"{self.get_name()}: episode")
        self._events.publish(msg)

    @property
    def _instruction(self) -> str:
        task, config = self._options.task, self._options.config
        return SimulatedRobotConfig.for_tasks([task], config).instruction(task)

    def _err(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Bring arm or cube to where a policy's errors bring them; not recorded."""
        cube, mark = self._poses["cube"], self._poses["mark"][0][:2]
        if self._options.task == "so101-pick-place" and rng.random() < MISPLACED:
            return self._operator.misplace(cube, mark, self._leader, rng, lambda: self._joints)
        return self._operator.go_astray(cube[0][:2] if rng.random() < 0.7 else mark, self._leader,
                                        rng)

    def _press_until(self, button: int, held: int | None, kinds: tuple[str, ...]
                     ) -> Iterator[None]:
        """Press a button, again if nothing follows, until an event came; hold another one."""
        self._event, again = "", 0.0
        while self._event not in kinds:
            if held is not None:
                self._press(held)
            if time.monotonic() > again:
                self._press(button)
                again = time.monotonic() + AGAIN_S
            yield

    @property
    def _summary(self) -> str:
        if self._options.takeover_after:
            return f"{self._kept} episodes, {self._takeovers} of them with a takeover"
        return f"{self._kept} demonstrations are shown, {self._discarded} were thrown away"

    def _describe(self):
        return OK, self._summary, {
            "wanted": self._options.episodes, "kept": self._kept, "discarded": self._discarded,
            "takeovers": self._takeovers, "success": self._success}


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros scripted_operator_node``."""
    return run_node(ScriptedOperatorNode)
