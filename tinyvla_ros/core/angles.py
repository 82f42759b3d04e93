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

"""Angles of joints that turn without end: a turn more or less is the same place.

A driver may count turns (17.3 rad) or wrap (3.13, then -3.13). So values of such a joint are
compared and interpolated by the shortest way. ``turn`` is one turn in the unit of the values, 0
for what is no such angle; arrays of them give one per column.
"""

from __future__ import annotations

import math

import numpy as np

# A step by more than this share of a turn, from one value to the next, is a wrap: no joint moves
# so fast, and on the shorter way it is less than a tenth of a turn.
WRAP_SHARE = 0.9
# Values that wrap lie within one turn; noise may take them a little further.
RANGE_SLACK = 0.02
_TURNS = {"rad": 2.0 * math.pi, "deg": 360.0, "degree": 360.0, "degrees": 360.0}


def turn_of(unit: str) -> float:
    """Return one turn in a unit, 0 if it is none of angles."""
    return _TURNS.get(unit, 0.0)


def nearest(values, reference, turn) -> np.ndarray:
    """Return values, shifted by whole turns to be nearest to a reference."""
    values, turn = np.asarray(values, np.float64), np.asarray(turn, np.float64)
    one = np.where(turn > 0.0, turn, 1.0)
    return np.where(turn > 0.0, values + turn * np.round((reference - values) / one), values)


def wrapped(values, turn) -> np.ndarray:
    """Return values in (-turn/2, turn/2]."""
    values, turn = np.asarray(values, np.float64), np.asarray(turn, np.float64)
    one = np.where(turn > 0.0, turn, 1.0)
    return np.where(turn > 0.0, values - turn * np.ceil(values / one - 0.5), values)


def unwrapped(rows: np.ndarray, turn) -> np.ndarray:
    """Return (rows, ...) values without steps of more than half a turn; the first row stays."""
    rows, turn = np.asarray(rows, np.float64), np.asarray(turn, np.float64)
    steps = np.diff(rows, axis=0)
    # What is less than half a turn is not touched, bit for bit.
    extra = np.where(np.abs(steps) > turn / 2.0, wrapped(steps, turn) - steps, 0.0)
    out = rows.copy()
    out[1:] += np.cumsum(extra, axis=0)
    return out


def is_wrap(steps, turn) -> np.ndarray:
    """Return whether steps, from one value to the next, are those of an angle that wraps."""
    size = np.abs(np.asarray(steps, np.float64))
    turn = np.asarray(turn, np.float64)
    return (turn > 0.0) & (size > WRAP_SHARE * turn) & (size <= (1.0 + RANGE_SLACK) * turn)


def find_wrap(values: np.ndarray, turn: float = 2.0 * math.pi) -> int | None:
    """Return the first index before which values step as an angle that wraps, None if none does.

    Only in values that never leave the range of one turn.
    """
    wraps = is_wrap(np.diff(values), turn)
    if not wraps.any() or np.ptp(values) > (1.0 + RANGE_SLACK) * turn:
        return None
    return int(np.argmax(wraps)) + 1
