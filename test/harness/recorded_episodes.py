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

"""Small recordings of a policy at work, made with another project's writer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from harness import ros_messages
from harness.recordings import START_NS
from harness.ros_messages import STORE, header, make

COMPRESSED = "sensor_msgs/msg/CompressedImage"
DIAGNOSTICS, STATUS = "diagnostic_msgs/msg/DiagnosticArray", "diagnostic_msgs/msg/DiagnosticStatus"
CLOCK = "rosgraph_msgs/msg/Clock"
CONTRACT = """name: arm
cameras:
  front: {topic: camera/front/image_raw}
joint_states: {topic: joint_states}
actions:
  lift: {unit: cm, low: -2.0, high: 2.0, hold: zero}
outputs:
  - {type: chunk, topic: action_chunk, channels: [lift]}
"""
CUSTOM = {"task": "lift", "seed": "0", "outcome": "failure", "instruction": "lift it",
          "robot": "arm", "robot_contract": CONTRACT, "checkpoint_digest": "0123456789abcdef",
          "join": "replace"}


def image(ns: int, shade: int, size: tuple[int, int] = (48, 64), encoding: str = "rgb8"):
    """Return an image of one shade, size (height, width)."""
    return ros_messages.image(ns, np.full((*size, 3), shade, np.uint8), encoding)


def compressed(ns: int, shade: int):
    """Return an image of one shade as JPEG."""
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))[1].reshape(-1)
    return make(COMPRESSED, header=header(ns), format="jpeg", data=jpeg)


def joints(ns: int, position: float):
    """Return two joints."""
    return ros_messages.joint_state(ns, {"shoulder": position, "elbow": -position})


def chunk(ns: int, values: list[float], instruction: str = "lift it", dt_ns: int = 50_000_000):
    """Return a chunk of one channel."""
    return ros_messages.trajectory(ns, ["lift"], [[v] for v in values], dt_ns, instruction)


def status(name: str, message: str, values: dict[str, object]):
    """Return a diagnostic_msgs/DiagnosticStatus."""
    return make(STATUS, level=0, name=name, message=message, hardware_id="", values=[
        make("diagnostic_msgs/msg/KeyValue", key=k, value=str(v)) for k, v in values.items()])


def policy(state: str, values: dict[str, object] | None = None, reason: str = ""):
    """Return the policy's status on /diagnostics."""
    own = status("policy_node: policy", reason or state, {"state": state, **(values or {})})
    return make(DIAGNOSTICS, header=header(0), status=[own])


def write(path: Path, messages: list[tuple[str, int, object]],
          custom: dict[str, str] | None = None, sqlite: bool = False) -> Path:
    """Write (topic, receive time, message) in this order."""
    plugin = StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        for key, value in (custom or {}).items():
            writer.set_custom_data(key, value)
        connections = {}
        for topic, log_ns, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], log_ns, STORE.serialize_cdr(message, kind))
    return path


def episode_messages(seconds: float = 2.0, latency_ms: float = 30.0) -> list:
    """Return two seconds of two cameras at 20 Hz, joints, a chunk every 0.2 s, and trouble.

    Shades of the images grow with time; chunks have ten rows, four of which are executed. An
    intervention happens at 0.5 s and a hold at 1.0 s.
    """
    messages, late = [], round(latency_ms * 1e6)
    for i in range(int(seconds * 20)):
        at = START_NS + i * 50_000_000
        for camera in ("front", "wrist"):
            messages.append((f"/camera/{camera}/image_raw", at, image(at, 20 + 4 * i)))
        messages.append(("/joint_states", at, joints(at, np.sin(i / 5))))
        if i % 4 == 0:
            rows = [0.05 * i + 0.01 * row for row in range(10)]
            messages.append(("/action_chunk", at + late, chunk(at, rows)))
    for s, state, counts in ((0.0, "running", {"intervention velocity lift": 3}),
                             (0.5, "running", {"intervention velocity lift": 5}),
                             (1.0, "holding", {"intervention velocity lift": 5, "hold stale": 1}),
                             (1.4, "running", {"intervention velocity lift": 5, "hold stale": 1})):
        if s < seconds:
            messages.append(("/diagnostics", START_NS + round(s * 1e9),
                             policy(state, counts, "front is stale" if state == "holding"
                                    else "running")))
    return sorted(messages, key=lambda m: m[1])


def write_run(folder: Path) -> Path:
    """Write a failed, a successful and a damaged episode."""
    write(folder / "0000_lift_seed0", episode_messages(), {**CUSTOM, "outcome": "success"})
    write(folder / "0001_lift_seed1", episode_messages(), {**CUSTOM, "seed": "1",
                                                           "lost /joint_states": "7"})
    damaged = write(folder / "0002_lift_seed2", episode_messages(), CUSTOM)
    file = next(damaged.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:5000])
    return folder
