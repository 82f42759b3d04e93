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

"""Joints of a recording that turn without end: series without wraps, and what is one unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.angles import find_wrap, nearest, turn_of, unwrapped, wrapped
from tinyvla_ros.core.errors import InputError
from training.bag_export.states import Series


def unwrap_states(path: Path, states: Mapping[str, Series], contract: RobotContract
                  ) -> dict[str, Series]:
    """Return states in which joints that turn without end do so; they begin within half a turn.

    Raises:
        InputError: another joint steps by nearly a turn.
    """
    turns, result, sources = contract.continuous_states, {}, contract.sources
    units = {c.state: c.unit for c in contract.actions.values() if c.state}
    for name, series in states.items():
        if name in turns:
            values = unwrapped(series.values, turns[name])
            values = values + (wrapped(values[0], turns[name]) - values[0])
            series = replace(series, values=values)
        elif (source := sources.find(name)) is not None and source.is_position:
            at = find_wrap(series.values, turn_of(units.get(name, "rad")) or np.inf)
            if at is not None:
                raise wrap_error(path, f"state {name!r}", series.values, at,
                                 f"at {series.stamps[at] / 1e9:.3f} s", contract)
        result[name] = series
    return result


def unwrap_actions(path: Path, values: np.ndarray, starts: np.ndarray,
                   states: Mapping[str, Series], contract: RobotContract) -> np.ndarray:
    """Return (steps, channels) actions that go on from the states by the shortest way.

    Args:
        path: of the bag, for messages.
        values: actions in control steps; NaN where nothing was commanded.
        starts: (steps,) int64 ns at which the steps begin.
        states: what ``unwrap_states`` returns.
        contract: names the channels.

    Raises:
        InputError: another angle steps by nearly a turn.
    """
    values = values.copy()
    for column, (name, channel) in enumerate(contract.actions.items()):
        known = np.flatnonzero(np.isfinite(values[:, column]))
        series = values[known, column]
        if not len(known) or channel.hold == "zero":
            continue
        if channel.continuous:
            series = unwrapped(series, channel.turn)
            if (state := states.get(channel.state)) is not None:
                begin = np.interp(starts[known[0]], state.stamps, state.values)
                series = series + (nearest(series[0], begin, channel.turn) - series[0])
            values[known, column] = series
        elif (at := find_wrap(series, turn_of(channel.unit) or np.inf)) is not None:
            raise wrap_error(path, f"action {name!r}", series, at,
                             f"at {starts[known[at]] / 1e9:.3f} s", contract)
    return values


def continuous_features(contract: RobotContract, states: Mapping[str, Series]
                        ) -> tuple[dict[str, float], dict[str, str]]:
    """Return what a dataset notes: state -> one turn, and action channel -> its state."""
    turns = {n: t for n, t in contract.continuous_states.items() if n in states}
    return turns, {n: c.state for n, c in contract.actions.items()
                   if c.continuous and c.state in turns}


def wrap_error(path: Path, what: str, values: np.ndarray, at: int, where: str,
               contract: RobotContract) -> InputError:
    """Return the error for values of which the one ``at`` is nearly a turn from the last."""
    return InputError(
        f"{path}: {what} goes from {values[at - 1]:.4g} to {values[at]:.4g} {where}, nearly a "
        "turn; if this joint turns without end, write 'continuous: true' for its action channel "
        f"of robot contract {contract.name!r} (or name it in joint_states.continuous if it has "
        "none) in a file for --robot, or else leave this bag out.")
