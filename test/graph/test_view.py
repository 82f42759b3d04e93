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

"""``tinyvla view`` on a running graph, whose nodes come after it."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from harness.left_over import new_context
from harness.processes import Output, start
from tinyvla_ros.core.ros.messages import fill_image, fill_trajectory, set_stamp
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.nodes.shared.runner import LATCHED

pytest.importorskip("foxglove", reason="needs foxglove-sdk: pip install 'tinyvla_ros[foxglove]'")


@contextmanager
def robot(namespace: str):
    """A node that publishes a camera, joints and chunks until the end."""
    context = new_context()
    node = rclpy.create_node("robot", namespace=namespace, context=context)
    words = node.create_publisher(String, "instruction", LATCHED)
    words.publish(String(data="push it"))
    images = node.create_publisher(Image, "camera/front/image_raw", 2)
    states = node.create_publisher(JointState, "joint_states", 10)
    chunks = node.create_publisher(JointTrajectory, "action_chunk", 10)
    ends = threading.Event()

    def publish() -> None:
        while not ends.wait(0.05):
            now_ns = node.get_clock().now().nanoseconds
            image, state, chunk = Image(), JointState(), JointTrajectory()
            for msg in (image, state):
                set_stamp(msg.header.stamp, now_ns)
            fill_image(image, np.full((24, 32, 3), 90, np.uint8))
            state.name, state.position = ["joint_1"], [0.5]
            fill_trajectory(chunk, ActionChunk(now_ns, ("dx",), np.ones((20, 1), np.float32),
                                               0.02), "push it", JointTrajectoryPoint)
            images.publish(image)
            states.publish(state)
            chunks.publish(chunk)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
        node.destroy_node()
        context.try_shutdown()


def test_a_graph_is_watched_from_its_first_message_to_ctrl_c(tmp_path):
    from mcap.reader import make_reader

    out = tmp_path / "view.mcap"
    process = start(sys.executable, "-m", "tinyvla_ros.cli", "view", "--foxglove", "--namespace",
                    "left", "--save", str(out))
    output = Output(process)
    output.wait_for("waiting for it")
    with robot("/right"), robot("/left"):
        output.wait_for("showing 1 camera(s), 1 action channel(s), 1 group(s) of sensor values")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert "Traceback" not in output.text
    found: Counter[str] = Counter()
    newest = {}
    with out.open("rb") as file:
        for _, channel, message in make_reader(file).iter_messages():
            found[channel.topic] += 1
            newest[channel.topic] = message.data
    assert set(found) == {"/view/camera/front", "/view/joints", "/view/command", "/view/plan/dx",
                          "/view/seam_jump", "/view/seam_bend", "/view/states", "/view/events"}
    assert json.loads(newest["/view/states"]) == {"instruction": "push it"}
    assert json.loads(newest["/view/joints"]) == {"values": [{"name": "joint_1", "value": 0.5}]}
    rows = json.loads(newest["/view/plan/dx"])["rows"]
    assert {row["value"] for row in rows} == {1.0} and rows[-1]["ahead"] > 0.2
    layout = json.loads(out.with_suffix(".layout.json").read_text())
    assert {"Image!front", "Plot!channel dx", "Plot!joints"} <= layout["configById"].keys()
