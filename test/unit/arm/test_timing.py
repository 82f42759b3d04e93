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

"""Assembling observations by stamp, and following chunks by time."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.policies import tiny_policy_config
from tinyvla_ros.arm.chunk_follower import ChunkFollower
from tinyvla_ros.arm.observation.assembler import ObservationAssembler
from tinyvla_ros.arm.observation.stamp_matching import nearest_index
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.types import ActionChunk

IMAGE = np.zeros((48, 48, 3), np.uint8)
EE = ("ee_x", "ee_y", "ee_z")
JOINTS = tuple(n for n in tiny_policy_config().state if n not in EE)
STREAMS = {"joint_states": {n: n for n in JOINTS}, "ee_pose": {n: n for n in EE}}
MS = 1_000_000


@pytest.fixture
def assembler():
    config = tiny_policy_config(
        cameras={name: {"height": 48, "width": 48} for name in ("side", "front")})
    assembler = ObservationAssembler(config, 10 * MS, STREAMS)
    assembler.instruction = "reach the red target"
    return assembler


def feed(assembler, stamp, *, side=True, front=True, joints=True, pose=True):
    if side:
        assembler.add_image("side", stamp, IMAGE)
    if front:
        assembler.add_image("front", stamp, IMAGE)
    if joints:
        assembler.add_states("joint_states", stamp, dict.fromkeys(JOINTS, stamp / 1e9))
    if pose:
        assembler.add_states("ee_pose", stamp, dict.fromkeys(EE, 0.0) | {"ee_z": stamp / 1e9})


def test_a_complete_moment_is_an_observation(assembler):
    feed(assembler, 100 * MS)
    observation = assembler.latest()
    assert observation.stamp_ns == 100 * MS
    assert set(observation.images) == {"side", "front"}
    assert observation.state["right_j0"] == 0.1
    assert observation.state["ee_z"] == 0.1


@pytest.mark.parametrize("part", ["side", "front", "joints", "pose"])
def test_nothing_is_filled_in(assembler, part):
    feed(assembler, 100 * MS, **{part: False})
    assert assembler.latest() is None
    assert len(assembler.missing()) == 1


def test_an_incomplete_newer_moment_leaves_the_older_one(assembler):
    feed(assembler, 100 * MS)
    feed(assembler, 150 * MS, front=False)
    assert assembler.latest().stamp_ns == 100 * MS


def test_the_nearest_state_within_tolerance_is_taken(assembler):
    for stamp in (80, 95, 120):
        feed(assembler, stamp * MS, side=False, front=False)
    feed(assembler, 99 * MS, joints=False, pose=False)
    assert assembler.latest().state["right_j0"] == pytest.approx(0.095)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(-5, 45),
       st.integers(0, 15))
def test_one_rule_says_which_message_belongs_to_a_moment(stamps, moment, tolerance):
    stamps.sort()
    # Nearest first; of equally near ones the later, of equal stamps the last.
    best = min(range(len(stamps)), key=lambda i: (abs(stamps[i] - moment), -stamps[i], -i))
    found = nearest_index(stamps, moment, tolerance)
    assert found == (best if abs(stamps[best] - moment) <= tolerance else None)


def test_stale_state_gives_no_observation(assembler):
    feed(assembler, 50 * MS, side=False, front=False)
    feed(assembler, 100 * MS, joints=False, pose=False)
    assert assembler.latest() is None


def test_no_instruction_no_observation(assembler):
    assembler.instruction = None
    feed(assembler, 100 * MS)
    assert assembler.latest() is None
    assert assembler.missing() == ["instruction"]


def test_one_message_out_of_order_is_refused_and_changes_nothing(assembler):
    feed(assembler, 900 * MS)
    with pytest.raises(MessageError, match=r"0\.800 s older"):
        assembler.add_image("side", 100 * MS, IMAGE)
    assert assembler.add_image("side", 950 * MS, IMAGE) is False
    with pytest.raises(MessageError):  # the one before does not count any more
        assembler.add_image("side", 101 * MS, IMAGE)
    assert assembler.latest().stamp_ns == 900 * MS


def test_a_second_one_means_a_clock_reset_and_all_is_forgotten(assembler):
    feed(assembler, 900 * MS)
    with pytest.raises(MessageError):
        assembler.add_image("side", 100 * MS, IMAGE)
    assert assembler.add_image("side", 133 * MS, IMAGE) is True
    assert assembler.missing() == ["camera/front", "joint_states", "ee_pose"]
    feed(assembler, 133 * MS, side=False)
    assert assembler.latest().stamp_ns == 133 * MS


def test_a_message_sent_again_is_not_out_of_order(assembler):
    feed(assembler, 100 * MS)
    feed(assembler, 100 * MS)
    assert assembler.latest().stamp_ns == 100 * MS


def test_joints_may_come_in_several_messages_in_any_order(assembler):
    arm, fingers = JOINTS[:7], JOINTS[7:]
    feed(assembler, 100 * MS, joints=False)
    assembler.add_states("joint_states", 99 * MS, dict.fromkeys(reversed(arm), 1.0))
    assert assembler.latest() is None
    assert assembler.missing() == [f"joint_states ({', '.join(fingers)})"]
    assert assembler.complete_until("joint_states") is None
    assembler.add_states("joint_states", 101 * MS, dict.fromkeys(fingers, 2.0))
    state = assembler.latest().state
    assert [state[n] for n in (*arm, *fingers)] == [1.0] * 7 + [2.0] * 2
    assert assembler.complete_until("joint_states") == 99 * MS
    assert assembler.newest_state()["right_j0"] == 1.0


def test_messages_of_other_joints_alone_are_passed_over_and_the_needed_ones_named(assembler):
    feed(assembler, 100 * MS, joints=False)
    assert assembler.missing() == ["joint_states"]
    for other in (["somebody_elses"], []):
        assembler.note_others("joint_states", other)
        assert assembler.latest() is None
        missing, = assembler.missing()
        assert all(n in missing for n in (*JOINTS, *other))
    feed(assembler, 100 * MS)
    assembler.note_others("joint_states", ["somebody_elses"])
    assert assembler.missing() == []
    assert assembler.latest().stamp_ns == 100 * MS


def test_it_names_the_part_of_a_stream_that_the_newest_image_lacks(assembler):
    feed(assembler, 100 * MS)
    feed(assembler, 150 * MS, joints=False)
    assembler.add_states("joint_states", 150 * MS, dict.fromkeys(JOINTS[1:], 0.0))
    assert assembler.unpaired().startswith(f"joint_states ({JOINTS[0]}) has nothing within")


def test_streams_with_the_same_parts_are_never_mixed():
    """Two arms whose drivers use the same joint names, in whatever order they come."""
    arms = {"joint_states/left": {"left_a": "a", "left_b": "b"},
            "joint_states/right": {"right_a": "a", "right_b": "b"}}
    config = tiny_policy_config(cameras={"front": {"height": 48, "width": 48}})
    assembler = ObservationAssembler(config, 0, arms)
    assembler.instruction = config.instructions[0]
    assembler.add_image("front", 1, IMAGE)
    assembler.add_states("joint_states/right", 1, {"right_b": 4.0, "right_a": 3.0})
    assert assembler.latest() is None
    assert assembler.missing() == ["joint_states/left"]
    assembler.add_states("joint_states/left", 1, {"left_b": 2.0, "left_a": 1.0})
    assert assembler.latest().state == {"left_a": 1.0, "left_b": 2.0, "right_a": 3.0,
                                        "right_b": 4.0}


@pytest.mark.parametrize(("part", "words"), [
    ("front", "camera front has no image within 0.01 s"),
    ("joints", "joint_states has nothing within 0.01 s"),
    ("pose", "ee_pose has nothing within 0.01 s"),
])
def test_it_names_what_the_newest_image_lacks(assembler, part, words):
    feed(assembler, 100 * MS)
    assert assembler.unpaired() == ""
    feed(assembler, 150 * MS, **{part: False})
    assert assembler.unpaired().startswith(words)


@pytest.mark.parametrize("period_ns", [MS, 1_000])
def test_memory_is_bounded_whatever_comes(assembler, period_ns):
    def feed_joints(begin: int, end: int) -> int:
        """Hand in joints of all names in odd combinations; return the memory in use, bytes."""
        for i in range(begin, end):
            assembler.add_states("joint_states", i * period_ns,
                                 {JOINTS[i % 9]: 0.0, JOINTS[i * 7 % 9]: 0.0})
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = feed_joints(0, 25_000)
        after = feed_joints(25_000, 50_000)
    finally:
        tracemalloc.stop()
    assert after < 1.1 * before + 10_000


def chunk(stamp, value, rows=4, dt=0.01):
    return ActionChunk(stamp, ("x",), np.full((rows, 1), value, np.float32)
                       + np.arange(rows, dtype=np.float32)[:, None], dt)


def test_rows_are_chosen_by_time():
    follower = ChunkFollower()
    assert follower.action(0) is None
    assert follower.accept(chunk(100 * MS, 0.0))
    assert follower.action(100 * MS) == 0.0
    assert follower.action(119 * MS) == 1.0
    assert follower.action(139 * MS) == 3.0
    assert follower.action(140 * MS) is None, "past the last row the robot holds"
    assert follower.action(99 * MS) is None


def test_a_newer_chunk_replaces_and_an_older_is_refused():
    follower = ChunkFollower()
    follower.accept(chunk(100 * MS, 0.0))
    assert follower.accept(chunk(120 * MS, 50.0))
    assert not follower.accept(chunk(110 * MS, 90.0))
    assert follower.action(131 * MS) == 51.0


def test_chunks_of_the_episode_before_are_refused():
    follower = ChunkFollower()
    follower.reset(500 * MS)
    assert not follower.accept(chunk(499 * MS, 0.0))
    assert follower.accept(chunk(500 * MS, 0.0))


@given(st.integers(1, 10**15), st.integers(1, 64), st.integers(-50, 200),
       st.sampled_from([0.001, 0.0125, 0.02, 0.1]))
def test_the_row_is_the_one_whose_period_holds_the_time(stamp, rows, steps, dt):
    follower = ChunkFollower()
    follower.accept(chunk(stamp, 0.0, rows, dt))
    action = follower.action(stamp + steps * round(dt * 1e9))
    if 0 <= steps < rows:
        assert action == steps
    else:
        assert action is None
