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

"""Latency of a sensor_msgs/Image between two processes, array to array.

A publisher process stamps an image with the monotonic clock, which all processes of a machine
share, before ``fill_image``; the subscriber reads that clock after ``image_to_array``. Sizes
alternate message by message.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import rclpy
from _figures import print_heading, print_table
from rclpy.duration import Duration
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.core.ros.messages import fill_image, image_to_array, set_stamp, stamp_to_ns
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.runner import SENSOR_QOS

SIZES = ((192, 192), (640, 480))  # width, height
PATIENCE_S = 15.0  # for the two processes to find each other, and for the last message


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200, help="messages per size")
    parser.add_argument("--warmup", type=int, default=20, help="messages per size, not counted")
    parser.add_argument("--rate", type=float, default=20.0, help="messages per second and size")
    parser.add_argument("--fastdds-defaults", action="store_true",
                        help="without the package's config/fastdds.xml")
    args = parser.parse_args()
    if not args.fastdds_defaults:
        use_middleware_profile()
    # The publisher process inherits these; no other process gets its messages.
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    frames = args.warmup + args.frames
    publisher = multiprocessing.get_context("spawn").Process(
        target=publish, args=(frames, args.rate), daemon=True)
    publisher.start()
    try:
        samples = receive(frames, publisher)
    finally:
        publisher.terminate()
        publisher.join()
    lost = {label: frames - len(seconds) for label, seconds in samples.items()}
    if min(map(len, samples.values())) <= args.warmup:
        sys.exit(f"error: too many messages were lost ({lost}); run it again on an idle machine.")
    print_heading("One image hop between two processes",
                  ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp", "numpy"),
                  rmw=get_rmw_implementation_identifier(), encoding="rgb8",
                  qos="reliable depth 10", rate=f"{args.rate:g} Hz per size",
                  profile="Fast DDS's" if args.fastdds_defaults else "config/fastdds.xml",
                  frames=args.frames, warm_up=args.warmup, lost=sum(lost.values()),
                  clock="monotonic, before fill_image to after image_to_array")
    print_table({label: seconds[args.warmup:] for label, seconds in samples.items()})


def receive(frames: int, publisher: multiprocessing.Process) -> dict[str, list[float]]:
    """Return the seconds each message took, by size, until all came or the publisher ended."""
    samples: dict[str, list[float]] = {_topic(size): [] for size in SIZES}

    def receiver(topic: str):
        def take(msg: Image) -> None:
            image_to_array(msg)
            samples[topic].append((time.monotonic_ns() - stamp_to_ns(msg.header.stamp)) / 1e9)
        return take

    # Python's own handler: Ctrl-C then ends the loop with KeyboardInterrupt.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("image_hop_subscriber")
    executor = LeanExecutor()
    executor.add_node(node)
    for topic in samples:
        node.create_subscription(Image, topic, receiver(topic), SENSOR_QOS)
    seen_alive = time.monotonic()
    try:
        # The last messages may still be in the queue when the publisher has ended.
        while min(map(len, samples.values())) < frames and time.monotonic() < seen_alive + 1.0:
            if publisher.is_alive():
                seen_alive = time.monotonic()
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return samples


def publish(frames: int, rate: float) -> None:
    """Publish random images of every size in turn; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("image_hop_publisher")
    rng = np.random.default_rng(0)
    streams = [(node.create_publisher(Image, _topic(size), SENSOR_QOS),
                rng.integers(0, 256, (size[1], size[0], 3), np.uint8)) for size in SIZES]
    deadline = time.monotonic() + PATIENCE_S
    while not all(publisher.get_subscription_count() for publisher, _ in streams):
        if time.monotonic() > deadline:
            sys.exit("error: no subscriber was found; is the loopback interface up?")
        time.sleep(0.05)
    due = time.monotonic()
    for _ in range(frames):
        if not multiprocessing.parent_process().is_alive():
            return  # killed without a chance to end this process
        for publisher, image in streams:
            due += 1.0 / rate / len(streams)
            time.sleep(max(0.0, due - time.monotonic()))
            stamp_ns = time.monotonic_ns()
            msg = Image()
            fill_image(msg, image)
            set_stamp(msg.header.stamp, stamp_ns)
            publisher.publish(msg)
    for publisher, _ in streams:
        publisher.wait_for_all_acked(Duration(seconds=PATIENCE_S))
    node.destroy_node()
    rclpy.try_shutdown()


def _topic(size: tuple[int, int]) -> str:
    return "image_{}x{}".format(*size)


if __name__ == "__main__":
    main()
