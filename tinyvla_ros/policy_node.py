# SPDX-License-Identifier: Apache-2.0
"""The policy as a ROS 2 node: observations in, stamped action chunks out."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter

import numpy as np
from geometry_msgs.msg import PoseStamped
from pydantic import Field
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tinyvla_ros.assembly import ObservationAssembler
from tinyvla_ros.configuration import Config
from tinyvla_ros.errors import InputError, MessageError
from tinyvla_ros.messages import (
    compressed_to_array,
    fill_trajectory,
    image_to_array,
    joint_positions,
    pose_position,
    stamp_to_ns,
)
from tinyvla_ros.policy import Policy
from tinyvla_ros.resources import default_checkpoint
from tinyvla_ros.ros_node import ERROR, LATCHED, OK, WARN, Diagnostics, run_node
from tinyvla_ros.ros_parameters import declare_parameters
from tinyvla_ros.types import Observation

LATENCIES_KEPT = 1000


class PolicyNodeParameters(Config):
    """Parameters of ``policy_node``."""

    checkpoint: str = Field("", description="Checkpoint directory; empty for the shipped one.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the sampler's noise.")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of the network.")
    sample_steps: int = Field(0, ge=0, le=1000,
                              description="DDIM steps; 0 for the checkpoint's own.")
    enabled: bool = Field(False, description="Publish from the start; otherwise wait for "
                                             "~/enable.")
    reliable: bool = Field(False, description="Ask for reliable delivery of observations; "
                                              "best effort suits real cameras.")
    stamp_tolerance: float = Field(0.01, ge=0.0, le=1.0, description="Largest difference in "
                                   "seconds between the stamps of one observation.")
    max_age: float = Field(0.5, ge=0.0, le=10.0, description="Observations older than this many "
                           "seconds are not acted on; 0 for no limit.")


class PolicyNode(Node):
    """Callbacks check and store the newest messages; one worker thread infers and publishes."""

    def __init__(self):
        super().__init__("policy_node")
        self.exit_code: int | None = None
        parameters = self._parameters = declare_parameters(self, PolicyNodeParameters)
        path = parameters.checkpoint or str(default_checkpoint())
        self._policy = Policy(path, parameters.device, parameters.seed, parameters.threads,
                              parameters.sample_steps or None)
        self._warm_up()
        self._assembler = ObservationAssembler(
            self._policy.config, round(parameters.stamp_tolerance * 1e9))
        self._changed = threading.Condition()
        self._closing = False
        self._enabled = parameters.enabled
        self._done: tuple[int, str] | None = None  # stamp and instruction last acted on
        self._latencies: list[float] = []
        self._chunks = 0
        self._rejected: Counter[str] = Counter()
        self._problem = ""
        self._chunk_publisher = self.create_publisher(JointTrajectory, "action_chunk", 10)
        self._subscribe()
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._diagnostics = Diagnostics(self, "policy", self._policy.digest, self._describe)
        self._worker = threading.Thread(target=self._work, name="inference", daemon=True)
        self._worker.start()
        self.get_logger().info(
            f"checkpoint {path} ({self._policy.digest}) ready on {parameters.device}; "
            f"{'enabled' if self._enabled else 'disabled until ~/enable is called'}")

    def close(self) -> None:
        """Stop the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._worker.join(timeout=5.0)

    def _warm_up(self) -> None:
        """Infer once, so that the first real chunk is not the slowest."""
        config = self._policy.config
        images = {n: np.zeros((c.height, c.width, 3), np.uint8) for n, c in config.cameras.items()}
        self._policy.infer(Observation(1, images, dict.fromkeys(config.state, 0.0),
                                       config.instructions[0]))

    def _subscribe(self) -> None:
        reliability = (ReliabilityPolicy.RELIABLE if self._parameters.reliable
                       else ReliabilityPolicy.BEST_EFFORT)
        qos = QoSProfile(depth=5, reliability=reliability)
        for camera in self._policy.config.cameras:
            topic = f"camera/{camera}/image_raw"
            self.create_subscription(Image, topic, self._checked(
                topic, lambda m, camera=camera: self._assembler.add_image(
                    camera, stamp_to_ns(m.header.stamp), image_to_array(m))), qos)
            topic += "/compressed"
            self.create_subscription(CompressedImage, topic, self._checked(
                topic, lambda m, camera=camera: self._assembler.add_image(
                    camera, stamp_to_ns(m.header.stamp), compressed_to_array(m))), qos)
        self.create_subscription(JointState, "joint_states", self._checked(
            "joint_states", lambda m: self._assembler.add_joints(
                stamp_to_ns(m.header.stamp),
                joint_positions(m, self._assembler.joint_names))), qos)
        if self._assembler.needs_pose:
            self.create_subscription(PoseStamped, "ee_pose", self._checked(
                "ee_pose", lambda m: self._assembler.add_pose(
                    stamp_to_ns(m.header.stamp), pose_position(m))), qos)
        self.create_subscription(String, "instruction", self._checked(
            "instruction", self._on_instruction), LATCHED)

    def _checked(self, topic: str, store):
        """Wrap a callback: a bad message is counted and reported, never acted on."""
        def callback(msg) -> None:
            try:
                with self._changed:
                    store(msg)
                    self._changed.notify_all()
            except InputError as err:
                self._report(topic, err)
        return callback

    def _on_instruction(self, msg: String) -> None:
        self._assembler.instruction = None  # a wrong instruction stops the arm, not the old one
        self._policy.config.instruction_index(msg.data)
        self._assembler.instruction = msg.data
        self._problem = ""

    def _on_enable(self, request, response):
        with self._changed:
            self._enabled = request.data
            self._changed.notify_all()
        response.success, response.message = True, "enabled" if request.data else "disabled"
        self.get_logger().info(response.message)
        self._diagnostics.publish()
        return response

    def _on_reset(self, request, response):
        with self._changed:
            self._assembler.clear()
            self._policy.reset()
            self._done = None
        self._problem = ""
        response.success, response.message = True, "observations forgotten"
        return response

    def _work(self) -> None:
        while True:
            with self._changed:
                observation = self._next_observation()
                while observation is None and not self._closing:
                    self._changed.wait()
                    observation = self._next_observation()
                if self._closing:
                    return
                self._done = (observation.stamp_ns, observation.instruction)
            try:
                self._infer_and_publish(observation)
            except InputError as err:
                self._report("inference", err)
            except Exception as err:  # a broken device must not leave a silent node
                if self._closing:
                    return
                self.get_logger().fatal(f"inference failed: {err!r}")
                self._problem, self.exit_code = f"inference failed: {err!r}", 1
                return

    def _next_observation(self) -> Observation | None:
        """Return the newest observation not acted on yet, if the node may act."""
        if not self._enabled:
            return None
        observation = self._assembler.latest()
        if observation is None:
            return None
        if self._done == (observation.stamp_ns, observation.instruction):
            return None
        return observation

    def _infer_and_publish(self, observation: Observation) -> None:
        start = time.perf_counter()
        self._check_age(observation)
        chunk = self._policy.infer(observation)
        if not self._enabled or self._closing:
            return
        msg = JointTrajectory()
        fill_trajectory(msg, chunk, observation.instruction, JointTrajectoryPoint)
        self._chunk_publisher.publish(msg)
        self._chunks += 1
        self._latencies.append(time.perf_counter() - start)
        del self._latencies[:-LATENCIES_KEPT]
        if self._problem:
            self._problem = ""
            self._diagnostics.publish()

    def _check_age(self, observation: Observation) -> None:
        limit = self._parameters.max_age
        now = self.get_clock().now().nanoseconds
        age = (now - observation.stamp_ns) / 1e9
        if limit and now and age > limit:
            raise MessageError(f"The newest observation is {age:.3f} s old; at most {limit} s is "
                               "acted on, check the clocks and the cameras.")

    def _report(self, topic: str, err: InputError) -> None:
        self._rejected[topic] += 1
        self._problem = f"{topic}: {err}"
        self.get_logger().warning(self._problem, throttle_duration_sec=1.0)
        self._diagnostics.publish_if_changed()

    def _describe(self):
        values = {"checkpoint_digest": self._policy.digest, "enabled": self._enabled,
                  "instruction": self._assembler.instruction or "", "chunks": self._chunks}
        latencies = list(self._latencies)
        if latencies:
            p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
            values |= {"latency_ms_p50": f"{p50:.2f}", "latency_ms_p99": f"{p99:.2f}"}
        values |= {f"rejected {topic}": n for topic, n in self._rejected.items()}
        if self._problem:
            return ERROR, self._problem, values
        missing = self._assembler.missing()
        if missing:
            return WARN, f"waiting for {', '.join(missing)}", values
        if not self._enabled:
            return WARN, "disabled by the operator", values
        return OK, "running", values


def main(args: list[str] | None = None) -> int:
    """Run the node; see ``ros2 run tinyvla_ros policy_node``."""
    return run_node(PolicyNode, args)


if __name__ == "__main__":
    sys.exit(main())
