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

"""End effectors that are moved by their joints, from URDF and MJCF without their meshes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mink", reason="needs the extra teleop")

from harness.arm_descriptions import MJCF, SO101_JOINTS, urdf
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.teleop.kinematics import MOST_LAG, Kinematics, model_text

LIMITS = dict.fromkeys(SO101_JOINTS, (-1.8, 1.8, 3.0))
SIX = tuple(f"joint_{i}" for i in range(1, 7))
BENT = np.array([0.1, -0.4, 0.9, 0.5, 0.0])
STEP_S = 0.02


def lead(kinematics: Kinematics, q: np.ndarray, twist, steps: int) -> np.ndarray:
    """Follow a twist for some steps; return the positions of the joints."""
    kinematics.begin(q)
    for _ in range(steps):
        q = q + STEP_S * kinematics.speeds(q, np.asarray(twist, float), STEP_S)
    return q


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_arm_of_five_joints_moves_straight(axis):
    kinematics = Kinematics(urdf(), LIMITS)
    twist = np.zeros(6)
    twist[axis] = 0.05 if axis != 0 else -0.05
    start = kinematics.position(BENT)
    moved = kinematics.position(lead(kinematics, BENT, twist, 50)) - start
    expected = twist[:3] * 50 * STEP_S
    assert np.linalg.norm(moved - expected) < 0.006


def test_an_arm_of_six_joints_turns_in_place():
    kinematics = Kinematics(urdf(SIX), dict.fromkeys(SIX, (-1.8, 1.8, 3.0)))
    q = np.array([0.1, -0.4, 0.9, 0.5, 0.3, 0.2])
    start = kinematics.position(q)
    end = lead(kinematics, q, [0, 0, 0, 0, 0, 0.3], 50)
    assert np.linalg.norm(kinematics.position(end) - start) < 0.005
    assert np.abs(end - q).max() > 0.1


def test_without_a_twist_it_stands_still():
    kinematics = Kinematics(urdf(), LIMITS)
    assert np.abs(lead(kinematics, BENT, np.zeros(6), 50) - BENT).max() < 1e-3


def test_joints_keep_their_range_and_speed_where_the_arm_cannot_go():
    kinematics = Kinematics(urdf(), dict.fromkeys(SO101_JOINTS, (-1.0, 1.0, 0.5)))
    q = np.array([0.0, -0.4, 0.9, 0.5, 0.0])
    kinematics.begin(q)
    for _ in range(300):
        speeds = kinematics.speeds(q, np.array([0.3, 0.0, 0.0, 0, 0, 0]), STEP_S)
        assert np.isfinite(speeds).all() and np.abs(speeds).max() <= 0.5 + 1e-6
        q = q + STEP_S * speeds
        assert np.abs(q).max() <= 1.0 + 1e-6
    # It comes back at once: what it could not reach is not kept.
    reached = kinematics.position(q)
    for _ in range(50):
        q = q + STEP_S * kinematics.speeds(q, np.array([-0.1, 0, 0, 0, 0, 0]), STEP_S)
    assert reached[0] - kinematics.position(q)[0] > 2 * MOST_LAG


def test_a_joint_outside_its_range_is_no_failure():
    kinematics = Kinematics(urdf(), LIMITS)
    q = BENT + np.array([0, 0, 1.5, 0, 0])
    kinematics.begin(q)
    assert np.isfinite(kinematics.speeds(q, np.array([0, 0, 0.1, 0, 0, 0]), STEP_S)).all()


def test_an_mjcf_with_meshes_that_are_not_there_serves_as_well():
    joints = dict.fromkeys(("pan", "lift", "bend"), (-2.0, 2.0, 2.0))
    kinematics = Kinematics(MJCF, joints, "grip")
    q = np.array([0.0, -0.5, 1.0])
    start = kinematics.position(q)
    moved = kinematics.position(lead(kinematics, q, [0, 0, 0.05, 0, 0, 0], 50)) - start
    assert moved[2] == pytest.approx(0.05, abs=0.01)


def test_an_mjcf_may_include_another(tmp_path):
    (tmp_path / "arm.xml").write_text(MJCF)
    scene = tmp_path / "scene.xml"
    scene.write_text('<mujoco><include file="arm.xml"/><worldbody><geom type="plane" '
                     'size="1 1 1"/></worldbody></mujoco>')
    text, folder = model_text(scene)
    assert Kinematics(text, {"pan": (-1, 1, 1)}, "grip", folder).frame == "grip"


def test_a_usual_name_is_found_and_else_the_last_link():
    assert Kinematics(urdf(), LIMITS).frame == "tool0"
    assert Kinematics(urdf().replace("tool0", "thing"), LIMITS).frame == "link_4"


@pytest.mark.parametrize(("text", "joints", "frame", "names"), [
    ("not xml", LIMITS, "", ["XML", "URDF"]),
    ("", LIMITS, "", ["XML"]),
    ("<html/>", LIMITS, "", ["html", "URDF", "MJCF"]),
    ("<robot name='r'/>", LIMITS, "", ["robot description"]),
    (urdf(), {"elbow": (-1, 1, 1)}, "", ["elbow", "elbow_flex"]),
    (urdf(), LIMITS, "tool", ["ee_frame", "tool", "tool0"]),
    ("<mujoco><include file='gone.xml'/></mujoco>", LIMITS, "", ["gone.xml"]),
    (urdf(kind="planar"), LIMITS, "", [])])
def test_what_is_no_arm_is_refused_in_one_sentence(text, joints, frame, names):
    with pytest.raises(InputError) as error:
        Kinematics(text, joints, frame)
    assert all(n in str(error.value) for n in names), error.value


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.urdf"):
        model_text(tmp_path / "none.urdf")
