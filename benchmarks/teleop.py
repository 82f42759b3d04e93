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

"""From what a person does to the command: motion, and the hold when the dead man is released.

A real teleop node and the dry-run arm, each in its own process; the gamepad's messages and the
commands are in this process. Input to command: from a message with another deflection to the
first command that goes elsewhere. Release to hold: from the first message without the dead man to
the command that brings the arm to rest.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
from _figures import latency_row, print_heading

from harness.teleop_rig import DEAD_MAN, TeleopRig
from tinyvla_ros.core.tables import markdown_table

WAIT_S = 1.0


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", default="so101")
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--releases", type=int, default=200)
    options = parser.parse_args()
    print_heading("Teleoperation: input to command", ["ros-jazzy-rclpy", "numpy"],
                  robot=options.robot, messages=options.messages, releases=options.releases)
    random.seed(0)
    with tempfile.TemporaryDirectory() as place, TeleopRig(
            Path(place), options.robot, arm={}) as rig:
        inputs = measure_inputs(rig, options.messages)
        releases = measure_releases(rig, options.releases)
        if rig.wrong:
            print(f"error: commands outside of the limits: {rig.wrong[:3]}", file=sys.stderr)
            return 1
    print(markdown_table(("", "n", "answered", "p50 ms", "p99 ms", "max ms"), [
        latency_row("input to command", inputs), latency_row("release to hold", releases)]))
    return 0


def measure_inputs(rig: TeleopRig, count: int) -> list[float]:
    """Return seconds from messages with another deflection to the command that follows."""
    rig.engage()
    seconds = []
    for number in range(count):
        # To and fro about the middle, never at rest for long.
        value = (0.3 + 0.5 * random.random()) * (1.0 if number % 2 else -1.0)
        time.sleep(random.uniform(0.03, 0.05))
        pushed_s = time.monotonic()
        before = rig.commands[-1].last[0] if rig.commands else 0.0
        rig.push(0, value)
        seconds.append(until(rig, pushed_s, lambda c, b=before, v=value: (
            not c.is_hold and np.sign(c.last[0] - b) == np.sign(v))))
    return seconds


def measure_releases(rig: TeleopRig, count: int) -> list[float]:
    """Return seconds from the release of the dead man to the hold, from the middle of motion."""
    seconds = []
    number = 0
    while len(seconds) < count:
        number += 1
        rig.engage()
        rig.push(0, 1.0 if number % 2 else -1.0)
        moving_s = time.monotonic()
        rig.wait(lambda since=moving_s: any(c.time_s > since and c.speed > 0.1
                                            for c in rig.commands[-20:]), "motion")
        time.sleep(random.uniform(0.05, 0.15))
        if rig.commands[-1].is_hold:  # a pause of the machine was taken for an unplugged device
            continue
        released_s = time.monotonic()
        rig.release(DEAD_MAN)
        seconds.append(until(rig, released_s, lambda c: c.is_hold))
        rig.wait_rest()
    return seconds


def until(rig: TeleopRig, since_s: float, fits) -> float:
    """Return seconds until a command that fits; infinite if none comes."""
    deadline = since_s + WAIT_S
    while time.monotonic() < deadline:
        for command in rig.commands[-50:]:
            if command.time_s > since_s and fits(command):
                return command.time_s - since_s
        time.sleep(0.0005)
    return float("inf")


if __name__ == "__main__":
    sys.exit(main())
