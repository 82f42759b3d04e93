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

"""Numbers out of joint states, poses, wrenches and vectors: by name, or refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.state_messages import (
    JointReader,
    joint_values,
    named_values,
    pose_values,
    vector_values,
    wrench_values,
)

AB = {"a": ("position", "a"), "b": ("position", "b")}
FELT = {"a": ("position", "a"), "a.velocity": ("velocity", "a"), "b.effort": ("effort", "b")}


def joints(names, position=(), velocity=(), effort=()):
    return SimpleNamespace(name=list(names), position=list(position), velocity=list(velocity),
                           effort=list(effort))


def test_joints_are_read_by_name():
    assert JointReader(AB)(joints("bax", [2.0, 1.0, math.nan])) == {"a": 1.0, "b": 2.0}


def test_velocities_and_efforts_are_read_by_name():
    msg = joints("ba", [2.0, 1.0], [4.0, 3.0], [6.0, 5.0])
    assert JointReader(FELT)(msg) == {"a": 1.0, "a.velocity": 3.0, "b.effort": 6.0}


@given(st.lists(st.permutations("abcd"), min_size=1, max_size=5))
def test_the_order_may_change_with_every_message(orders):
    read = JointReader({f"left_{n}": ("position", n) for n in "dbca"})
    for order in orders:
        values = read(joints(order, ["abcd".index(n) for n in order]))
        assert list(values.items()) == [("left_d", 3), ("left_b", 1), ("left_c", 2),
                                        ("left_a", 0)], "always in the same order"


@pytest.mark.parametrize("msg", [joints("abww", [1.0, 2.0, 3.0, 4.0]),
                                 joints("wba", [math.inf, 2.0, 1.0]),
                                 joints("ab", [1.0, 2.0], [math.nan, 0.0], [1.0])])
def test_what_is_wrong_with_values_that_nobody_asked_for_is_no_error(msg):
    assert JointReader(AB)(msg) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("names", ["ab", ""])
def test_a_joint_state_without_positions_is_legal(names):
    """sensor_msgs/JointState: a field may be empty if there is nothing to say about it."""
    assert JointReader(AB)(joints(names)) == {}
    assert joint_values(joints(names), "position") == {}


def test_values_of_other_joints_alone_are_none():
    assert JointReader(AB)(joints("wx", [1.0, 2.0])) == {}


@pytest.mark.parametrize(("msg", "words"), [
    (joints("ab", [1.0]), "2 names and 1 positions"),
    (joints("aba", [1.0, 2.0, 3.0]), "'a' twice"),
    (joints("ab", [1.0, 2.0], [0.0], [0.0, 0.0]), "2 names and 1 velocities"),
    (joints("ab", [1.0, 2.0], [0.0, 0.0], [0.0] * 3), "2 names and 3 efforts"),
    (joints("ab", [math.inf, 1.0]), "'a' is inf; positions"),
    (joints("ab", [0.0, 1.0], [math.nan, 1.0]), "velocity of joint 'a' is nan"),
    (joints("ab", [0.0, 1.0], effort=[0.0, math.nan]), "effort of joint 'b' is nan"),
])
def test_bad_joint_states_are_refused_again_and_again(msg, words):
    read = JointReader(FELT)
    for _ in range(2):
        with pytest.raises(MessageError, match=words):
            read(msg)
    assert read(joints("ab", [1.0, 2.0])) == {"a": 1.0}, "a good one is taken again"


def test_of_a_joint_named_twice_nobody_knows_which_value_it_is():
    values = joint_values(joints("aba", [1.0, 2.0, 3.0]), "position")
    assert math.isnan(values["a"]) and values["b"] == 2.0
    with pytest.raises(MessageError, match="2 names and 1 efforts"):
        joint_values(joints("ab", effort=[1.0]), "effort")


def test_poses_and_wrenches_are_read_in_order():
    xyz = SimpleNamespace(x=1.0, y=2.0, z=3.0)
    assert pose_values(SimpleNamespace(pose=SimpleNamespace(position=xyz))) == (1.0, 2.0, 3.0)
    other = SimpleNamespace(x=4.0, y=5.0, z=6.0)
    wrench = SimpleNamespace(wrench=SimpleNamespace(force=xyz, torque=other))
    assert wrench_values(wrench) == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def test_a_vector_holds_its_numbers_alone():
    msg = SimpleNamespace(data=[1.0, 2.0], layout=SimpleNamespace(data_offset=0, dim=[]))
    assert vector_values(msg) == [1.0, 2.0]
    msg.layout.data_offset = 3
    with pytest.raises(MessageError, match="data_offset 3"):
        vector_values(msg)


def test_only_the_wanted_numbers_are_read_and_must_be_finite():
    assert named_values("xyz", [1.0, math.nan, 3.0], {"z": 2, "x": 0}) == {"z": 3.0, "x": 1.0}
    with pytest.raises(MessageError, match="'y' is nan"):
        named_values("xyz", [1.0, math.nan, 3.0], {"y": 1})
    with pytest.raises(MessageError, match=r"2 numbers.*names 3"):
        named_values("xyz", [1.0, 2.0], {"x": 0})
