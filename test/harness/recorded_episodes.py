# SPDX-License-Identifier: Apache-2.0
"""Small recordings of a policy at work, made with another project's writer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from harness.recordings import START_NS, STORE

T = STORE.types
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINTS, CHUNK = "sensor_msgs/msg/JointState", "trajectory_msgs/msg/JointTrajectory"
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


def time(ns: int):
    """Return a builtin_interfaces/Time."""
    return T["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)


def header(ns: int, frame: str = ""):
    """Return a std_msgs/Header."""
    return T["std_msgs/msg/Header"](stamp=time(ns), frame_id=frame)


def image(ns: int, shade: int, size: tuple[int, int] = (48, 64), encoding: str = "rgb8"):
    """Return a picture of one shade."""
    height, width = size
    return T[IMAGE](header=header(ns), height=height, width=width, encoding=encoding,
                    is_bigendian=0, step=3 * width,
                    data=np.full(3 * height * width, shade, np.uint8))


def compressed(ns: int, shade: int):
    """Return a picture of one shade as JPEG."""
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), shade, np.uint8))[1].reshape(-1)
    return T[COMPRESSED](header=header(ns), format="jpeg", data=jpeg)


def joints(ns: int, position: float):
    """Return two joints."""
    none = np.array([], np.float64)
    return T[JOINTS](header=header(ns), name=["shoulder", "elbow"], velocity=none, effort=none,
                     position=np.array([position, -position]))


def chunk(ns: int, values: list[float], instruction: str = "lift it", dt_ns: int = 50_000_000):
    """Return a chunk of one channel."""
    points = [T["trajectory_msgs/msg/JointTrajectoryPoint"](
        positions=np.array([v]), velocities=np.array([]), accelerations=np.array([]),
        effort=np.array([]), time_from_start=T["builtin_interfaces/msg/Duration"](
            sec=(i + 1) * dt_ns // 10**9, nanosec=(i + 1) * dt_ns % 10**9))
        for i, v in enumerate(values)]
    return T[CHUNK](header=header(ns, instruction), joint_names=["lift"], points=points)


def status(name: str, message: str, values: dict[str, object]):
    """Return a diagnostic_msgs/DiagnosticStatus."""
    return T[STATUS](level=0, name=name, message=message, hardware_id="", values=[
        T["diagnostic_msgs/msg/KeyValue"](key=k, value=str(v)) for k, v in values.items()])


def policy(state: str, values: dict[str, object] | None = None, reason: str = ""):
    """Return what the policy says of itself on /diagnostics."""
    said = status("policy_node: policy", reason or state, {"state": state, **(values or {})})
    return T[DIAGNOSTICS](header=header(0), status=[said])


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

    Shades of the pictures grow with time; chunks say ten rows, four of which are executed. An
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
