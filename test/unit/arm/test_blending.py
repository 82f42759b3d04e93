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

"""How chunks take over from each other, and what real-time chunking asks of the policy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.policies import random_observation, tiny_policy_config, write_random_checkpoint
from tinyvla_ros.arm.blending import ENSEMBLE_DECAY, ChunkBlender
from tinyvla_ros.core.types import ActionChunk, Prefix
from tinyvla_ros.policy.policy import Policy

MS = 1_000_000
DT = 0.01
SCALE = np.array([2.0, 4.0])


def chunk(stamp_ms: float, actions, dt: float = DT) -> ActionChunk:
    return ActionChunk(round(stamp_ms * MS), ("x", "y"), np.asarray(actions, np.float32), dt)


def ramp(stamp_ms: float, rows: int = 8, slope: float = 1.0) -> ActionChunk:
    """Return a chunk on the same straight line for any stamp: x = y = t in s."""
    reached = (stamp_ms / 1e3 + DT * (np.arange(rows) + 1)) * slope
    return chunk(stamp_ms, np.stack([reached, reached], axis=1))


# ---- replace and ensemble -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replace", "rtc"])
def test_the_new_chunk_is_taken_as_it_is(mode):
    blender = ChunkBlender(mode, SCALE)
    first, second = ramp(0), chunk(35, np.ones((8, 2)))
    assert blender.blend(first, 0) is None, "nothing to blend with"
    assert blender.current is first
    assert blender.blend(second, 40 * MS) is not None
    assert blender.current is second


def test_an_ensemble_is_the_weighted_mean_of_all_chunks_that_cover_a_time():
    blender = ChunkBlender("ensemble", SCALE)
    values = [3.0, 5.0, 11.0]
    for i, value in enumerate(values):
        blender.blend(chunk(20 * i, np.full((5, 2), value)), 20 * i * MS)
    weights = np.exp(-ENSEMBLE_DECAY * np.arange(3))
    # Rows of the newest are at 40..90 ms; the oldest ends at 50, the second at 70.
    expected = [np.average(values, weights=weights)] + [
        np.average(values[1:], weights=weights[1:])] * 2 + [11.0] * 2
    assert np.allclose(blender.current.actions[:, 0], expected)
    assert blender.current.stamp_ns == 40 * MS
    assert blender.current.actions.dtype == np.float32


def test_what_somebody_else_does_is_executed_as_it_is_and_ends_an_ensemble():
    blender = ChunkBlender("ensemble", SCALE)
    blender.blend(chunk(0, np.full((8, 2), 3.0)), 0)
    blender.hand_over(chunk(20, np.full((8, 2), 9.0)), 40 * MS)
    # Before it took over, the arm did what it did before.
    assert blender.current.actions[:, 0].tolist() == [3.0] * 2 + [9.0] * 6
    blender.blend(chunk(60, np.full((8, 2), 5.0)), 60 * MS)
    assert blender.current.actions[:, 0].tolist() == [5.0] * 8


def test_the_first_chunk_of_an_ensemble_is_unchanged():
    blender = ChunkBlender("ensemble", SCALE)
    first = chunk(0, np.random.default_rng(0).normal(size=(16, 2)))
    blender.blend(first, 0)
    assert np.array_equal(blender.current.actions, first.actions)


@pytest.mark.parametrize("mode", ["ensemble", "rtc"])
def test_reset_forgets_all_chunks(mode):
    blender = ChunkBlender(mode, SCALE)
    blender.blend(chunk(0, np.ones((8, 2))), 0)
    blender.reset()
    assert blender.current is None
    assert blender.prefix(10 * MS, 30 * MS, 8) is None
    fresh = chunk(10, np.zeros((8, 2)))
    assert blender.blend(fresh, 10 * MS) is None
    assert np.array_equal(blender.current.actions, fresh.actions)


@pytest.mark.parametrize("stamp_ms", [20, 23.7, 29.999, 31.4])
def test_chunks_off_the_control_period_are_interpolated(stamp_ms):
    """A camera's stamps are not multiples of the period: a straight line must stay one."""
    blender = ChunkBlender("ensemble", SCALE)
    blender.blend(ramp(0), 0)
    blender.blend(ramp(stamp_ms), round(stamp_ms * MS))
    assert np.allclose(blender.current.actions, ramp(stamp_ms).actions, atol=1e-6)


# ---- the seam -------------------------------------------------------------------------------


def test_the_seam_is_measured_in_ranges_where_the_chunks_change_places():
    old = chunk(0, np.stack([np.zeros(8), 0.01 * np.arange(8)], axis=1))
    new = chunk(20, np.stack([np.full(8, 0.1), np.full(8, 0.03)], axis=1))
    blender = ChunkBlender("replace", SCALE)
    blender.blend(old, 0)
    seam = blender.blend(new, 40 * MS)
    # Row 2 of the new chunk against row 4 of the old one: 0.1 of 2, and -0.01 of 4.
    assert seam.position == pytest.approx(0.05)
    # Slopes: 0 against 0, and 0 against 0.01 per period, of a range of 4.
    assert seam.velocity == pytest.approx(0.01 / DT / 4)


@pytest.mark.parametrize("stamp_ms", [20, 23.7, 29.999])
def test_going_on_along_the_same_line_is_no_seam(stamp_ms):
    blender = ChunkBlender("replace", SCALE)
    blender.blend(ramp(0), 0)
    seam = blender.blend(ramp(stamp_ms), round((stamp_ms + 20) * MS))
    assert seam.position == pytest.approx(0.0, abs=1e-6)
    assert seam.velocity == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("now_ms", [5, 80, 200])
def test_there_is_no_seam_where_one_chunk_has_no_value(now_ms):
    """Before the second row of the old chunk there is no slope; after its last it ran out."""
    blender = ChunkBlender("replace", SCALE)
    blender.blend(ramp(0), 0)
    assert blender.blend(ramp(now_ms - 1), now_ms * MS) is None


# ---- what skipped increments left undone ----------------------------------------------------


def rates_blender(catch_up: float, takeover: float = 1.0) -> ChunkBlender:
    return ChunkBlender("replace", np.array([2.0, 2.0]), np.array([True, False]),
                        catch_up=catch_up, takeover=takeover,
                        fastest=(np.full(2, -1.0), np.full(2, 1.0)))


def test_increments_that_were_skipped_are_made_up_for_within_the_limits():
    """The old chunk stood still; the new one wanted 0.6 in each of the three rows it missed."""
    blender = rates_blender(1.0)
    blender.blend(chunk(0, np.zeros((16, 2))), 0)
    blender.blend(chunk(20, np.full((8, 2), 0.6)), 50 * MS)
    executed = blender.current.actions
    assert (executed[:3] == 0.0).all(), "what was executed meanwhile"
    # 1.8 are missing; 0.4 a row fit below 1.
    assert executed[3:, 0] == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.8])
    assert executed[3:, 1] == pytest.approx(0.6), "a position is where it is"
    assert executed[:, 0].sum() == pytest.approx(8 * 0.6)


def test_a_share_of_what_is_left_is_made_up_for_in_each_row():
    blender = rates_blender(0.5)
    blender.blend(chunk(0, np.full((16, 2), 0.2)), 0)
    blender.blend(chunk(20, np.zeros((8, 2))), 40 * MS)
    assert blender.current.actions[:, 0] == pytest.approx(
        [0.2, 0.2, -0.2, -0.1, -0.05, -0.025, -0.0125, -0.00625])


def test_a_large_step_is_taken_gradually_and_the_arm_still_gets_there():
    blender = rates_blender(1.0, takeover=0.1)
    blender.blend(chunk(0, np.zeros((40, 2))), 0)
    seam = blender.blend(chunk(0, np.full((40, 2), 0.4)), 20 * MS)
    executed = blender.current.actions
    assert executed[:5, 1] == pytest.approx([0.0, 0.0, 0.2, 0.4, 0.4])
    assert seam.position == pytest.approx(0.1)
    assert executed[2:8, 0] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.4])
    assert executed[:, 0].sum() == pytest.approx(40 * 0.4)


def test_a_small_step_is_taken_at_once():
    blender = rates_blender(0.0, takeover=0.1)
    blender.blend(chunk(0, np.zeros((40, 2))), 0)
    blender.blend(chunk(0, np.full((40, 2), 0.15)), 20 * MS)
    assert blender.current.actions[2:] == pytest.approx(0.15)


def test_at_once_hides_nothing_from_the_safety_layer():
    """A value far out of range stays one, so that the contract's on_violation decides."""
    blender = ChunkBlender("replace", np.array([2.0, 2.0]))
    blender.blend(chunk(0, np.full((8, 2), -1.0)), 0)
    blender.blend(chunk(0, np.full((8, 2), 9.0)), 20 * MS)
    assert (blender.current.actions[2:] == 9.0).all()


def test_a_slow_arm_catches_up_at_its_pace():
    blender = rates_blender(1.0)
    blender.blend(chunk(0, np.zeros((16, 2))), 0)
    blender.blend(chunk(20, np.full((8, 2), 0.3)), 60 * MS, pace=0.5)
    assert blender.current.actions[4:, 0] == pytest.approx(0.5)


@pytest.mark.parametrize("catch_up", [0.0, 1.0])
def test_nothing_is_made_up_for_where_nothing_was_skipped(catch_up):
    blender = rates_blender(catch_up)
    blender.blend(chunk(0, np.zeros((16, 2))), 0)
    new = chunk(20, np.full((8, 2), 0.6))
    blender.blend(new, 20 * MS)
    assert blender.current is new


# ---- the prefix of real-time chunking -------------------------------------------------------


def test_a_policy_trained_for_it_is_told_the_committed_rows_and_no_more():
    blender = ChunkBlender("committed", SCALE, most_committed=4)
    blender.blend(ramp(0, rows=12), 0)
    prefix = blender.prefix(20 * MS, 45 * MS, horizon=16)
    assert prefix.weights.tolist() == [1.0] * 3 + [0.0] * 13
    assert np.array_equal(prefix.actions[:3], blender.current.actions[2:5])
    assert blender.prefix(20 * MS, 200 * MS, horizon=16).weights.sum() == 4
    assert blender.prefix(20 * MS, 20 * MS, horizon=16) is None, "nothing happens meanwhile"


def test_committed_rows_are_in_the_time_of_the_policy():
    """At half the pace 40 ms are two rows of the policy, each the sum of two executed ones."""
    blender = ChunkBlender("committed", SCALE, np.array([True, False]), most_committed=8)
    blender.blend(chunk(0, np.arange(20)[:, None] * [0.01, 1.0]), 0)
    prefix = blender.prefix(20 * MS, 60 * MS, 8, pace=0.5)
    assert prefix.weights.tolist() == [1.0] * 2 + [0.0] * 6
    assert prefix.actions[:2, 0] == pytest.approx([0.02 + 0.03, 0.04 + 0.05])
    assert prefix.actions[:2, 1] == pytest.approx([3.0, 5.0])


@pytest.mark.parametrize("mode", ["replace", "ensemble"])
def test_only_real_time_chunking_has_a_prefix(mode):
    blender = ChunkBlender(mode, SCALE)
    blender.blend(ramp(0), 0)
    assert blender.prefix(20 * MS, 40 * MS, 8) is None


def test_what_will_have_been_executed_is_held_and_the_rest_less_and_less():
    blender = ChunkBlender("rtc", SCALE)
    blender.blend(ramp(0, rows=12), 0)
    prefix = blender.prefix(20 * MS, 50 * MS, horizon=16)
    assert prefix.weights.shape == (16,) and prefix.weights.dtype == np.float32
    assert prefix.actions.shape == (16, 2) and prefix.actions.dtype == np.float32
    assert (prefix.weights[:3] == 1.0).all(), "20 to 50 ms"
    falling = prefix.weights[2:11]
    assert (np.diff(falling) < 0).all() and falling[-1] == 0.0
    assert (prefix.weights[10:] == 0.0).all(), "the old chunk ends at 120 ms"
    # Equation 5 of the paper, first row after the committed ones: c = 7 / 8.
    assert prefix.weights[3] == pytest.approx(7 / 8 * (math.exp(7 / 8) - 1) / (math.e - 1))
    assert np.array_equal(prefix.actions[:10], blender.current.actions[2:])


@given(st.integers(0, 200 * MS), st.integers(-50 * MS, 300 * MS), st.integers(1, 24),
       st.sampled_from([4, 16]))
def test_prefix_weights_have_their_shape_at_all_times(stamp_ns, latency_ns, rows, horizon):
    blender = ChunkBlender("rtc", SCALE)
    blender.blend(ramp(0, rows=rows), 0)
    prefix = blender.prefix(stamp_ns, stamp_ns + latency_ns, horizon)
    overlap = (rows * 10 * MS - stamp_ns) // (10 * MS)  # whole rows that both cover
    if overlap <= 0:
        assert prefix is None
        return
    overlap = min(overlap, horizon)
    committed = min(max(math.ceil(latency_ns / (10 * MS)), 0), overlap)
    weights = prefix.weights
    assert (weights[:committed] == 1.0).all()
    assert ((weights[committed:overlap] > 0.0) & (weights[committed:overlap] < 1.0)).all()
    assert (np.diff(weights[committed:overlap]) < 0).all()
    assert (weights[overlap:] == 0.0).all()
    reached = (stamp_ns / 1e9 + DT * (np.arange(overlap) + 1))[:, None]
    assert np.allclose(prefix.actions[:overlap], reached, atol=1e-6)


def test_there_is_no_prefix_for_an_observation_before_the_chunk():
    blender = ChunkBlender("rtc", SCALE)
    blender.blend(ramp(50), 50 * MS)
    assert blender.prefix(40 * MS, 60 * MS, 8) is None


# ---- the policy -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["sample", "epsilon", "v_prediction"])
def policy(request, tmp_path_factory):
    config = tiny_policy_config(diffusion={"prediction": request.param, "sample_steps": 4})
    path = tmp_path_factory.mktemp(request.param)
    write_random_checkpoint(path, config)
    return Policy(path)


def a_prefix(policy, weights) -> Prefix:
    """Return smooth actions, not those that the policy would choose."""
    horizon, channels = policy.config.action.horizon, len(policy.config.action.channels)
    actions = 0.8 * np.sin(np.arange(horizon)[:, None] / 5 + np.arange(channels))
    return Prefix(actions.astype(np.float32), np.asarray(weights, np.float32))


def test_committed_rows_come_back_exactly(policy):
    observation = random_observation(policy.config)
    prefix = a_prefix(policy, [1.0] * 5 + [0.5] * 3 + [0.0] * 8)
    actions = policy.infer(observation, prefix).actions
    assert np.array_equal(actions[:5], prefix.actions[:5])
    assert actions.dtype == np.float32
    assert np.isfinite(actions).all() and np.abs(actions).max() <= 1.0


def test_a_prefix_of_no_weight_changes_nothing(policy):
    observation = random_observation(policy.config)
    free = policy.infer(observation).actions
    held = policy.infer(observation, a_prefix(policy, np.zeros(16))).actions
    assert np.array_equal(held, free)


def test_a_policy_that_is_told_goes_on_otherwise(tmp_path):
    config = tiny_policy_config(model={**tiny_policy_config().model.model_dump(),
                                       "committed_rows": 4})
    write_random_checkpoint(tmp_path, config)
    policy = Policy(tmp_path)
    observation = random_observation(config)
    free = policy.infer(observation).actions
    told = policy.infer(observation, a_prefix(policy, [1.0] * 3 + [0.0] * 13)).actions
    other = policy.infer(observation, a_prefix(policy, [1.0] * 2 + [0.0] * 14)).actions
    assert np.array_equal(told[:3], a_prefix(policy, np.ones(16)).actions[:3])
    assert not np.allclose(told[3:], free[3:], atol=1e-3)
    assert not np.allclose(told[3:], other[3:], atol=1e-3)
    none = policy.infer(observation, a_prefix(policy, np.zeros(16))).actions
    assert np.array_equal(none, free)


def test_more_weight_brings_a_row_nearer_to_the_old_chunk(policy):
    observation = random_observation(policy.config)
    distances = []
    for weight in (0.0, 0.3, 0.7, 0.999):
        prefix = a_prefix(policy, np.full(16, weight))
        distances.append(np.abs(policy.infer(observation, prefix).actions - prefix.actions).mean())
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.01


def test_the_same_prefix_gives_the_same_chunk(policy):
    observation = random_observation(policy.config)
    prefix = a_prefix(policy, [1.0] * 4 + [0.5] * 12)
    first = policy.infer(observation, prefix).actions
    policy.infer(replace(observation, stamp_ns=5))
    assert np.array_equal(policy.infer(observation, prefix).actions, first)
