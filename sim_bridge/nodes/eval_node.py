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

"""Collect the results of a run of the bridge, write them, and end the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from pydantic import Field, Json
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Float32
from trajectory_msgs.msg import JointTrajectory

from sim_bridge.episodes import RunParameters
from sim_bridge.protocol import Protocol, trained_with
from sim_bridge.results.film_strip import write_film_strip
from sim_bridge.results.monitor_tally import ALARM, DONE, MonitorTally
from sim_bridge.results.writing import (
    EpisodeRecord,
    RealTimeFigures,
    ResultsWriter,
    protocol,
    real_time_protocol,
    table,
)
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.pace import PaceOption
from tinyvla_ros.bags.topics import POLICY_CHUNK
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.resources import default_checkpoint, robot_file
from tinyvla_ros.core.ros.episode_event import END, EpisodeEvent
from tinyvla_ros.core.ros.messages import (
    image_to_array,
    stamp_to_ns,
    trajectory_to_chunk,
)
from tinyvla_ros.monitor.interface import DONE_TOPIC, SCORE_TOPIC
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import (
    EPISODE_QOS,
    OK,
    SENSOR_QOS,
    WARN,
    Diagnostics,
    run_node,
)
from tinyvla_ros.nodes.shared.topics import subscribe_to_all
from tinyvla_ros.policy.config import PolicyConfig


class EvaluationParameters(RunParameters):
    """Parameters of ``eval_node``."""

    checkpoint: str = Field("", description="Checkpoint under evaluation; empty for the shipped "
                                            "one.")
    out: str = Field("results", description="Directory for results.json, episodes.jsonl and "
                                            "images.")
    policy_seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of policy_node.")
    join: str = Field("replace", description="How policy_node blends chunks, to be recorded.")
    pace: PaceOption = 0.0
    extra_latency: float = Field(0.0, ge=0.0, le=10.0,
                                 description="Latency that policy_node adds, s, to be "
                                 "recorded.")
    policy_backend: str = Field("", description="What runs the network of policy_node, with its "
                                "version, to be recorded.")
    policy_sample_steps: int = Field(
        0, ge=0, le=1000, description="Sampling steps of policy_node, to be recorded; 0 for the "
        "checkpoint's own.")


class EvalNode(Node):
    """Collect ``episode`` events until the run is complete; then write, print and exit."""

    def __init__(self):
        super().__init__("eval_node")
        self.exit_code: int | None = None
        self._options = declare_parameters(self, EvaluationParameters)
        self._guard = RunGuard(self, self._options.run, "episode")
        self._run = self._options.run  # whose events count; the first one's if none is given
        self._ignored = ""
        path = self._options.checkpoint or str(default_checkpoint())
        self._config = PolicyConfig.load(path)
        self._digest = checkpoint_digest(path)
        self._robot = SimulatedRobotConfig.of(self._options.tasks, self._options.scenes)
        self._protocol = Protocol.load(self._options.protocol) if self._options.protocol else None
        self._demonstrations = trained_with(path)
        if self._protocol is not None:
            self._protocol.check_policy(self._config, self._demonstrations)
        self._cameras = list(self._robot.with_cameras(self._config.cameras).cameras)
        self._plan = self._options.plan()
        self._writer = ResultsWriter(self._options.out)
        self._real_time: list[RealTimeFigures] = []
        self._paces: dict[int, list[float]] = defaultdict(list)  # by episode
        self._seen: set[int] = set()
        # A film strip is made of the first episode of every task; its images are kept by stamp.
        self._filmed = {s.index: s for s in self._plan if s.seed == self._options.seed}
        self._frames: dict[int, dict[int, dict]] = {index: {} for index in self._filmed}
        self._films: list[Subscription] = []
        self._film(range(2))
        self.create_subscription(JointTrajectory, POLICY_CHUNK, self._on_policy_chunk, 100)
        self._tally, self._chunk_of = MonitorTally(), -1  # the episode of the newest chunk
        for topic, what in ((DONE_TOPIC, DONE), (SCORE_TOPIC, ALARM)):
            self.create_subscription(Float32, f"policy_node/{topic}", lambda m, what=what:
                                     self._tally.add(self._chunk_of, what, m.data), 100)
        subscribe_to_all(self, DiagnosticStatus, "episode", self._on_episode, EPISODE_QOS.depth)
        self._diagnostics = Diagnostics(self, "evaluation", "", self._describe)

    def close(self) -> None:
        """Release what this run had for itself."""
        self._guard.release()

    def _describe(self):
        values = {"run": self._run, "episodes": len(self._seen), "of": len(self._plan),
                  "successes": sum(r.success for r in self._writer.records),
                  "results": self._writer.out}
        if self._ignored:
            return WARN, self._ignored, values
        return OK, "complete" if len(self._seen) == len(self._plan) else "waiting for episodes", \
            values

    def _film(self, indices: range) -> None:
        """Subscribe to the cameras while one of these episodes is filmed.

        Not always, because every image that comes here takes time from the policy.
        """
        wanted = not self._filmed.keys().isdisjoint(indices)
        if wanted and not self._films:
            self._films = [self.create_subscription(
                Image, f"camera/{camera}/image_raw",
                lambda msg, camera=camera: self._on_image(camera, msg), SENSOR_QOS)
                for camera in self._cameras]
        elif self._films and not wanted:
            for subscription in self._films:
                self.destroy_subscription(subscription)
            self._films = []

    def _on_image(self, camera: str, msg: Image) -> None:
        try:
            stamp = stamp_to_ns(msg.header.stamp)
            frames = self._frames.get(stamp // self._robot.arm.slot_ns - 1)
            if frames is not None:
                frames.setdefault(stamp, {})[camera] = image_to_array(msg).copy()
        except MessageError as err:
            self.get_logger().warning(str(err), throttle_duration_sec=1.0)

    def _on_policy_chunk(self, msg: JointTrajectory) -> None:
        try:
            chunk = trajectory_to_chunk(msg, self._config.action.channels)
        except MessageError as err:
            self.get_logger().warning(str(err), throttle_duration_sec=1.0)
            return
        index = self._chunk_of = chunk.stamp_ns // self._robot.arm.slot_ns - 1
        self._paces[index].append(self._config.action.dt / chunk.dt)

    def _on_episode(self, msg: DiagnosticStatus) -> None:
        event = EpisodeEvent.read(msg)
        if event.kind != END or not self._is_mine(event):
            return
        try:
            index = event.value("index", int)
            record = EpisodeRecord(
                event.value("task"), event.value("seed", int), event.value("success", bool),
                event.value("steps", int), event.value("return", float),
                event.value("chunks", int), event.value("latency_ms", Json[tuple[float, ...]]),
                float(np.mean(self._paces.pop(index, [1.0]))))
            real_time = RealTimeFigures.of(event)
            conditions = event.value("conditions", Json[dict[str, object]]) \
                if "conditions" in event.values else {}
        except MessageError as err:
            self.get_logger().warning(f"{err} The event is ignored.")
            return
        if index in self._seen or index >= len(self._plan):
            return
        self._check_conditions(index, record, conditions)
        self._seen.add(index)
        self._writer.add(record)
        self._tally.end(index, record.success)
        # Images of this episode may still come, and discovery takes a while before the next.
        self._film(range(index, index + 3))
        if real_time is not None:
            self._real_time.append(real_time)
        self.get_logger().info(
            f"{len(self._seen)}/{len(self._plan)} {record.task} seed {record.seed}: "
            f"{'success' if record.success else 'failure'} after {record.steps} steps")
        if len(self._seen) == len(self._plan):
            # The last images may not have arrived yet.
            self.create_timer(0.5, self._finish)

    def _check_conditions(self, index: int, record: EpisodeRecord,
                          conditions: Mapping[str, object]) -> None:
        """Check that an episode was run as the results will say.

        Raises:
            InputError: it was another episode, or run otherwise.
        """
        planned, options = self._plan[index], self._options
        cameras = conditions.get("cameras")
        expected = {
            "task": planned.task, "seed": planned.seed,
            **self._robot.described(planned.task, self._cameras),
            "mode": options.mode, "horizon": options.most_steps,
            "n_action_steps": self._config.action.n_action_steps}
        found = {**conditions, "task": record.task, "seed": record.seed}
        if isinstance(cameras, dict):  # the bridge may show more
            found["cameras"] = {n: p for n, p in cameras.items() if n in self._cameras}
        for name, value in expected.items():
            if name in found and found[name] != value:
                raise InputError(
                    f"Episode {index} was run with {name} {found[name]}, and eval_node was to "
                    f"record one with {value}; give sim_bridge_node and eval_node the same "
                    "parameters, and no other robot configuration.")

    def _is_mine(self, event: EpisodeEvent) -> bool:
        self._run = self._run or event.run
        if event.run == self._run:
            return True
        self._ignored = (f"{self.resolve_topic_name('episode')} has events of "
                         f"{f'run {event.run}' if event.run else 'no run'}; only those of run "
                         f"{self._run} count")
        self.get_logger().warning(self._ignored, throttle_duration_sec=1.0)
        self._diagnostics.publish_if_changed()
        return False

    def _finish(self) -> None:
        if self.exit_code is not None:
            return
        options = self._options
        more = {"join": options.join, "extra_latency_s": options.extra_latency,
                "pace": options.pace or RobotContract.load(robot_file(
                    self._robot.arm.contract(options.mode))).execution.pace}
        if self._real_time:
            more |= real_time_protocol(self._real_time)
        results = self._writer.finish(protocol(
            self._config, self._digest, self._robot, tasks=options.tasks,
            episodes=options.episodes, seed=options.seed, horizon=options.most_steps,
            under=self._protocol, demonstrations=self._demonstrations,
            mode=f"ROS 2 topics, {options.mode}", policy_seed=options.policy_seed,
            backend=options.policy_backend, sample_steps=options.policy_sample_steps
            or self._config.diffusion.sample_steps, **more))
        outcome = {r.task: r.success for r in self._writer.records if r.seed == options.seed}
        for index, spec in self._filmed.items():
            frames = [images for _, images in sorted(self._frames[index].items())
                      if len(images) == len(self._cameras)]
            write_film_strip(self._writer.out / f"{spec.task}.png", frames, f"{spec.task} seed "
                             f"{spec.seed}: {'success' if outcome[spec.task] else 'failure'}")
        print(f"\n{table(results)}", flush=True)
        if said := self._tally.summary():
            print(said)
        if self._real_time:
            print(f"real-time factor {more['real_time_factor']:.3f}")
        print(f"results and images: {self._writer.out}", flush=True)
        self.exit_code = 0


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros eval_node``."""
    return run_node(EvalNode)
