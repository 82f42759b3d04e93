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

"""Joints of a dataset that turn without end, noted as ``continuous`` in ``meta/info.json``.

``observation.state`` maps each such state to one turn in its unit, ``action`` each such channel to
the state that measures it; lists of names mean radians, and states of the same name. A policy sees
a state in (-turn/2, turn/2], and its actions go on from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.core.angles import nearest, turn_of, unwrapped, wrapped
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.config import ActionSpec

KEY = "continuous"


@dataclass(frozen=True)
class Turning:
    """What of the wanted states and actions turns without end, or counts from a state.

    Attributes:
        states: state -> one turn.
        channels: action channel -> the state that measures it.
        columns: per channel its column, that of its state, and one turn.
        horizon: rows of a chunk.
        relative: columns of channels that count from a state, with that of the state.
    """

    states: tuple[tuple[str, float], ...] = ()
    channels: tuple[tuple[str, str], ...] = ()
    columns: tuple[tuple[int, int, float], ...] = ()
    horizon: int = 1
    relative: tuple[tuple[int, int], ...] = ()

    @property
    def shifts_actions(self) -> bool:
        """Whether the actions of a chunk depend on the state where it begins."""
        return bool(self.columns or self.relative)

    def from_state(self, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Return (rows, channels) actions as the network has them at a (state,) state."""
        return actions + self.shifts(actions[0], state) if self.shifts_actions else actions

    def shifts(self, first: np.ndarray, states: np.ndarray) -> np.ndarray:
        """Return (..., channels) float32 to add to actions, by (..., state) states.

        ``first`` has the (..., channels) actions with which chunks begin.
        """
        shifts = np.zeros(first.shape, np.float32)
        for channel, measured, turn in self.columns:
            begin = first[..., channel].astype(np.float64)
            shifts[..., channel] = nearest(begin, states[..., measured], turn) - begin
        for channel, measured in self.relative:
            shifts[..., channel] = -states[..., measured]
        return shifts

    def later(self, states: np.ndarray, now: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Return (..., state) later states by the turns of those now, of a shape that fits."""
        if not self.states:
            return states
        turns = np.array([dict(self.states).get(name, 0.0) for name in names])
        return nearest(states, now, turns).astype(np.float32)


def read_turning(features: dict, state: Sequence[str], action: ActionSpec) -> Turning:
    """Return what a dataset notes of the states and channels that a policy wants.

    Raises:
        InputError: a note cannot be used, or the policy does not see the state of a channel.
    """
    noted = _note(features, "observation.state")
    # In the order of the configuration, so that datasets that note the same are the same.
    states = {n: float(noted[n]) for n in state if n in noted}
    noted = _note(features, "action")
    channels = {n: noted[n] for n in action.channels if n in noted}
    for name, measured in channels.items():
        if measured not in states:
            raise InputError(
                f"Action {name!r} turns without end, by the state {measured!r}: "
                + unknown(f"state of the configuration with a '{KEY}' note", measured, states)
                + " Add it to 'state'; a policy must see where such a joint is.")
        unit = action.units[action.channels.index(name)]
        if turn_of(unit) and abs(turn_of(unit) - states[measured]) > 0.01 * turn_of(unit):
            raise InputError(
                f"Action {name!r} is in {unit}, and '{KEY}' of 'observation.state' gives "
                f"{states[measured]:.6g} for one turn of its state {measured!r}; store both in "
                "one unit, or correct action.units.")
    columns = tuple((action.channels.index(n), list(state).index(s), states[s])
                    for n, s in channels.items())
    relative = tuple((action.channels.index(n), list(state).index(s))
                     for n, s in action.relative.items())
    return Turning(tuple(states.items()), tuple(channels.items()), columns, action.horizon,
                   relative)


def noted_turns(features: dict, name: str) -> dict[str, float]:
    """Return one turn of every state or action channel of which a feature notes it.

    Args:
        features: those of ``meta/info.json``.
        name: ``observation.state`` or ``action``; others have no notes.

    Raises:
        InputError: a note cannot be used.
    """
    if name not in ("observation.state", "action"):
        return {}
    states = _note(features, "observation.state")
    if name == "observation.state":
        return states
    channels = _note(features, "action")
    for channel, measured in channels.items():
        if measured not in states:
            raise InputError(f"'{KEY}' of 'action' names the state {measured!r} for {channel!r}, "
                             "and that of 'observation.state' does not; note it there as well.")
    return {n: states[s] for n, s in channels.items()}


def turn_states(turning: Turning, states: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return (frames, state) float32 states as a policy sees them."""
    turns = np.array([dict(turning.states).get(name, 0.0) for name in names])
    return wrapped(states, turns).astype(np.float32) if turning.states else states


def turn_actions(turning: Turning, actions: np.ndarray, starts: np.ndarray, ends: np.ndarray
                 ) -> np.ndarray:
    """Return (frames, steps, channels) float32 actions without wraps within an episode."""
    if not turning.columns:
        return actions
    actions = actions.copy()
    for channel, _, turn in turning.columns:
        for start, end in zip(starts, ends, strict=True):
            rows = actions[start:end, :, channel]
            actions[start:end, :, channel] = unwrapped(rows.reshape(-1), turn).reshape(rows.shape)
    return actions


def _note(features: dict, name: str) -> dict:
    """Return what a feature notes: state -> one turn, or action channel -> state."""
    note, is_state = features.get(name, {}).get(KEY, {}), name == "observation.state"
    if isinstance(note, list):
        note = {str(n): 2 * math.pi if is_state else str(n) for n in note}
    if not isinstance(note, dict):
        raise InputError(f"'{KEY}' of '{name}' in meta/info.json is {note!r}; give a list of "
                         "names or a mapping.")
    for n, value in note.items():
        if is_state and (isinstance(value, bool) or not isinstance(value, int | float)
                         or not 0 < value < math.inf):
            raise InputError(f"'{KEY}' of '{name}' gives {value!r} for {n!r}; give one turn in "
                             "its unit, 6.283185307179586 for rad or 360 for degrees.")
        if not is_state and not isinstance(value, str):
            raise InputError(f"'{KEY}' of '{name}' gives {value!r} for {n!r}; give the name of "
                             "the state that measures it.")
    return note
