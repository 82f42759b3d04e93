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

"""The safety layer: for any input the output is finite and within every limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tinyvla_ros.arm.contract import Channel, OnViolation
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion, SafetyLayer

# Relative: what the layer itself takes for rounding is a hundred times less.
TOLERANCE = 1e-4
# Strategies that build nested data are slow on a loaded machine; that is no failure.
PATIENT = settings(max_examples=150, deadline=None,
                   suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def channel(**changes) -> Channel:
    return Channel(**{"unit": "rad", "low": -1.0, "high": 1.0} | changes)


def joint(**changes) -> Channel:
    """Return a position with all limits: 0.02 rad a period, and 0.002 of change of that."""
    return channel(**{"velocity": 1.0, "acceleration": 5.0} | changes)


def layer(*channels: Channel, dt: float = 0.02, **on_violation) -> SafetyLayer:
    names = {f"c{i}": c for i, c in enumerate(channels)}
    return SafetyLayer(names, OnViolation(**on_violation), dt)


def column(*values) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def nothing(*channels) -> list[None]:
    return [None] * max(1, len(channels))


# ---- properties -----------------------------------------------------------------------------

sizes = st.floats(0.01, 50.0)


@st.composite
def some_limits(draw) -> Channel:
    low = draw(st.floats(-10.0, 9.0))
    high = low + draw(sizes)
    to_zero = low <= 0.0 <= high and draw(st.booleans())
    velocity = draw(st.none() | sizes)
    if to_zero:
        if velocity is not None:
            velocity = max(velocity, max(-low, high) / 4)
        return channel(unit="m", low=low, high=high, velocity=velocity, hold="zero")
    acceleration = None
    if velocity is not None and draw(st.booleans()):
        acceleration = velocity * draw(st.floats(0.25, 300.0))
    return channel(unit="m", low=low, high=high, velocity=velocity, acceleration=acceleration)


good_values = st.floats(-12.0, 12.0, width=32)
any_values = good_values | st.sampled_from([1e30, -1e30, 3e38, -3e38, 1e-40, -0.0])


def some_commands(channels: int, values=any_values):
    return st.lists(st.lists(values, min_size=channels, max_size=channels), min_size=1,
                    max_size=16).map(lambda rows: np.array(rows, np.float32))


def assert_within(rows: np.ndarray, begin: Motion, limits: list[Channel], dt: float) -> None:
    """Check (rows, channels) that go on from a motion against all limits of all channels."""
    assert np.isfinite(rows).all()
    for i, c in enumerate(limits):
        lowest, highest = min(c.low, begin.value[i]), max(c.high, begin.value[i])
        assert lowest <= rows[:, i].min() and rows[:, i].max() <= highest
        rounding = 1e-12 * max(abs(lowest), abs(highest))
        changes = np.concatenate([[begin.step[i]],
                                  np.diff(rows[:, i], prepend=begin.value[i])])
        if c.velocity is not None:
            assert np.abs(changes).max() <= c.velocity * dt * (1 + TOLERANCE) + rounding
        if c.acceleration is not None:
            most = c.acceleration * dt * dt * (1 + TOLERANCE) + 4 * rounding
            assert np.abs(np.diff(changes)).max() <= most


def plan_of(safety: SafetyLayer, verdict, dt: float, start_ns: int) -> Plan:
    """Return the plan a supervisor makes of a verdict: the commands, then the brakes."""
    commands, begin = verdict.commands, verdict.begin
    before = commands[-2] if len(commands) > 1 else begin.value
    tail = safety.brake(Motion(commands[-1], commands[-1] - before))
    names = tuple(f"c{i}" for i in range(commands.shape[1]))
    return Plan(start_ns, round(dt * 1e9), np.concatenate([commands, tail]), names, begin)


@PATIENT
@given(st.data())
def test_all_limits_hold_within_and_between_chunks_for_any_commands(data):
    limits = data.draw(st.lists(some_limits(), min_size=1, max_size=3))
    dt = data.draw(st.sampled_from([0.005, 0.0125, 1 / 30, 0.1]))
    safety, plan = layer(*limits, dt=dt), None
    for _ in range(data.draw(st.integers(1, 4))):
        commands = data.draw(some_commands(len(limits)))
        now_ns, motion = 0, None
        if plan is not None:  # anywhere in the plan or after it, not only where a row begins
            now_ns = plan.start_ns + data.draw(st.integers(0, int(1.2 * len(plan.commands))
                                                           * plan.dt_ns))
            motion = plan.motion(now_ns)
        verdict = safety.check(commands, motion, nothing(*limits))
        assert verdict.action == "pass", "position, velocity and acceleration are clamped"
        assert verdict.commands.shape == commands.shape
        plan = plan_of(safety, verdict, dt, now_ns)
        assert_within(plan.commands, plan.begin, limits, dt)
        to_zero = np.array([c.hold == "zero" for c in limits])
        rest = plan.motion(plan.end_ns)
        assert not rest.step.any()
        assert not rest.value[to_zero].any()
        if motion is not None:
            assert np.array_equal(plan.begin.value, motion.value)


@PATIENT
@given(st.data())
def test_one_can_brake_at_any_time(data):
    limits = data.draw(st.lists(some_limits(), min_size=1, max_size=3))
    safety, dt = layer(*limits, dt=0.0125), 0.0125
    verdict = safety.check(data.draw(some_commands(len(limits))), None, nothing(*limits))
    plan = plan_of(safety, verdict, dt, 0)
    motion = plan.motion(data.draw(st.integers(0, plan.end_ns)))
    rows = safety.brake(motion)
    assert len(rows) >= 1
    assert_within(rows, motion, limits, dt)
    further = safety.brake(Motion(rows[-1], np.diff(rows, axis=0, prepend=motion.value[None])[-1]))
    assert len(further) == 1 and np.array_equal(further[-1], rows[-1]), "it ends at rest"


@PATIENT
@given(st.data())
def test_what_violates_nothing_passes_bit_for_bit(data):
    limits = data.draw(st.lists(some_limits(), min_size=1, max_size=3))
    safety = layer(*limits)
    commands = data.draw(some_commands(len(limits)))
    verdict = safety.check(commands, None, nothing(*limits))
    touched = {name.split()[1] for name in safety.interventions}
    for i, c in enumerate(limits):
        wanted = commands[:, i].astype(np.float64)
        if f"c{i}" not in touched:
            inside = (c.low <= wanted) & (wanted <= c.high)
            assert np.array_equal(verdict.commands[inside, i], wanted[inside])
    # And what it gave is within its own limits: given back, it passes.
    again = layer(*limits).check(verdict.commands, verdict.begin, nothing(*limits))
    assert np.allclose(again.commands, verdict.commands, rtol=1e-6, atol=1e-9)


def test_clamping_one_channel_leaves_the_others_alone():
    commands = np.array([[1.0, 0.0], [1e-12, 1.0], [1.0, 1.0]])
    verdict = layer(channel(), joint()).check(commands, None, [None, None])
    assert np.array_equal(verdict.commands[:, 0], commands[:, 0])
    assert verdict.commands[1, 1] < 1.0


@given(some_commands(4, st.floats(-1.0, 1.0, width=32)))
def test_metaworld_chunks_come_out_unchanged(commands):
    zero = channel(unit="cm per control step", hold="zero")
    safety = layer(zero, zero, zero, channel(), dt=0.0125)
    motion = None
    for _ in range(2):
        verdict = safety.check(commands, motion, [None] * 4)
        assert np.array_equal(verdict.commands.astype(np.float32), commands)
        assert np.array_equal(np.signbit(verdict.commands), np.signbit(commands))
        motion = plan_of(safety, verdict, 0.0125, 0).motion(8 * 12_500_000)
    assert not safety.interventions


@PATIENT
@given(st.data(), st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from(["hold",
                                                                                    "stop"]))
def test_nothing_that_is_not_finite_gets_out(data, value, reaction):
    limits = data.draw(st.lists(some_limits(), min_size=1, max_size=3))
    safety = layer(*limits, finite=reaction)
    commands = data.draw(some_commands(len(limits)))
    row = data.draw(st.integers(0, len(commands) - 1))
    bad = data.draw(st.integers(0, len(limits) - 1))
    commands[row, bad] = value
    verdict = safety.check(commands, None, nothing(*limits))
    assert verdict.action == reaction
    assert verdict.commands.size == 0
    assert f"'c{bad}'" in verdict.reason and f"row {row} is {value}" in verdict.reason
    assert safety.interventions == {f"finite c{bad}": 1}


@PATIENT
@given(st.floats(-1.5, 1.5), some_commands(1), st.floats(0.25, 100.0))
def test_from_outside_of_the_range_it_only_moves_inwards(measured, commands, ratio):
    """A joint may be measured a little beyond its range, or stand far outside of it."""
    assume(abs(measured) > 1.0)
    limits = joint(acceleration=ratio, state="c0", jump=100.0)
    safety = layer(limits)
    commands = np.clip(commands, -50.0, 50.0)
    verdict = safety.check(commands, None, [measured])
    plan = plan_of(safety, verdict, 0.02, 0)
    assert_within(plan.commands, Motion.at_rest([measured]), [limits], 0.02)
    outside = np.maximum(np.abs(np.append(measured, plan.commands)) - 1.0, 0.0)
    assert (np.diff(outside) <= 1e-12).all(), "never further out"


# ---- what users rely on, by example -----------------------------------------------------------


def test_a_joint_measured_just_beyond_its_range_comes_back():
    safety = layer(joint(state="c0", jump=0.1))
    verdict = safety.check(np.full((100, 1), 0.95), None, [1.01])
    assert verdict.action == "pass"
    assert verdict.commands[0, 0] < 1.01
    assert verdict.commands[-1, 0] == pytest.approx(0.95)


@pytest.mark.parametrize(("kind", "commands"), [
    ("position", [0.99, 1.005, 1.01]), ("velocity", [0.0, 0.03, 0.03]),
    ("acceleration", [0.0, 0.01, 0.02])])
@pytest.mark.parametrize("reaction", ["clamp", "hold", "stop"])
def test_every_violation_is_counted_and_answered_as_configured(kind, commands, reaction):
    limits = channel(velocity=1.0, acceleration=5.0 if kind == "acceleration" else None)
    safety = layer(limits, limits, limits, **{kind: reaction})
    still = [commands[0]] * 3
    verdict = safety.check(np.array([still, commands, commands]).T, None, [None] * 3)
    assert safety.interventions == {f"{kind} c1": 1, f"{kind} c2": 1}
    assert "Channel 'c1'" in verdict.reason and kind in verdict.reason
    assert "row 1 asks for" in verdict.reason and "rad" in verdict.reason
    if reaction == "clamp":
        assert verdict.action == "pass"
        assert_within(verdict.commands, verdict.begin, [limits] * 3, 0.02)
        assert (verdict.commands[:, 1] != commands).any()
        assert np.array_equal(verdict.commands[:, 0], still)
    else:
        assert verdict.action == reaction
        assert verdict.commands.size == 0


def test_the_reason_names_the_row_of_its_own_channel():
    verdict = layer(channel(), channel()).check(np.array([[0.0, 5.0], [2.0, 0.0]]), None,
                                                [None, None])
    assert "Channel 'c0'" in verdict.reason and "row 1 asks for 2 rad" in verdict.reason


@pytest.mark.parametrize(("position", "velocity"), [("stop", "hold"), ("hold", "stop"),
                                                    ("clamp", "stop"), ("stop", "clamp")])
def test_the_worst_reaction_wins(position, velocity):
    safety = layer(channel(), joint(), position=position, velocity=velocity)
    verdict = safety.check(np.array([[0.0, 0.0], [2.0, 1.0]]), None, [None, None])
    assert verdict.action == "stop"
    assert ("position" if position == "stop" else "velocity") in verdict.reason
    assert set(safety.interventions) == {"position c0", "velocity c1", "acceleration c1"}


@pytest.mark.parametrize("reaction", ["hold", "stop"])
def test_a_jump_is_refused_before_anything_moves(reaction):
    safety = layer(joint(state="c0", jump=0.1), joint(state="c1", jump=0.1), channel(),
                   jump=reaction)
    verdict = safety.check(np.full((4, 3), 0.5), None, [0.35, 0.45, None])
    assert verdict.action == reaction
    assert safety.interventions == {"jump c0": 1}
    assert "0.5" in verdict.reason and "0.35" in verdict.reason and "0.1" in verdict.reason


def test_an_arm_that_does_not_follow_is_not_made_to_catch_up():
    """Blocked or stopped by its own controller: the commands ran away from where it is."""
    safety = layer(joint(state="c0", jump=0.1))
    verdict = safety.check(np.full((4, 1), 0.2), Motion.at_rest([0.6]), [0.2])
    assert verdict.action == "hold"
    assert safety.interventions == {"jump c0": 1}


@pytest.mark.parametrize("measured", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("reaction", ["hold", "stop"])
def test_a_measured_value_that_is_not_finite_is_refused(measured, reaction):
    safety = layer(joint(), joint(state="c1", jump=0.1), finite=reaction)
    verdict = safety.check(np.zeros((4, 2)), Motion.at_rest([0.0, 0.0]), [None, measured])
    assert verdict.action == reaction
    assert "measured" in verdict.reason and "'c1'" in verdict.reason
    assert safety.interventions == {"finite c1": 1}


def test_the_first_motion_begins_where_the_arm_is_measured():
    verdict = layer(joint(state="c0", jump=0.5)).check(np.full((50, 1), 0.3), None, [0.0])
    assert verdict.begin.value == 0.0
    assert verdict.commands[0, 0] == pytest.approx(0.002), "from rest, as fast as it may"
    assert verdict.commands[-1, 0] == pytest.approx(0.3)


def test_velocities_start_from_zero():
    """A hand that stands still must not jump to 0.1 m/s because nothing measures it."""
    safety = layer(channel(unit="m/s", low=-0.1, high=0.1, velocity=0.5, hold="zero"))
    verdict = safety.check(np.full((20, 1), 0.1), None, [None])
    assert verdict.commands[0, 0] == pytest.approx(0.01)
    assert verdict.commands[-1, 0] == pytest.approx(0.1)
    assert safety.interventions == {"velocity c0": 1}


def test_a_channel_that_holds_at_zero_brakes_to_zero():
    safety = layer(channel(low=-0.1, high=0.1, velocity=0.5, hold="zero"), channel(), channel(
        hold="zero"))
    rows = safety.brake(Motion.at_rest([0.025, 0.7, -0.4]))
    assert np.allclose(rows[:, 0], [0.015, 0.005, 0.0, 0.0])
    assert rows[-1, 0] == 0.0
    assert (rows[:, 1] == 0.7).all()
    assert (rows[:, 2] == 0.0).all(), "without a limit at once"


def test_without_an_acceleration_limit_braking_is_one_row():
    assert layer(channel(velocity=1.0)).brake(Motion(np.array([0.5]), np.array([0.02]))).tolist() \
        == [[0.5]]


def test_a_step_is_followed_without_overshoot():
    safety = layer(joint())
    rows = safety.check(np.full((100, 1), 0.1), Motion.at_rest([0.0]), [None]).commands[:, 0]
    assert rows.max() <= 0.1 + 1e-12
    assert (np.diff(rows) >= -1e-12).all()
    assert rows[-1] == pytest.approx(0.1, abs=1e-12)
    assert int((rows < 0.0999).sum()) < 20, "nearly as fast as the limits allow"


def test_a_chunk_that_starts_at_full_speed_is_caught_up_with():
    """Only what the commands ask for counts: catching up is not a violation of velocity."""
    safety = layer(joint())
    wanted = 0.01 * np.arange(1, 61)[:, None]
    rows = safety.check(wanted, Motion.at_rest([0.0]), [None]).commands
    assert safety.interventions == {"acceleration c0": 1}
    assert (rows <= wanted + 1e-12).all(), "no overshoot"
    assert np.allclose(rows[15:], wanted[15:])


def test_moving_to_the_end_of_the_range_leaves_room_to_brake():
    motion = Motion(np.array([0.7]), np.array([0.02]))
    wanted = 0.7 + 0.02 * np.arange(1, 15)[:, None]  # steady, up to 0.98: no time to brake in
    safety = layer(joint())
    verdict = safety.check(wanted, motion, [None])
    assert safety.interventions == {"acceleration c0": 1}
    assert_within(plan_of(safety, verdict, 0.02, 0).commands, motion, [joint()], 0.02)
    assert verdict.commands[-1, 0] > 0.95
    assert layer(joint(), acceleration="hold").check(wanted, motion, [None]).action == "hold"


def test_rounding_is_no_violation():
    """0.085 in float32 is above 0.085: the policy clips in float32."""
    safety = layer(channel(low=0.0, high=0.085))
    verdict = safety.check(column(0.085, 0.085), None, [None])
    assert float(np.float32(0.085)) > 0.085
    assert not safety.interventions
    assert (verdict.commands == 0.085).all()
