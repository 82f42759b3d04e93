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

"""Axes and buttons of what the page sends as a joystick; ``config/teleop/panel.yaml`` maps them.

The page has an axis for every joint and every direction of the end effector, so that a button on
the screen, and each stick of a gamepad, is what its label says in both modes.
"""

from __future__ import annotations

JOINTS = 16
JOINT_AXES = range(JOINTS)
# x, y, z, roll, pitch, yaw.
END_EFFECTOR_AXES = range(JOINTS, JOINTS + 6)
GRIPPER_AXIS = JOINTS + 6
AXES = JOINTS + 7
DEAD_MAN, MODE, START, SUCCESS, FAILURE, DISCARD = BUTTONS = range(6)
# What a request may press, beside the dead man.
PRESSES = {"mode": MODE, "start": START, "success": SUCCESS, "failure": FAILURE,
           "discard": DISCARD}
# Relative name of the topic.
TOPIC = "panel_joy"
