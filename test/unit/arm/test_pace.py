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

"""The same motion in more time: what a pace does to chunks, and how ``auto`` chooses one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvla_ros.arm.pace import PACES, PaceChooser, compress, stretch
from tinyvla_ros.core.types import ActionChunk

DT = 0.0125
RATES = np.array([True, False])
actions = st.lists(st.tuples(*[st.floats(-1, 1, width=32)] * 2), min_size=2, max_size=40)


def chunk(values) -> ActionChunk:
    return ActionChunk(5, ("dx", "x"), np.array(values, np.float32), DT)


def test_half_the_pace_splits_increments_and_reaches_positions_on_a_line():
    slow = stretch(chunk([[0.8, 1.0], [0.4, 3.0], [0.0, 2.0]]), 0.5, RATES)
    assert slow.dt == DT
    assert slow.actions[:, 0] == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.0, 0.0])
    # A row's position is reached when the row ends; before the first nothing is known.
    assert slow.actions[:, 1] == pytest.approx([1.0, 1.0, 2.0, 3.0, 2.5, 2.0])


def test_full_pace_is_the_chunk_itself():
    whole = chunk([[0.1, 0.2], [0.3, 0.4]])
    assert stretch(whole, 1.0, RATES) is whole


@given(actions, st.sampled_from([*PACES, 0.1, 0.9]))
def test_a_slow_chunk_moves_the_same_way(values, pace):
    fast = chunk(values)
    slow = stretch(fast, pace, RATES)
    assert len(slow.actions) == int(len(values) / pace + 1e-9)
    assert np.abs(slow.actions[:, 0]).max() <= pace * np.abs(fast.actions[:, 0]).max() + 1e-6
    assert slow.actions[:, 1].min() >= fast.actions[:, 1].min() - 1e-6
    assert slow.actions[:, 1].max() <= fast.actions[:, 1].max() + 1e-6
    # Up to the last whole row; less than one may be cut off.
    left = len(values) - len(slow.actions) * pace
    assert abs(slow.actions[:, 0].sum() - fast.actions[:, 0].sum()) <= left + 1e-5


@given(actions, st.sampled_from([1.0, 0.5, 0.25]))
def test_compressing_is_the_inverse_of_stretching(values, pace):
    fast = chunk(values)
    slow = stretch(fast, pace, RATES)
    assert compress(slow.actions, pace, RATES) == pytest.approx(fast.actions, abs=1e-5)


def test_compressing_keeps_the_way_at_any_pace():
    executed = np.random.default_rng(0).uniform(-0.3, 0.3, (30, 2))
    rows = compress(executed, 0.3, RATES)
    assert len(rows) == 9
    assert rows[:, 0].sum() == pytest.approx(executed[:30, 0].sum())
    assert rows[:, 1] == pytest.approx(
        np.interp(np.arange(1, 10) / 0.3, np.arange(1, 31), executed[:, 1]))


@pytest.mark.parametrize("setting", [1.0, 0.4])
def test_a_set_pace_does_not_depend_on_the_delay(setting):
    chooser = PaceChooser(setting, DT)
    assert [chooser.choose(delay) for delay in (0.0, 0.5)] == [setting, setting]


def test_auto_is_slower_the_longer_the_delay():
    paces = [PaceChooser("auto", DT).choose(delay) for delay in np.linspace(0, 0.5, 60)]
    assert paces == sorted(paces, reverse=True)
    assert (paces[0], paces[-1]) == (1.0, PACES[-1])
    assert set(paces) == set(PACES)


def test_auto_does_not_flutter_around_a_bound():
    """A delay that varies by less than the margin changes the pace once, to the slower one."""
    bound = max(d for d in np.arange(0, 0.5, 1e-4) if PaceChooser("auto", DT).choose(d) == 0.5)
    chooser = PaceChooser("auto", DT)
    delays = bound * np.random.default_rng(1).uniform(0.85, 1.1, 200)
    paces = [chooser.choose(d) for d in delays]
    assert (np.diff(paces[20:]) == 0).all()
    assert paces[-1] < 0.5
    assert chooser.choose(0.0) == 1.0
