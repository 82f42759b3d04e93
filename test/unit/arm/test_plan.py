# SPDX-License-Identifier: Apache-2.0
"""Where an arm is to be at every moment of a plan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.supervised import (
    DT,
    DT_MS,
    MS,
    T,
    at,
)
from tinyvla_ros.arm.contract import Channel, OnViolation
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion, SafetyLayer
from tinyvla_ros.arm.supervisor import tighten_velocity_for_cubics

# ---- the plan itself ------------------------------------------------------------------------


def a_plan(rows, begin: float = 0.0, change: float = 0.0) -> Plan:
    commands = np.asarray(rows, np.float64)[:, None]
    return Plan(T, DT_MS * MS, commands, ("joint",),
                Motion(np.array([begin]), np.array([change])))


def test_a_row_is_sent_when_its_period_begins_and_reached_when_it_ends():
    plan = a_plan([1.0, 3.0, 3.0])
    assert [plan.row(at(t)) for t in (-1, 0, 19.9, 20, 60)] == [-1, 0, 0, 1, 3]
    assert plan.end_ns == at(60)
    assert [float(plan.values(at(t))[0]) for t in (0, 20, 40)] == [1.0, 3.0, 3.0]
    assert plan.values(at(60)) is None, "after the plan"
    assert float(plan.values(at(-50))[0]) == 0.0, "before it, what it goes on from"
    assert [float(plan.motion(at(t)).value[0]) for t in (0, 20, 40, 60)] == [0.0, 1.0, 3.0, 3.0]
    assert [float(plan.motion(at(t)).step[0]) for t in (0, 20, 40, 60)] == [0.0, 1.0, 2.0, 0.0]


def test_between_two_rows_it_is_interpolated():
    plan = a_plan([1.0, 3.0, 3.0])
    assert plan.motion(at(30)).value == pytest.approx(2.0)
    assert plan.motion(at(30)).step == pytest.approx(1.5), "since 10 ms, where it was at 0.5"
    assert plan.values(at(10)) == pytest.approx(2.0)
    assert plan.values(at(-10)) == pytest.approx(0.5), "on the way to the first row"


@given(st.floats(-1.0, 1.0), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12),
       st.booleans())
def test_the_cubic_between_rows_never_leaves_their_range(begin, rows, at_rest_last):
    """What a joint_trajectory_controller makes of positions and slopes (Hermite)."""
    plan = a_plan(rows + rows[-1:] * at_rest_last, begin)
    slopes = plan.slopes()[:, 0]
    assert slopes.shape == (len(plan.commands),)
    assert slopes[-1] == 0.0, "a controller wants to end at rest"
    points = np.concatenate([[begin], plan.commands[:, 0]])
    slopes = np.concatenate([[0.0], slopes]) * DT
    s = np.linspace(0.0, 1.0, 101)
    fastest = np.abs(np.diff(points)).max()
    for p, q, v, w in zip(points, points[1:], slopes, slopes[1:], strict=False):
        curve = ((1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * v
                 + s * s * (3 - 2 * s) * q + s * s * (s - 1) * w)
        assert curve.min() >= min(p, q) - 1e-12
        assert curve.max() <= max(p, q) + 1e-12
        # Between rows it is faster than from row to row, by half at most.
        assert np.abs(np.diff(curve)).max() * 100 <= 1.5 * fastest + 1e-9


@given(st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=12),
       st.sampled_from([None, 1.0, 20.0, 500.0]))
def test_a_controller_is_nowhere_faster_than_the_limit(wanted, acceleration):
    channel = Channel(unit="rad", low=-1.0, high=1.0, velocity=0.8, acceleration=acceleration)
    layer = SafetyLayer({"joint": tighten_velocity_for_cubics(channel, DT)}, OnViolation(), DT)
    rest = Motion.at_rest(np.zeros(1))
    verdict = layer.check(np.array(wanted)[:, None], rest, [None])
    plan = a_plan(verdict.commands[:, 0])
    points = np.concatenate([[0.0], plan.commands[:, 0]])
    slopes = np.concatenate([[0.0], plan.slopes()[:-1, 0], [0.0]]) * DT
    s = np.linspace(0.0, 1.0, 101)
    for p, q, v, w in zip(points[:-1], points[1:-1], slopes, slopes[1:], strict=False):
        speed = (v + s * (2 * (3 * (q - p) - 2 * v - w) + s * 3 * (2 * (p - q) + v + w))) / DT
        assert np.abs(speed).max() <= 0.8 * (1 + 1e-6)


def test_a_straight_line_has_its_own_slope():
    plan = a_plan(0.01 * np.arange(1, 6), change=0.01)
    assert np.allclose(plan.slopes()[:-1, 0], 0.01 / DT)
