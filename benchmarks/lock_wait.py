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

"""How long the control thread of a policy node waits for the lock of its inputs.

A real policy node with a tiny network, and a process that publishes two JPEG cameras at 30 Hz and
joint states at 100 Hz. Every time the control thread takes the lock is measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import _harness  # noqa: F401
import cv2
import numpy as np
import rclpy
import yaml
from _figures import print_heading, print_table
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from harness.random_network import write_random_network
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.dry_run.untrained import INSTRUCTION
from tinyvla_ros.nodes import policy_node
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import LATCHED

JOINTS, CAMERAS = [f"joint_{i}" for i in range(6)], ("front", "wrist")
CAMERA_HZ, JOINT_HZ = 30.0, 100.0
COMMANDS = "joint_trajectory_controller/joint_trajectory"
CONTRACT = {
    "name": "benchmark arm",
    "cameras": {n: {"topic": f"camera/{n}/image_raw/compressed", "compressed": True,
                    "timeout": 1.0, "frozen_after": 3} for n in CAMERAS},
    "joint_states": {"topic": "joint_states", "timeout": 1.0},
    "stamps": {"tolerance": 0.02, "max_age": 0.5, "max_ahead": 0.1},
    "actions": {j: {"unit": "rad", "low": -1.0, "high": 1.0, "velocity": 1.0,
                    "acceleration": 20.0, "jump": 2.0, "state": j} for j in JOINTS},
    "outputs": [{"type": "joint_trajectory", "topic": COMMANDS, "channels": JOINTS}]}
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 80]
START_S = 5.0  # before it counts
waits: list[float] = []  # s


class _MeasuredCondition(threading.Condition):
    """Notes how long the control thread waits for the lock."""

    def __enter__(self):
        if threading.current_thread().name != "control":
            return super().__enter__()
        begin = time.perf_counter()
        result = super().__enter__()
        waits.append(time.perf_counter() - begin)
        return result


class _MeasuredInputs(PolicyInputs):
    """Inputs whose lock is measured."""

    def __init__(self, *args):
        super().__init__(*args)
        self.changed = _MeasuredCondition()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT of both cameras")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    use_middleware_profile()
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    print_heading("Control thread waiting for the lock of the inputs",
                  ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", "opencv-python-headless"),
                  cameras=f"2 of {args.size}, JPEG, {CAMERA_HZ:g} Hz", network="tiny",
                  seconds=f"{args.seconds:g}", joint_states=f"{JOINT_HZ:g} Hz")
    source = multiprocessing.get_context("spawn").Process(target=publish, args=(width, height),
                                                          daemon=True)
    source.start()
    try:
        with tempfile.TemporaryDirectory() as place:
            chunks = run_node(Path(place), args.seconds)
    finally:
        source.terminate()
        source.join()
    if not chunks:
        sys.exit("error: the policy inferred nothing; run it again on an idle machine.")
    print_table({"wait for the lock": waits})
    print(f"\nlongest wait {1e3 * max(waits):.2f} ms; {sum(w > 1e-3 for w in waits)} of "
          f"{len(waits)} were longer than 1 ms; chunks inferred {chunks}")


def run_node(place: Path, seconds: float) -> int:
    """Run a policy node; return how many chunks it inferred."""
    robot, checkpoint = place / "robot.yaml", place / "checkpoint"
    robot.write_text(yaml.safe_dump(CONTRACT, sort_keys=False))
    write_random_network(parse(RobotContract, CONTRACT, "benchmark"), checkpoint)
    policy_node.PolicyInputs = _MeasuredInputs
    rclpy.init(args=["--ros-args", "-p", f"robot:={robot}", "-p", f"checkpoint:={checkpoint}",
                     "-p", "enabled:=true"], signal_handler_options=SignalHandlerOptions.NO)
    node, chunks = policy_node.PolicyNode(), []
    node.create_subscription(JointTrajectory, "~/chunk", chunks.append, 10)
    executor = LeanExecutor()
    executor.add_node(node)
    begin = time.monotonic() + START_S
    try:
        while time.monotonic() < begin:
            executor.spin_once(timeout_sec=0.1)
        waits.clear()
        chunks.clear()
        while time.monotonic() < begin + seconds:
            executor.spin_once(timeout_sec=0.1)
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return len(chunks)


def publish(width: int, height: int) -> None:
    """Publish cameras, joints and an instruction, and listen to the commands."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("source")
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), np.uint8), (0, 0), 20)
    scene = cv2.normalize(scene, None, 20, 230, cv2.NORM_MINMAX)
    noise = rng.normal(0.0, 2.0, (8, height, width, 1))
    frames = [np.clip(scene + n, 0, 255).astype(np.uint8) for n in noise]
    images = [cv2.imencode(".jpg", frame, QUALITY)[1].tobytes() for frame in frames]
    cameras = [node.create_publisher(CompressedImage, CONTRACT["cameras"][n]["topic"], 5)
               for n in CAMERAS]
    joints = node.create_publisher(JointState, "joint_states", 10)
    node.create_publisher(String, "instruction", LATCHED).publish(String(data=INSTRUCTION))
    node.create_subscription(JointTrajectory, COMMANDS, lambda msg: None, 10)
    executor = LeanExecutor()
    executor.add_node(node)
    next_image = next_joints = time.monotonic()
    count = 0
    while multiprocessing.parent_process().is_alive():
        now, stamp = time.monotonic(), node.get_clock().now().nanoseconds
        if now >= next_image:
            next_image, count = max(next_image + 1 / CAMERA_HZ, now - 0.1), count + 1
            for camera in cameras:
                msg = CompressedImage(format="jpeg")
                msg.data = images[count % len(images)]
                set_stamp(msg.header.stamp, stamp)
                camera.publish(msg)
        if now >= next_joints:
            next_joints = max(next_joints + 1 / JOINT_HZ, now - 0.1)
            msg = JointState(name=JOINTS, position=[0.0] * len(JOINTS))
            set_stamp(msg.header.stamp, stamp)
            joints.publish(msg)
        executor.spin_once(timeout_sec=0.0)
        time.sleep(max(0.0, min(next_image, next_joints) - time.monotonic()))


if __name__ == "__main__":
    main()
