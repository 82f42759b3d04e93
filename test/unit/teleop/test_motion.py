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

"""The motion that a person wants: never faster, and never farther, than the contract allows."""

from __future__ import annotations

import numpy as np
import pytest

from tinyvla_ros.arm.contract import Channel, OnViolation
from tinyvla_ros.arm.safety import Motion, SafetyLayer
from tinyvla_ros.teleop.motion import GoalMotion

DT = 0.02
DT_NS = 20_000_000
CHANNELS = {
    "joint": Channel(unit="rad", low=-1.0, high=1.0, velocity=1.0, acceleration=5.0, jump=0.5,
                     state="joint"),
    "free": Channel(unit="m", low=0.0, high=0.1),
    "rate": Channel(unit="m/s", low=-0.2, high=0.2, velocity=1.0, hold="zero")}


def rows(motion: GoalMotion, speeds, count: int, now_ns: int = 0) -> np.ndarray:
    """Return rows at constant speeds from now on."""
    motion.want(lambda value: np.array(speeds), now_ns)
    return motion.rows(now_ns, count, DT_NS)


@pytest.fixture
def motion() -> GoalMotion:
    motion = GoalMotion(CHANNELS)
    motion.begin(np.array([0.0, 0.05, 0.0]), np.zeros(3), 0)
    return motion


@pytest.mark.parametrize("speeds", [(1.0, 0.05, 0.2), (-9.0, -9.0, -9.0), (0.3, 0.01, -0.1)])
def test_the_safety_layer_has_nothing_to_clamp(motion, speeds):
    wanted = rows(motion, speeds, 200)
    safety = SafetyLayer(CHANNELS, OnViolation(), DT)
    verdict = safety.check(wanted, Motion.at_rest([0.0, 0.05, 0.0]), [0.0, None, None])
    assert verdict.action == "pass" and not safety.interventions
    assert np.allclose(verdict.commands, wanted)


def test_it_stops_at_the_end_of_the_range_without_a_step(motion):
    values = rows(motion, (1.0, 0.0, 0.0), 200)[:, 0]
    assert values[-1] == pytest.approx(1.0, abs=1e-3) and values.max() <= 1.0
    assert np.abs(np.diff(values, 2)).max() <= 5.0 * DT * DT * 1.001


def test_going_on_equals_the_rows_that_were_planned(motion):
    planned = rows(motion, (0.5, 0.02, 0.1), 10)
    motion.advance(10 * DT_NS, DT_NS)
    assert np.allclose(motion.value, planned[-1])


def test_a_value_outside_of_the_range_stays_and_can_only_come_back(motion):
    motion.begin(np.array([1.2, 0.05, 0.0]), np.zeros(3), 0)
    assert rows(motion, (1.0, 0, 0), 50)[-1, 0] == pytest.approx(1.2)
    assert rows(motion, (-1.0, 0, 0), 50)[-1, 0] < 1.0


def test_rates_are_their_speed_and_return_to_zero(motion):
    values = rows(motion, (0.0, 0.0, 0.2), 50)[:, 2]
    assert values[-1] == pytest.approx(0.2) and np.diff(values, prepend=0).max() <= 1.0 * DT
    motion.advance(1_000_000_000, DT_NS)
    assert rows(motion, (0.0, 0.0, 0.0), 50, 1_000_000_000)[-1, 2] == 0.0


def test_until_other_speeds_apply_it_goes_on_as_before(motion):
    before = rows(motion, (0.5, 0.0, 0.0), 20)
    motion.advance(10 * DT_NS, DT_NS)
    motion.want(np.zeros_like, 13 * DT_NS)
    after = motion.rows(10 * DT_NS, 10, DT_NS)
    assert np.allclose(after[:3], before[10:13])
    assert after[-1, 0] < before[-1, 0]
