# SPDX-License-Identifier: Apache-2.0
"""Assembling observations by stamp, and following chunks by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support import tiny_policy_config
from tinyvla_ros.assembly import ObservationAssembler
from tinyvla_ros.chunk_follower import ChunkFollower
from tinyvla_ros.types import ActionChunk

IMAGE = np.zeros((48, 48, 3), np.uint8)
MS = 1_000_000


@pytest.fixture
def assembler():
    config = tiny_policy_config(
        cameras={name: {"height": 48, "width": 48} for name in ("side", "front")})
    assembler = ObservationAssembler(config, tolerance_ns=10 * MS)
    assembler.instruction = "reach the red target"
    return assembler


def feed(assembler, stamp, *, side=True, front=True, joints=True, pose=True):
    if side:
        assembler.add_image("side", stamp, IMAGE)
    if front:
        assembler.add_image("front", stamp, IMAGE)
    if joints:
        assembler.add_joints(stamp, {n: stamp / 1e9 for n in assembler.joint_names})
    if pose:
        assembler.add_pose(stamp, {"ee_x": 0.0, "ee_y": 0.0, "ee_z": stamp / 1e9})


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


def test_stale_state_gives_no_observation(assembler):
    feed(assembler, 50 * MS, side=False, front=False)
    feed(assembler, 100 * MS, joints=False, pose=False)
    assert assembler.latest() is None


def test_no_instruction_no_observation(assembler):
    assembler.instruction = None
    feed(assembler, 100 * MS)
    assert assembler.latest() is None
    assert assembler.missing() == ["instruction"]


def test_time_going_back_forgets_what_came_before(assembler):
    feed(assembler, 900 * MS)
    feed(assembler, 100 * MS)
    assert assembler.latest().stamp_ns == 100 * MS
    feed(assembler, 101 * MS, front=False, joints=False, pose=False)
    assert assembler.latest().stamp_ns in (100 * MS, 101 * MS)


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
