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

"""Cameras, joint states and ``episode`` events for a recorder; imported by its benchmarks."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, JointState

from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.core.ros.messages import fill_image, set_stamp
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, OK, status
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

LIMIT_S = 60.0


class Source:
    """Publishes in a thread of its own while it is ``running``.

    Attributes:
        published: messages since the last ``begin``, by topic.
        running: publish or not.

    Args:
        size: (width, height) of both cameras.
        camera_hz, joint_hz: rates.
        domain: ROS domain; default: of the environment.
    """

    def __init__(self, size: tuple[int, int], camera_hz: float = 30.0, joint_hz: float = 100.0,
                 domain: int | None = None):
        use_middleware_profile()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("source", context=self._context)
        qos = QoSProfile(depth=10)
        rng = np.random.default_rng(0)
        self._images = rng.integers(0, 256, (4, size[1], size[0], 3), np.uint8)
        self._cameras = [self.node.create_publisher(Image, f"camera/{n}/image_raw", qos)
                         for n in ("front", "wrist")]
        self._joints = self.node.create_publisher(JointState, "joint_states", qos)
        self._episode = self.node.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        self._periods = {"camera": 1 / camera_hz, "joints": 1 / joint_hz}
        self.published: Counter[str] = Counter()
        self.running, self._closing = False, False
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the graph."""
        self._closing = True
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait_recorded(self, recorded: bool = True) -> None:
        """Wait until a recorder subscribes to everything, or to nothing any more."""
        deadline = time.monotonic() + LIMIT_S
        publishers = (*self._cameras, self._joints, self._episode)
        while any(bool(p.get_subscription_count()) != recorded for p in publishers):
            if time.monotonic() > deadline:
                raise TimeoutError("the recorder did not start or did not end in time")
            time.sleep(0.01)

    def begin(self, index: int) -> None:
        """Begin an episode and publish."""
        self.published.clear()
        self._episode.publish(status("source: episode", OK, "begin", {"index": index}))
        self.running = True

    def end(self) -> None:
        """Publish no more and end the episode."""
        self.running = False
        time.sleep(0.1)  # what is being published
        self._episode.publish(status("source: episode", OK, "end", {"success": True}))

    def _publish(self) -> None:
        due = dict.fromkeys(self._periods, time.monotonic())
        count = 0
        while not self._closing:
            now = time.monotonic()
            if self.running and now >= due["camera"]:
                for publisher in self._cameras:
                    msg, count = Image(), count + 1
                    fill_image(msg, self._images[count % len(self._images)])
                    self._stamp(msg)
                    publisher.publish(msg)
                    self.published[publisher.topic_name] += 1
            if self.running and now >= due["joints"]:
                msg = JointState(name=["a", "b"], position=[0.0, 1.0])
                self._stamp(msg)
                self._joints.publish(msg)
                self.published[self._joints.topic_name] += 1
            for name, period in self._periods.items():
                if now >= due[name]:
                    due[name] = max(due[name] + period, now - 0.1)
            time.sleep(max(0.0, min(due.values()) - time.monotonic()))

    def _stamp(self, msg) -> None:
        set_stamp(msg.header.stamp, self.node.get_clock().now().nanoseconds)


def start_recorder(out: Path, domain: int | None = None, **parameters) -> subprocess.Popen:
    """Start a recorder; its log goes beside the bags."""
    out.parent.mkdir(parents=True, exist_ok=True)
    command = node_command(NodeDescription("episode_recorder_node",
                                           {"out": str(out), **parameters}))
    with out.with_name("recorder.log").open("a") as log:
        environment = os.environ | ({} if domain is None else {"ROS_DOMAIN_ID": str(domain)})
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)
