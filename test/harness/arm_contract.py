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

"""The contract of the six-axis arm of ``arm_rig``, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

JOINTS = ("shoulder_pan_joint", "shoulder_lift_joint", "elbow_joint", "wrist_1_joint",
          "wrist_2_joint", "wrist_3_joint")
CAMERAS = ("front", "wrist")
CAMERA_HZ, JOINT_HZ = 30.0, 100.0
TOPIC = "joint_trajectory_controller/joint_trajectory"


@dataclass(frozen=True)
class Patience:
    """How long messages may stay away, or be old, before a contract holds the arm, s."""

    cameras: float
    states: float
    max_age: float


# What an arm of 30 Hz would be given, and what a machine allows that runs other tests beside.
TIGHT, SHARED = Patience(0.08, 0.06, 0.2), Patience(0.3, 0.3, 0.4)


def robot(patience: Patience = SHARED, **changes) -> dict:
    """Return the rig's contract as plain data, with changes."""
    limits = {"unit": "rad", "low": -1.0, "high": 1.0, "velocity": 1.0, "acceleration": 20.0,
              "jump": 0.15}
    return {
        "name": "rig",
        "cameras": {n: {"topic": f"camera/{n}/image_raw", "rate": CAMERA_HZ,
                        "timeout": patience.cameras, "frozen_after": 3} for n in CAMERAS},
        "joint_states": {"topic": "joint_states", "rate": JOINT_HZ,
                         "timeout": patience.states},
        "stamps": {"tolerance": 0.02, "max_age": patience.max_age, "max_ahead": 0.02},
        "actions": {j: limits | {"state": j} for j in JOINTS},
        "outputs": [{"type": "joint_trajectory", "topic": TOPIC, "channels": list(JOINTS)}],
        "execution": {"join": "replace", "max_duration": 0.5}} | changes


def feeling_robot() -> dict:
    """Return the rig's contract with a wrench, a vector and an effort."""
    every = {"rate": JOINT_HZ, "timeout": SHARED.states}
    return robot(
        joint_states={"topic": "joint_states", **every, "efforts": [JOINTS[2]]},
        wrenches={"hand": {"topic": "wrench", **every}},
        vectors={"tip": {"topic": "tactile", "names": ["tip_0", "tip_1"], **every}})
