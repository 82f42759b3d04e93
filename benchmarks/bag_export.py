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

"""How much faster than it was recorded a bag becomes a dataset.

Bags of a real arm: two cameras at 30 Hz, joint states at 100 Hz, a chunk of 16 actions every
0.1 s, all in system time. The images move and are noisy, as a camera's are: what a simulator
draws is smaller and faster. Writing them down is not timed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from _figures import print_heading
from rosbags.typesys import Stores, get_typestore

from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.cli.main import run_command

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE, JOINTS = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState"
CHUNK, POINT = "trajectory_msgs/msg/JointTrajectory", "trajectory_msgs/msg/JointTrajectoryPoint"
NAMES = [f"joint_{i}" for i in range(7)]
CAMERAS = ("front", "wrist")
BEGIN_NS, DT_NS = 1_790_000_000_000_000_000, 12_500_000
CONTRACT = {
    "name": "benchmark arm",
    "cameras": {c: {"topic": f"camera/{c}/image_raw", "rate": 30} for c in CAMERAS},
    "joint_states": {"topic": "joint_states", "rate": 100}, "stamps": {"tolerance": 0.02},
    "actions": {n: {"unit": "rad", "low": -4.0, "high": 4.0} for n in NAMES},
    "outputs": [{"type": "chunk", "topic": "action_chunk", "channels": NAMES}]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each bag")
    parser.add_argument("--size", type=int, default=96, help="of the recorded images")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print_heading("Export of bags", ("rosbags", "mcap", "pyarrow", "opencv-python-headless", "av"),
                  bags=f"{args.seconds:g} s each",
                  cameras=f"2 of {args.size}x{args.size} at 30 Hz", joint_states="100 Hz",
                  chunks="10 Hz", dataset="20 fps, 96x96", rounds=args.rounds)
    cores = len(os.sched_getaffinity(0))
    settings = {"1 bag, 1 process, PNG": (1, 1, "image"),
                f"{cores} bags, {cores} processes, PNG": (cores, cores, "image"),
                "1 bag, 1 process, video": (1, 1, "video")}
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in settings}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        bags = [write_bag(root / "bags" / f"{i:02d}", args.seconds, args.size, i)
                for i in range(max(count for count, _, _ in settings.values()))]
        for number in range(args.rounds):
            for name, (count, workers, images) in settings.items():
                out = root / f"{number}-{images}-{workers}"
                samples[name].append(export(bags[:count], out, workers, images))
    print("\n| | times as fast as recorded | CPU s per recorded min |\n|---|--:|--:|")
    for name, times in samples.items():
        recorded = settings[name][0] * args.seconds
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {recorded / wall:.1f} | {60.0 * cpu / recorded:.1f} |")


def export(bags: list[Path], out: Path, workers: int, images: str) -> tuple[float, float]:
    """Return the seconds that the command takes, and those of processors."""
    command = ["bag", "export", *map(str, bags), "--out", str(out), "--images", images,
               "--workers", str(workers)]
    start, cpu = time.perf_counter(), cpu_seconds()
    with contextlib.redirect_stdout(sys.stderr):
        if run_command(command):
            sys.exit("error: the export refused a bag")
    return time.perf_counter() - start, cpu_seconds() - cpu


def cpu_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def write_bag(path: Path, seconds: float, size: int, seed: int) -> Path:
    """Write a bag of a real arm."""
    writer = BagWriter(path, {"robot_contract": yaml.safe_dump(CONTRACT), "outcome": "success",
                              "task": "benchmark", "instruction": "move"})
    messages = [*_images(seconds, size, seed), *_joints(seconds), *_chunks(seconds)]
    for topic, kind, stamp_ns, make in sorted(messages, key=lambda m: m[2]):
        if topic not in writer.topics:
            writer.add_topic(TopicMetadata(topic, kind, definition(kind)))
        sent = stamp_ns + (60_000_000 if kind == CHUNK else 2_000_000)
        writer.write(topic, sent, sent, bytes(STORE.serialize_cdr(make(), kind)))
    writer.close()
    return path


def _images(seconds: float, size: int, seed: int):
    rng = np.random.default_rng(seed)
    # Soft shapes that move past, and a camera's noise.
    scene = rng.integers(0, 255, (size, 4 * size, 3), np.uint8)
    scene = cv2.GaussianBlur(scene, (0, 0), size / 12)
    scene = cv2.normalize(scene, None, 20, 230, cv2.NORM_MINMAX)
    noise = [rng.normal(0.0, 2.0, (size, size, 3)).astype(np.int16) for _ in range(16)]
    for i in range(round(30 * seconds)):
        for j, camera in enumerate(CAMERAS):
            stamp = BEGIN_NS + round((i / 30 + 0.011 * j) * 1e9)
            left = (2 * i + 90 * j) % (3 * size)

            def make(left=left, stamp=stamp, grain=noise[(i + j) % len(noise)]):
                image = np.clip(scene[:, left:left + size] + grain, 0, 255).astype(np.uint8)
                return STORE.types[IMAGE](
                    header=_header(stamp), height=size, width=size, encoding="rgb8",
                    is_bigendian=0, step=3 * size, data=image.reshape(-1))

            yield f"/camera/{camera}/image_raw", IMAGE, stamp, make


def _joints(seconds: float):
    nothing = np.zeros(0)
    for i in range(round(100 * seconds)):
        stamp = BEGIN_NS + i * 10_000_000
        positions = np.sin(i / 100 + np.arange(7))
        yield "/joint_states", JOINTS, stamp, lambda s=stamp, p=positions: STORE.types[JOINTS](
            header=_header(s), name=NAMES, position=p, velocity=nothing, effort=nothing)


def _chunks(seconds: float):
    nothing, types = np.zeros(0), STORE.types
    duration = types["builtin_interfaces/msg/Duration"]
    for i in range(round(10 * seconds)):
        stamp = BEGIN_NS + i * 100_000_000
        points = [types[POINT](positions=np.sin(i / 10 + r * DT_NS / 1e9 + np.arange(7)),
                               velocities=nothing, accelerations=nothing, effort=nothing,
                               time_from_start=duration(sec=0, nanosec=(r + 1) * DT_NS))
                  for r in range(16)]
        yield "/action_chunk", CHUNK, stamp, lambda s=stamp, p=points: types[CHUNK](
            header=_header(s, "move"), joint_names=NAMES, points=p)


def _header(stamp_ns: int, frame: str = ""):
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9,
                                                       nanosec=stamp_ns % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


if __name__ == "__main__":
    main()
