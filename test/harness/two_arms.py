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

"""Episodes of two arms with the same joint names, which also feel; see ``harness.bags``."""

from __future__ import annotations

import numpy as np
import yaml

from harness import bags, ros_messages
from harness.bags import SIM_NS, WALL_NS, Sent

JOINT_STATE = "sensor_msgs/msg/JointState"
WRENCH, VECTOR = "geometry_msgs/msg/WrenchStamped", "std_msgs/msg/Float64MultiArray"
MS = 1_000_000
CONTRACT = bags.CONTRACT | {
    "ee_pose": None,
    "joint_states": {"left": {"topic": "left/joint_states", "prefix": "left_",
                              "efforts": ["left_pan"]},
                     "right": {"topic": "right/joint_states", "prefix": "right_"}},
    "wrenches": {"hand": {"topic": "wrench"}},
    "vectors": {"tip": {"topic": "tactile", "names": ["tip_0", "tip_1"]}}}
STATE = ["left_pan", "left_lift", "left_pan.effort", "right_pan", "right_lift",
         *(f"hand_{a}" for a in ("fx", "fy", "fz", "tx", "ty", "tz")), "tip_0", "tip_1"]


def arm(side: str, stamp_ns: int, pan: float, lift: float, log_ns: int, turned: bool) -> Sent:
    """Return a joint state with efforts ten times the positions, perhaps in the other order."""
    names, values = ["pan", "lift"], [pan, lift]
    if turned:
        names, values = names[::-1], values[::-1]
    msg = ros_messages.joint_state(stamp_ns, dict(zip(names, values, strict=True)))
    msg.effort = np.array(values) * 10
    return Sent(f"/{side}/joint_states", JOINT_STATE, log_ns, msg)


def episode(turned=()) -> list[Sent]:
    """Two arms in lock-step; the joints of the sides in ``turned`` come in the other order."""
    sent = [s for s in bags.lockstep(12) if s.topic not in ("/joint_states", "/ee_pose")]
    for i in range(12):
        stamp, log = SIM_NS + i * 50 * MS, WALL_NS + i * 200 * MS + MS
        sent += [
            arm("left", stamp, i / 10, -i / 10, log, "left" in turned),
            arm("right", stamp, i / 5, -i / 5, log, "right" in turned),
            Sent("/wrench", WRENCH, log, ros_messages.wrench(stamp, (i, 0, 1), (0, 2, 0))),
            Sent("/tactile", VECTOR, log + MS, ros_messages.vector([i + 0.5, -1.0]))]
    return sent


def about(**more) -> dict[str, str]:
    """Return what our recorder notes of it."""
    return bags.custom(robot_contract=yaml.safe_dump(CONTRACT), **more)
