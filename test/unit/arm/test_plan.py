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

"""Where an arm is to be at every moment of a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands import message
from harness.controller import Controller
from harness.supervised import (
    DT,
    DT_MS,
    MS,
    T,
    at,
)
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion

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


def curve(rows, begin: float = 0.0, change: float = 0.0) -> Plan:
    return replace(a_plan(rows, begin, change), curved=np.array([True]))


@given(st.floats(-1.0, 1.0), st.floats(-0.5, 0.5),
       st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12))
def test_the_curve_between_rows_is_no_faster_than_the_rows_and_stays_among_them(
        begin, change, rows):
    """What a joint_trajectory_controller makes of positions and velocities (Hermite)."""
    plan = curve(rows + rows[-1:], begin, change)
    times, positions, velocities = plan.trajectory()
    assert times[0] == at(-DT_MS / 2) and times[-1] <= plan.end_ns
    assert velocities[-1] == 0.0, "a controller wants to end at rest"
    points = np.concatenate([[begin - change, begin], plan.commands[:, 0]])
    s = np.linspace(0.0, 1.0, 101)
    for i in range(len(times) - 1):
        (p,), (q,), (v,), (w,) = *positions[i:i + 2], *velocities[i:i + 2] * DT
        path = ((1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * v
                + s * s * (3 - 2 * s) * q + s * s * (s - 1) * w)
        near = points[i:i + 3]
        assert near.min() - 1e-12 <= path.min() and path.max() <= near.max() + 1e-12
        assert np.abs(np.diff(path)).max() * 100 <= np.abs(np.diff(near)).max() + 1e-9
        assert np.abs(np.diff(path, 2)).max() * 100**2 <= abs(np.diff(near, 2)[0]) + 1e-8


def test_a_straight_line_is_followed_as_it_is():
    times, positions, velocities = curve(0.01 * np.arange(1, 6), change=0.01).trajectory()
    assert np.allclose(positions[:, 0], 0.01 * (times - T) / (DT_MS * MS))
    assert np.allclose(velocities, 0.01 / DT)


@given(st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=12), st.floats(0.0, 0.999),
       st.integers(0, 2))
def test_a_plan_of_other_times_goes_on_along_the_same_curve(rows, share, row):
    old = curve(rows + rows[-1:])
    start_ns = at((row + share) * DT_MS)
    new = Plan(start_ns, DT_MS * MS, np.zeros((4, 1)), ("joint",), old.motion(start_ns),
               np.array([True]), old, at(row * DT_MS) - 3 * MS)
    times, positions, velocities = new.trajectory()
    assert times[0] <= new.made_ns or times[0] == old.departs_ns
    departs = int(np.flatnonzero(times == new.departs_ns)[0])
    path = Controller(["joint"], [0.0])
    path.accept(message(["joint"], *old.trajectory()), int(old.departs_ns))
    for t, p, v in zip(times[:departs + 1].tolist(), positions, velocities, strict=False):
        where, speed, _ = path.state(t)
        assert p == pytest.approx(where, abs=1e-9)
        assert v == pytest.approx(speed, abs=1e-6)
