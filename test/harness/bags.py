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

"""Episodes as lists of messages, to be changed by a test and written as real bags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from harness import ros_messages
from harness.ros_messages import header, make, serialize, time
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata, qos_profile
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.core.errors import InputError

WALL_NS = 1_790_000_000_000_000_000
SIM_NS = 10_000_000_000  # simulation time at the begin
STRING = "std_msgs/msg/String"
SIZE = 32
CHANNELS = ("dx", "gripper")
WORDS = "push the block"
STATE = ("joint_1", "elbow", "ee_x", "ee_y", "ee_z")
QOS = [qos_profile("keep_last", 10, "reliable", "volatile")]
CAMERAS = ("front", "wrist")
CONTRACT = {
    "name": "toy arm",
    "cameras": {c: {"topic": f"camera/{c}/image_raw", "rate": 20} for c in CAMERAS},
    "joint_states": {"topic": "joint_states", "names": {"elbow": "joint_2"}},
    "ee_pose": {"topic": "ee_pose"},
    "actions": {"dx": {"unit": "cm", "low": -1.0, "high": 1.0, "hold": "zero"},
                "gripper": {"unit": "m", "low": -1.0, "high": 1.0}},
    "outputs": [{"type": "chunk", "topic": "action_chunk", "channels": list(CHANNELS)}]}


class Sent(NamedTuple):
    """A message on its way into a bag."""

    topic: str
    type: str
    log_ns: int
    message: object


def custom(**more: str) -> dict[str, str]:
    """Return what our recorder notes of a successful episode."""
    return {"robot_contract": yaml.safe_dump(CONTRACT), "task": "push", "instruction": WORDS,
            "outcome": "success", "seed": "7", **more}


def numbered_image(number: int, camera: str) -> np.ndarray:
    """Return (SIZE, SIZE, 3) uint8: brightness by number, a corner by camera."""
    image = np.full((SIZE, SIZE, 3), number % 200 + 20, np.uint8)
    image[:4, :4] = CAMERAS.index(camera) * 100
    return image


def image(camera: str, stamp_ns: int, number: int, log_ns: int) -> Sent:
    """Return an image message."""
    return Sent(f"/camera/{camera}/image_raw", "sensor_msgs/msg/Image", log_ns,
                ros_messages.image(stamp_ns, numbered_image(number, camera)))


def joints(stamp_ns: int, values: Mapping[str, float], log_ns: int) -> Sent:
    """Return a joint state."""
    return Sent("/joint_states", "sensor_msgs/msg/JointState", log_ns,
                ros_messages.joint_state(stamp_ns, values))


def pose(stamp_ns: int, x: float, log_ns: int) -> Sent:
    """Return an end effector's pose at (x, 2 x, 3 x)."""
    kind = "geometry_msgs/msg/PoseStamped"
    point = make("geometry_msgs/msg/Point", x=x, y=2.0 * x, z=3.0 * x)
    turn = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    msg = make(kind, header=header(stamp_ns),
               pose=make("geometry_msgs/msg/Pose", position=point, orientation=turn))
    return Sent("/ee_pose", kind, log_ns, msg)


def clock(stamp_ns: int, log_ns: int) -> Sent:
    """Return a message of the clock."""
    kind = "rosgraph_msgs/msg/Clock"
    return Sent("/clock", kind, log_ns, make(kind, clock=time(stamp_ns)))


def trajectory(topic: str, stamp_ns: int, rows: np.ndarray, dt_ns: int, log_ns: int,
               words: str = WORDS, names: Iterable[str] = CHANNELS) -> Sent:
    """Return a trajectory, or a chunk: rows of positions dt apart."""
    return Sent(topic, "trajectory_msgs/msg/JointTrajectory", log_ns,
                ros_messages.trajectory(stamp_ns, names, rows, dt_ns, words))


def chunk_rows(number: int, rows: int = 8) -> np.ndarray:
    """Return (rows, 2) float32 by chunk and row."""
    return np.array([[number / 100 + row / 1000, -number / 100 - row / 1000]
                     for row in range(rows)], np.float32)


def lockstep(observations: int = 12, k: int = 4, dt_ns: int = 12_500_000) -> list[Sent]:
    """Return an episode in which time waits for every chunk; 20 Hz, four steps each.

    Chunk i is ``chunk_rows(i)``; the joints are at i and i / 2, the hand at i / 10.
    """
    sent = []
    for i in range(observations):
        stamp, log = SIM_NS + i * k * dt_ns, WALL_NS + i * 200_000_000
        sent.append(clock(stamp, log))
        sent.append(joints(stamp, {"joint_1": float(i), "joint_2": i / 2}, log + 1_000_000))
        sent.append(pose(stamp, i / 10, log + 2_000_000))
        sent += [image(c, stamp, i, log + 5_000_000) for c in CAMERAS]
        if i < observations - 1:
            # The recorder may take up the chunk of one observation after the next clock.
            late = 202_000_000 if i == 3 else 100_000_000
            sent.append(trajectory("/action_chunk", stamp, chunk_rows(i), dt_ns, log + late))
    return sent


def realtime(seconds: float = 1.5, latency_ns: int = 60_000_000, pause: tuple = (),
             dt_ns: int = 12_500_000) -> list[Sent]:
    """Return an episode on the wall clock: a chunk from every fourth image, 0.2 s apart.

    Args:
        seconds: its length.
        latency_ns: from observation to chunk.
        pause: numbers of chunks that do not come.
        dt_ns: control period.
    """
    sent = []
    for step in range(round(seconds * 1e9 / dt_ns) + 1):
        stamp, log = SIM_NS + step * dt_ns, WALL_NS + step * dt_ns
        sent.append(clock(stamp, log))
        sent.append(joints(stamp, {"joint_1": float(step), "joint_2": step / 2}, log + 100_000))
        sent.append(pose(stamp, step / 100, log + 200_000))
        if step % 4 == 0:
            sent += [image(c, stamp, step // 4, log + 300_000) for c in CAMERAS]
        if step % 16 == 0 and step // 16 not in pause:
            # Comes between two ticks.
            sent.append(trajectory("/action_chunk", stamp, chunk_rows(step // 16, 16), dt_ns,
                                   log + latency_ns + 5_000_000))
    return sent


def claims(*said) -> list[Sent]:
    """Return messages of commanders: (second, node, text)."""
    return [Sent(f"/{node}/commander", STRING, WALL_NS + round(at * 1e9) + 1_000_000,
                      make(STRING, data=text)) for at, node, text in said]


def write(path: Path, sent: Iterable[Sent], about: Mapping[str, str] | None = None,
          publishers: Mapping[str, int] | None = None, late_ns: int = 0) -> Path:
    """Write messages in the order of their receive times.

    Args:
        path: bag directory to create.
        sent: the messages; published 1 ms before they were received.
        about: custom data; default: of a successful episode.
        publishers: number of publishers of topics that have several.
        late_ns: how late the recorder takes up chunks.
    """
    writer = BagWriter(path, custom() if about is None else about)
    for topic, kind, log_ns, message in sorted(sent, key=lambda s: s.log_ns):
        if topic not in writer.topics:
            writer.add_topic(TopicMetadata(topic, kind, definition(kind),
                                           QOS * (publishers or {}).get(topic, 1)))
        late = late_ns if topic == "/action_chunk" else 0
        writer.write(topic, log_ns + late, log_ns - 1_000_000,
                     serialize(message))
    writer.close()
    return path


def arm_messages(seconds: float = 2.0) -> list[Sent]:
    """A real arm: system time, cameras at 30 Hz out of step, joints at 100 Hz, no clock."""
    sent = []
    for i in range(round(30 * seconds)):
        for j, camera in enumerate(CAMERAS):
            stamp = WALL_NS + round((i / 30 + j * 0.011) * 1e9) + (i * 7919) % 3_000_000
            sent.append(image(camera, stamp, i, stamp + 20_000_000))
    for i in range(round(100 * seconds)):
        stamp = WALL_NS + i * 10_000_000
        sent.append(joints(stamp, {"joint_1": i / 100, "joint_2": -i / 100},
                                stamp + 1_000_000))
    return sent


def arm_contract(tmp_path: Path, output: dict | None = None, **actions) -> Path:
    """Write the contract of that arm, with another output or other channels."""
    actions = actions or {
        n: {"unit": "rad", "low": -10.0, "high": 10.0, "state": n, "jump": 1.0}
        for n in ("joint_1", "elbow")}
    contract = {**CONTRACT, "ee_pose": None, "actions": actions, "stamps": {"tolerance": 0.02},
                "cameras": {c: {"topic": f"/camera/{c}/image_raw", "rate": 30}
                            for c in CAMERAS},
                "outputs": [output or {"type": "joint_trajectory",
                                       "topic": "/arm/joint_trajectory",
                                       "channels": {"joint_1": {}, "elbow": {"to": "joint_2"}}}]}
    path = tmp_path / "arm.yaml"
    path.write_text(json.dumps(contract))
    RobotContract.load(path)
    return path


def stamp_of(sent: Sent) -> int:
    """Return the stamp of a message that has one, ns; else 0."""
    stamp = sent.message.clock if sent.topic == "/clock" else sent.message.header.stamp
    return stamp.sec * 10**9 + stamp.nanosec


def export(out: Path, *arguments: object) -> int:
    """Run the command: small images, one process unless given otherwise."""
    from tinyvla_ros.cli.main import run_command

    defaults = ["--out", out, "--size", SIZE, "--workers", 1]
    return run_command(["bag", "export", *(str(a) for a in (*defaults, *arguments))])


def load(root: Path, dt: float = 0.0125, state: tuple[str, ...] = STATE,
         channels: tuple[str, ...] = CHANNELS, size: int = SIZE):
    """Open a dataset as training does."""
    from tinyvla_ros.policy.config import ActionSpec, CameraSpec
    from training.data.dataset import load_demonstrations

    n = len(channels)
    action = ActionSpec(channels=channels, units=("",) * n, low=(-1e3,) * n, high=(1e3,) * n,
                        dt=dt, horizon=8, n_action_steps=4)
    cameras = {c: CameraSpec(height=size, width=size) for c in CAMERAS}
    return load_demonstrations(root, cameras, state, action)


def numbers(images: np.ndarray) -> list[list[int]]:
    """Return which image each frame of each camera shows."""
    return (images[:, :, -1, -1, 0].astype(int) - 20).T.tolist()


def contents(root: Path) -> dict[str, str]:
    """Return a digest of every file."""
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(root.rglob("*")) if f.is_file()}


def refusal(bag: Path, tmp_path: Path, capsys, *arguments: object) -> str:
    """Export a bag that is refused, and return the sentence."""
    with pytest.raises(InputError, match="No bag was exported"):
        export(tmp_path / "refused", bag, *arguments)
    assert not (tmp_path / "refused").exists()
    assert not (tmp_path / "refused.export").exists()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("refused: ")
    return lines[0]
