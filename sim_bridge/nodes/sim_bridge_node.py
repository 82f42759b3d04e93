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

"""A simulated robot on ROS 2 topics, in lock-step with the policy or in real time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from sim_bridge.commands import read_chunk
from sim_bridge.episodes import EpisodeSpec
from sim_bridge.make_environment import make_environment
from sim_bridge.nodes.bridge_parameters import BridgeParameters
from sim_bridge.nodes.camera_publisher import CameraPublisher
from sim_bridge.nodes.real_time import ControlSteps, RealTimeRun
from sim_bridge.nodes.sensor_publisher import SensorPublisher
from sim_bridge.nodes.simulation_thread import ending
from sim_bridge.rollout import Episode
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.recorder_watch import RecorderWatch
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED, OK, WARN, Diagnostics, run_node

RESEND_AFTER_S = 1.0
POLICY = "policy_node"


class _Restart(Exception):
    """The operator reset the running episode, or it was disturbed."""


class _Stop(Exception):
    """The node is closing."""


class SimBridgeNode(Node):
    """One thread simulates; callbacks pass it chunks and the operator's requests.

    It renders, too; in real time other threads do.
    """

    def __init__(self):
        super().__init__("sim_bridge_node")
        self.exit_code: int | None = None
        self._options = declare_parameters(self, BridgeParameters, self._on_parameters)
        self._config = self._options.robot()
        self._sensors, self._images = SensorPublisher(self), CameraPublisher(self, self._config)
        topics = [*self._sensors.topics, *self._images.topics]
        # Before the simulation is built, which takes seconds.
        self._arm, self._is_real_time = self._options.arm, self._options.mode == "realtime"
        self._commands = self._arm.command_topic(self._options.mode)
        self._guard = RunGuard(self, self._options.run, "episode",
                               [*topics, "episode"], [self._commands])
        self._plan = self._options.plan()
        for task in self._options.tasks:
            self._config.instruction(task)
        self._envs = {t: make_environment(t, self._config) for t in self._options.tasks}
        self._changed = threading.Condition()
        # The newest command, and when it came: NaN for a hold.
        self._command: ActionChunk | JointTrajectory | None = None
        self._command_time = 0.0
        self._instruction = ""
        self._closing = self._restart_requested = False
        self._enabled = True
        self._rejected = 0
        self._state = (WARN, "waiting for a policy")
        self._instruction_publisher = self.create_publisher(String, "instruction", LATCHED)
        self._episode_publisher = self.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        follows = self._is_real_time and self._arm.quantity == "position"
        self.create_subscription(JointTrajectory, self._commands,
                                 self._on_trajectory if follows else self._on_chunk, 10)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._recorder = RecorderWatch(
            self, [*self._sensors.regular_topics, *self._images.topics, "instruction",
                   self._commands]) \
            if self._options.wait_for_recorder else None
        self._diagnostics = Diagnostics(self, "simulation", self._arm.name, self._describe)
        self._real_time = self._make_real_time() if self._is_real_time else None
        self._worker = threading.Thread(target=self._work, name="simulation", daemon=True)
        self._worker.start()

    def _make_real_time(self) -> RealTimeRun:
        every = self._config.steps_between_images(self._options.camera_rate)
        return RealTimeRun(
            ControlSteps(self._arm, self._sensors, self._images, every, self._newest_command,
                         self._on_refused), self._arm, every, self._pause)

    def close(self) -> None:
        """Stop the simulation thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join(timeout=10.0)
        self._guard.release()

    def _on_parameters(self, options: BridgeParameters, changed: set[str]) -> Callable[[], None]:
        def apply() -> None:
            self._options = options

        return apply

    def _on_chunk(self, msg: JointTrajectory) -> None:
        received = time.perf_counter()
        try:
            chunk = read_chunk(self._arm, msg)
        except MessageError as err:
            self._on_refused(err)
            return
        with self._changed:
            # A chunk without an instruction is a hold; in lock-step there is nothing to hold.
            hold = not msg.header.frame_id and self._is_real_time
            if not hold and msg.header.frame_id != self._instruction:
                return  # for the episode before; the policy will publish another
            self._command, self._command_time = chunk, math.nan if hold else received
            self._changed.notify_all()

    def _on_trajectory(self, msg: JointTrajectory) -> None:
        with self._changed:
            self._command, self._command_time = msg, time.perf_counter()

    def _on_refused(self, err: MessageError) -> None:
        self._rejected += 1
        self.get_logger().warning(str(err), throttle_duration_sec=1.0)

    def _on_enable(self, request, response):
        with self._changed:
            self._enabled = request.data
            self._changed.notify_all()
        response.success, response.message = True, "running" if request.data else "paused"
        return response

    def _on_reset(self, request, response):
        with self._changed:
            response.success = self._restart_requested = bool(self._instruction)
            self._changed.notify_all()
        response.message = "the episode starts again" if response.success else \
            "no episode has begun"
        return response

    def _work(self) -> None:
        with ending(self, lambda: self._closing):
            self._simulate()

    def _simulate(self) -> None:
        try:
            self._wait_for_policy()
            for spec in self._plan:
                while True:
                    try:
                        self._run_episode(spec)
                        break
                    except _Restart:
                        if self._real_time is not None:
                            self._real_time.abort()
                        self._publish_event(spec, ABORT, {})
            self._state = (OK, "all episodes done")
        except _Stop:
            pass
        finally:
            if self._real_time is not None:
                self._real_time.close()
            for env in self._envs.values():
                env.close()  # in the thread that owns the OpenGL context

    def _wait_for_policy(self) -> None:
        deadline = time.monotonic() + self._options.start_timeout
        while not (self._guard.settled and self._images.is_discovered()
                   and self._has_policy()):
            if time.monotonic() > deadline:
                raise InputError(f"No policy appeared within {self._options.start_timeout} s; "
                                 "start policy_node in the same ROS_DOMAIN_ID, enabled.")
            self._pause(0.05)
        while self._recorder is not None and not self._recorder.is_complete():
            if time.monotonic() > deadline:
                raise InputError(f"No recorder subscribed to every topic within "
                                 f"{self._options.start_timeout} s; start "
                                 "episode_recorder_node, or leave wait_for_recorder out.")
            self._pause(0.05)

    def _has_policy(self) -> bool:
        # Of a run that one command started, only its own policy counts.
        return self.count_publishers(self.resolve_topic_name(self._commands)) > 0 and (
            not self._options.run or self._guard.has_begun(POLICY))

    def _check_alone(self) -> None:
        """Run an episode again into which another publisher may have mixed its messages."""
        if self._guard.others():
            while self._guard.others():
                self._check_requests()
                self._changed.wait(0.05)
            raise _Restart

    def _run_episode(self, spec: EpisodeSpec) -> None:
        with self._changed:
            self._restart_requested = False
            self._command = None
            self._instruction = self._config.instruction(spec.task)
        self._instruction_publisher.publish(String(data=self._instruction))
        self._publish_event(spec, BEGIN, {"instruction": self._instruction})
        self._state = (OK, f"episode {spec.index + 1} of {len(self._plan)}: {spec.task}")
        episode = Episode(self._envs[spec.task], spec, horizon=self._options.most_steps,
                          after_success=self._options.after_success)
        run = self._lockstep if self._real_time is None else self._real_time.run
        values, latencies = run(episode)
        result = episode.result()
        self._publish_event(spec, END, {
            "success": result.success, "steps": result.steps, "return": result.episode_return,
            "chunks": len(latencies), "latency_ms": latencies,
            "conditions": self._conditions(spec.task), **values})

    def _conditions(self, task: str) -> dict[str, object]:
        """Return how an episode was run, for who records it."""
        options = self._options
        found = self._config.described(task, list(self._config.cameras))
        found |= {"mode": options.mode, "horizon": options.most_steps}
        found |= {"after_success": options.after_success} if options.after_success else {}
        return found if self._real_time else found | {"n_action_steps": options.n_action_steps}

    def _lockstep(self, episode: Episode) -> tuple[dict, list[float]]:
        latencies = []
        while not episode.done:
            sent = time.perf_counter()
            chunk, received = self._exchange(episode)
            latencies.append(1e3 * (received - sent))
            episode.execute(chunk, self._options.n_action_steps)
        self._publish_observation(episode)
        return {}, latencies

    def _exchange(self, episode: Episode) -> tuple[ActionChunk, float]:
        """Publish an observation, again if no chunk comes; return its chunk and arrival time."""
        deadline = time.monotonic() + self._options.chunk_timeout
        while time.monotonic() < deadline:
            self._publish_observation(episode)
            resend = time.monotonic() + RESEND_AFTER_S
            with self._changed:
                while True:
                    self._check_requests()
                    self._check_alone()
                    if self._command is not None and \
                            self._command.stamp_ns == episode.stamp_ns:
                        return self._command, self._command_time
                    left = resend - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
        raise InputError(f"No chunk came within {self._options.chunk_timeout} s; see the reason "
                         "in /diagnostics of policy_node.")

    def _publish_observation(self, episode: Episode) -> None:
        self._sensors.publish(episode.env, episode.stamp_ns)
        for name in self._images.cameras:
            self._images.publish(name, episode.stamp_ns, episode.env.render_camera)

    def _newest_command(self) -> tuple[ActionChunk | JointTrajectory | None, float]:
        with self._changed:
            self._check_alone()
            return self._command, self._command_time

    def _pause(self, seconds: float) -> None:
        """Check the operator's requests, then wait."""
        deadline = time.perf_counter() + seconds
        with self._changed:
            self._check_requests()
        left = deadline - time.perf_counter()
        if left > 0:
            time.sleep(left)

    def _check_requests(self) -> None:
        while not self._enabled and not self._closing:
            self._changed.wait()
        if self._closing:
            raise _Stop
        if self._restart_requested:
            raise _Restart

    def _publish_event(self, spec: EpisodeSpec, kind: str, values: dict) -> None:
        msg = DiagnosticStatus()
        EpisodeEvent.make(kind, {
            "index": spec.index, "total": len(self._plan), "task": spec.task,
            "seed": spec.seed, "start_ns": spec.start_ns, "run": self._guard.run, **values,
        }).fill(msg, KeyValue, "sim_bridge_node: episode", self._arm.name)
        self._episode_publisher.publish(msg)
        self._diagnostics.publish()

    def _describe(self):
        values = {"mode": self._options.mode, "rejected chunks": self._rejected,
                  "enabled": self._enabled}
        if self._real_time is not None:
            values |= self._real_time.describe()
        return (*self._state, values)


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros sim_bridge_node``."""
    return run_node(SimBridgeNode)
