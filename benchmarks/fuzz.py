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

"""Fuzz a running policy node: malformed messages on every subscription, among good ones.

Each message is a good one with some of its fields replaced by hostile values, or all of it
random. Judged as in ``fault_matrix.py``; the node must live, and its memory stay.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from pathlib import Path

import _harness  # noqa: F401
from _figures import print_heading
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from tqdm import tqdm

from harness.arm_contract import CAMERAS, JOINTS, TIGHT, robot
from harness.arm_rig import Rig
from tinyvla_ros.dry_run.untrained import INSTRUCTION

NUMBERS = (0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 1e-3, 3.2, -1e9)
NAMES = ("", " ", "a" * 1000, "shoulder_pan_joint", "\u202eelbow", "joint\n2", *JOINTS)
ENCODINGS = ("", "rgb8", "bgr8", "mono8", "rgba8", "yuv422", "nv12", "nv24", "bayer_rggb8",
             "32FC1", "RGB8", "8UC3", "\u00e9")
SIZES = (0, 1, 2, 95, 96, 97, 288, 65535, 2**31, 2**32 - 1)
SECONDS = (0, -1, 1, -2**31, 2**31 - 1, 1_000_000_000)
WORDS = ("", " ", "dry  run", "DRY RUN", "fly", "x" * 100_000, "\u65e5\u672c", "dry run\n", "%s%n")


def fuzz_image(msg: Image) -> Image:
    """Spoil one to three things of an image."""
    for kind in random.sample(("height", "width", "step", "encoding", "data", "stamp"),
                              random.randint(1, 3)):
        if kind in ("height", "width", "step"):
            setattr(msg, kind, random.choice(SIZES))
        elif kind == "encoding":
            msg.encoding = random.choice(ENCODINGS)
        elif kind == "data":
            msg.data = random.randbytes(random.choice((0, 1, 3, 1000, 27647, 27648, 27649)))
        else:
            spoil_stamp(msg)
    return msg


def fuzz_joints(msg: JointState) -> JointState:
    """Spoil one to three things of a joint state."""
    for kind in random.sample(("name", "position", "velocity", "length", "stamp", "order"),
                              random.randint(1, 3)):
        if kind == "name":
            msg.name[random.randrange(len(msg.name))] = random.choice(NAMES)
        elif kind == "position" and len(msg.position):
            msg.position[random.randrange(len(msg.position))] = random.choice(NUMBERS)
        elif kind == "velocity":
            msg.velocity = [random.choice(NUMBERS) for _ in range(random.randint(0, 9))]
        elif kind == "length":
            msg.position = [random.choice(NUMBERS) for _ in range(random.randint(0, 9))]
        elif kind == "order":
            msg.name = random.sample(list(msg.name), len(msg.name))
        elif kind == "stamp":
            spoil_stamp(msg)
    return msg


def spoil_stamp(msg) -> None:
    """Give a message a stamp that is wrong."""
    msg.header.stamp.sec = random.choice(SECONDS)
    msg.header.stamp.nanosec = random.choice((0, 1, 999_999_999, 2**32 - 1))


def main() -> int:
    """Fuzz and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="messages per second")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    print_heading("Fuzzed messages", ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp"),
                  messages=args.messages, rate=f"{args.rate:g} a second among good ones",
                  seed=args.seed)
    with (tempfile.TemporaryDirectory() as place,
          Rig(Path(place), contract=robot(TIGHT), compiled=True) as rig):
        rig.start()
        rig.wait_running()
        sent = dict.fromkeys(("image", "joint state", "instruction"), 0)
        memory, start = [], time.monotonic()
        for number in tqdm(range(args.messages), unit="message", mininterval=10):
            kind = random.choices(list(sent), (0.45, 0.5, 0.05))[0]
            sent[kind] += 1
            if kind == "image":
                name = random.choice(CAMERAS)
                rig.cameras[name].publish(fuzz_image(rig.image(name)))
            elif kind == "joint state":
                rig.joints.publish(fuzz_joints(rig.joint_state()))
            else:
                rig.instruction.publish(String(data=random.choice(WORDS)))
                rig.instruct(INSTRUCTION)
            if number % max(1, args.messages // 20) == 0:
                memory.append(rig.memory_mb())
            if rig.process.poll() is not None:
                break
            time.sleep(max(0.0, start + number / args.rate - time.monotonic()))
        alive = rig.process.poll() is None
        rig.wait_running()
        memory.append(rig.memory_mb())
        commands = list(rig.commands)
    wrong = [c.wrong for c in commands if c.wrong]
    moving = sum(not c.is_hold for c in commands)
    print(f"\nsent: {sum(sent.values())} ({', '.join(f'{n} {k}s' for k, n in sent.items())}) in "
          f"{time.monotonic() - start:.0f} s")
    print(f"the node lives: {'yes' if alive else 'NO'}, and moves the arm again afterwards: yes")
    print(f"commands: {len(commands)}, {moving} of them chunks; outside limits or not finite: "
          f"{len(wrong)} ({', '.join(sorted(set(wrong))) or 'none'})")
    settled = memory[len(memory) // 4:]
    print(f"memory MB: {memory[0]:.1f} at first, then {min(settled):.1f} to {max(settled):.1f}, "
          f"{memory[-1]:.1f} at the end")
    return 0 if alive and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
