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

"""A simulated arm that stands there like a real one: no episodes, no lock-step, the wall clock.

Its sensors publish from the start, and it follows whatever commands come. A person, a policy or a
script can use it; ``~/reset`` puts new objects on the table.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from sim_bridge.commands import read_chunk
from sim_bridge.make_environment import make_environment
from sim_bridge.metaworld.shared_scenes import success_topic
from sim_bridge.nodes.bridge_parameters import SimRobotParameters
from sim_bridge.nodes.camera_publisher import CameraPublisher
from sim_bridge.nodes.real_time import MAX_LAG_S, ControlSteps
from sim_bridge.nodes.sensor_publisher import SensorPublisher
from sim_bridge.nodes.simulation_thread import ending
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import fill_pose, time_to_ns
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import LATCHED, OK, SENSOR_QOS, WARN, Diagnostics, run_node

# A new scene is there within this, s.
RESET_S = 10.0
RESET, MOVE_GOAL = "reset", "move_goal"


class SimRobotNode(Node):
    """One thread simulates; others render; callbacks pass commands and the operator's requests."""

    def __init__(self):
        super().__init__("sim_robot_node")
        self.exit_code: int | None = None
        options = self._options = declare_parameters(self, SimRobotParameters)
        self._config = options.robot()
        self._arm = self._config.arm
        self._sensors = SensorPublisher(self, has_clock=False)
        self._images = CameraPublisher(self, self._config)
        self._commands = self._arm.command_topic("realtime")
        topics = [*self._sensors.topics, *self._images.topics]
        self._guard = RunGuard(self, options.run, "joint_states", topics)
        self._env = make_environment(options.task, self._config)
        self._lock = threading.Condition()
        self._command = None
        self._closing = False
        self._requested: set[str] = set()
        self._times_done: Counter[str] = Counter()
        self._seed, self._scenes, self._success = options.seed, 0, False
        self._began_ns = 0  # when the scene was there
        self._rejected = 0
        self._refusal = ""
        follows = self._arm.quantity == "position"
        self.create_subscription(JointTrajectory, self._commands,
                                 self._on_trajectory if follows else self._on_chunk, 10)
        self.create_service(Trigger, "~/reset", self._on_reset)
        if self._env.has_moving_goal:
            self.create_service(Trigger, "~/move_goal", self._on_move_goal)
        self._objects = {name: self.create_publisher(PoseStamped, f"simulation/{name}", SENSOR_QOS)
                         for name in self._env.objects()}
        self._success_publisher = self.create_publisher(Bool, "simulation/success", LATCHED)
        # What is done of a scene in which several tasks follow each other.
        self._done: dict[str, bool] = {}
        self._tasks = {task: self.create_publisher(Bool, success_topic(task), LATCHED)
                       for task in self._env.scene_tasks}
        self._description = self.create_publisher(String, "robot_description", LATCHED)
        if urdf := self._env.urdf():
            self._description.publish(String(data=urdf))
        self._diagnostics = Diagnostics(self, "simulated arm", self._arm.name, self._describe)
        self._worker = threading.Thread(target=self._work, name="simulation", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Stop the simulation thread."""
        self._closing = True
        self._worker.join(timeout=10.0)
        self._guard.release()

    def _on_trajectory(self, msg: JointTrajectory) -> None:
        self._follow(msg, msg)

    def _on_chunk(self, msg: JointTrajectory) -> None:
        try:
            chunk = read_chunk(self._arm, msg)
        except MessageError as err:
            self._on_refused(err)
            return
        self._follow(msg, chunk)

    def _follow(self, msg: JointTrajectory, command: JointTrajectory | ActionChunk) -> None:
        stamp = time_to_ns(msg.header.stamp)
        with self._lock:
            if not 0 < stamp < self._began_ns:
                self._command = command
                return
        self._on_refused(MessageError(
            f"{self._commands}: stamped {1e-9 * stamp:.3f} s, before this scene began at "
            f"{1e-9 * self._began_ns:.3f} s; send a command that is of this scene"))

    def _on_refused(self, err: MessageError) -> None:
        self._rejected, self._refusal = self._rejected + 1, str(err)
        self.get_logger().warning(str(err), throttle_duration_sec=1.0)

    def _on_reset(self, request, response):
        return self._asked(RESET, response, lambda: f"a new scene, seed {self._seed}")

    def _on_move_goal(self, request, response):
        return self._asked(MOVE_GOAL, response, lambda: "the goal is at another place")

    def _asked(self, what: str, response, done: Callable[[], str]):
        """Have the simulation do something; who asked goes on when it is done, not before."""
        if not self._scenes:
            response.message = "the first scene is still being made; ask again once it is there"
            return response
        with self._lock:
            before = self._times_done[what]
            self._requested.add(what)
            self._lock.wait_for(lambda: self._times_done[what] > before
                                or self.exit_code is not None, RESET_S)
            response.success = self._times_done[what] > before
            self._requested.discard(what)
        response.message = done() if response.success else \
            f"{what} was not done within {RESET_S:g} s"
        return response

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _work(self) -> None:
        with ending(self, lambda: self._closing):
            self._simulate()
        with self._lock:
            self._lock.notify_all()

    def _simulate(self) -> None:
        steps = None
        try:
            while not self._guard.settled and not self._closing:
                time.sleep(0.02)
            if self._closing:
                return  # stopped before it could begin, maybe refused beside another run
            steps = ControlSteps(self._arm, self._sensors, self._images,
                                 self._config.steps_between_images(self._options.camera_rate),
                                 self._take_command, self._on_refused)
            self._begin(steps)
            self.get_logger().info(
                f"{self._arm.name}: {self._options.task} is there, scene {self._seed}; commands "
                f"are taken from {self.resolve_topic_name(self._commands)}")
            due, count = time.perf_counter(), 0
            while not self._closing:
                if self._take(RESET):
                    steps.wait()
                    self._seed += 1
                    self._begin(steps)
                    due, count = time.perf_counter(), 0
                if self._take(MOVE_GOAL):
                    steps.wait()
                    self._move_goal()
                time.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() - due > MAX_LAG_S:
                    due = time.perf_counter()
                self._step(steps, count)
                due, count = due + self._arm.control_dt, count + 1
        finally:
            if steps is not None:
                steps.close()
            self._env.close()

    def _begin(self, steps: ControlSteps) -> None:
        self._env.stand(self._seed)
        self._success = False
        self._success_publisher.publish(Bool(data=False))
        self._tell_done()
        steps.begin(self._env, self._now_ns())
        with self._lock:
            # What was meant for the scene before must not move the arm in this one.
            self._command, self._began_ns = None, self._now_ns()
            self._scenes += 1
        self._tell(RESET)

    def _step(self, steps: ControlSteps, count: int) -> None:
        now_ns = self._now_ns()
        action = steps.before(self._env, now_ns, count)
        for name, (position, orientation) in self._env.objects().items():
            if self._objects[name].get_subscription_count():
                msg = PoseStamped()
                fill_pose(msg, now_ns, "world", map(float, position), map(float, orientation))
                self._objects[name].publish(msg)
        _, success = self._env.control(action)
        if success != self._success:
            self._success = success
            self._success_publisher.publish(Bool(data=success))

        # As often as images: the state goes through a second model for it.
        if count % self._config.camera_every == 0:
            self._tell_done()

    def _tell_done(self) -> None:
        """Publish what has changed about which tasks of the scene are done."""
        for task, done in self._env.successes().items():
            if self._done.get(task) != done:
                self._tasks[task].publish(Bool(data=done))
                self._done[task] = done

    def _move_goal(self) -> None:
        self._env.move_goal()
        self._tell_done()
        self._tell(MOVE_GOAL)

    def _take_command(self):
        with self._lock:
            return self._command, time.perf_counter()

    def _take(self, what: str) -> bool:
        with self._lock:
            is_requested = what in self._requested
            self._requested.discard(what)
        return is_requested

    def _tell(self, what: str) -> None:
        """Let who has asked for something go on."""
        with self._lock:
            self._times_done[what] += 1
            self._lock.notify_all()

    def _describe(self):
        values = {"task": self._options.task, "seed": self._seed, "scenes": self._scenes,
                  "success": self._success, "rejected commands": self._rejected,
                  "last_refusal": self._refusal}
        if not self.count_publishers(self._commands):
            return OK, f"nobody commands {self.resolve_topic_name(self._commands)}", values
        return (WARN, self._refusal, values) if self._rejected else \
            (OK, "commands are followed", values)


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros sim_robot_node``."""
    return run_node(SimRobotNode)
