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

"""Robot descriptions of small arms, with meshes that do not exist, as on robot_description."""

from __future__ import annotations

SO101_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
_AXES = ("0 0 1", "0 1 0", "0 1 0", "0 1 0", "1 0 0", "0 0 1", "0 1 0")


def urdf(joints=SO101_JOINTS, link_m: float = 0.12, kind: str = "revolute") -> str:
    """Return the URDF of a serial arm: one that pans, then bends, then rolls."""
    parts = ['<link name="base"/>']
    for i, (joint, axis) in enumerate(zip(joints, _AXES, strict=False)):
        parent = "base" if i == 0 else f"link_{i - 1}"
        parts.append(f"""
<link name="link_{i}">
  <visual><geometry><mesh filename="package://nobody/meshes/{joint}.stl"/></geometry></visual>
  <collision><geometry><mesh filename="package://nobody/meshes/{joint}.stl"/></geometry></collision>
</link>
<joint name="{joint}" type="{kind}">
  <parent link="{parent}"/><child link="link_{i}"/>
  <origin xyz="{link_m if i > 1 else 0} 0 {0.1 if i < 2 else 0}"/><axis xyz="{axis}"/>
  <limit lower="-1.9" upper="1.9" effort="10" velocity="10"/>
</joint>""")
    last = f"link_{len(joints) - 1}"
    parts.append(f"""
<link name="tool0"/><joint name="tool" type="fixed"><parent link="{last}"/><child link="tool0"/>
<origin xyz="{link_m} 0 0"/></joint>
<transmission name="t"><type>none</type></transmission>
<ros2_control name="r" type="system"><joint name="{joints[0]}"/></ros2_control>
<gazebo/>""")
    return f'<?xml version="1.0"?><robot name="arm">{"".join(parts)}</robot>'


MJCF = """
<mujoco model="arm">
  <compiler angle="radian" meshdir="nowhere"/>
  <default><default class="visual"><geom type="mesh" material="grey"/></default></default>
  <asset><mesh name="part" file="part.stl"/><material name="grey" rgba="1 1 1 1"/></asset>
  <worldbody>
    <light pos="0 0 3"/><camera name="front" pos="1 0 0"/>
    <body name="one" pos="0 0 0.1"><joint name="pan" axis="0 0 1" range="-2 2"/>
      <geom class="visual" mesh="part"/>
      <body name="two" pos="0 0 0.1"><joint name="lift" axis="0 1 0" range="-2 2"/>
        <geom class="visual" mesh="part"/>
        <body name="three" pos="0.2 0 0"><joint name="bend" axis="0 1 0" range="-2 2"/>
          <site name="grip" pos="0.2 0 0"/>
          <body name="finger"><joint name="jaw" axis="0 0 1" range="0 1"/></body>
        </body></body></body>
  </worldbody>
  <actuator><position joint="pan"/></actuator>
  <contact><exclude body1="one" body2="two"/></contact>
</mujoco>"""
