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

"""Find the values that a policy wants by their names; a name never gives way to a position."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.config import ActionSpec
from training.data.lerobot.format import EXPERT_PLAN, feature_size, number_type, value_names

# 'dx.3', 'dx[3]', 'dx_step3', 'dx_t3': the action dx of control step 3.
STEP = re.compile(r"(?P<name>.+?)(?:\.(?:step|t)?(\d+)|\[(\d+)\]|_(?:step|t)(\d+))")
# 't3.dx', 'step3_dx', '3.dx'.
STEP_FIRST = re.compile(r"(?:(\d+)\.|(?:step|t)(\d+)[._])(?P<name>.+)")
NAME_THEM = "name every value in meta/info.json, those of several steps like 'dx.0', 'dx.1'"


def state_columns(features: dict, state: Sequence[str]) -> list[int]:
    """Return where in ``observation.state`` each wanted state is.

    Raises:
        InputError: there is no such feature, or not every value has a name, or a state is not
            among them, or more than once.
    """
    feature = numeric_feature(features, "observation.state")
    names = value_names(feature)
    if names is None:
        raise InputError(f"'observation.state' has {feature_size(feature)} values and the names "
                         f"{feature.get('names')!r}; name every value, each by another name, in "
                         "meta/info.json.")
    for name in state:
        if name not in names:
            raise InputError(unknown("state", name, names))
        if names.count(name) > 1:
            raise InputError(f"'observation.state' names {name!r} {names.count(name)} times; name "
                             "every value, each by another name, in meta/info.json.")
    return [names.index(name) for name in state]


def action_columns(features: dict, action: ActionSpec, fps: float, name: str = "action"
                   ) -> np.ndarray:
    """Return where in a feature the values of every control step of a row are.

    Values are found by name. Without any, the row must have the wanted size, or a shape of
    (steps, channels).

    Returns:
        (steps, channels) int64.

    Raises:
        InputError: there is no such feature, a channel cannot be found, or the steps do not fill
            the time between two rows.
    """
    columns = step_columns(numeric_feature(features, name), action.channels)
    steps = len(columns)
    if abs(fps * steps * action.dt - 1.0) > 1e-3:
        raise InputError(f"{fps} fps with {steps} actions per frame is a control period of "
                         f"{1 / fps / steps:.6g} s, the configuration has {action.dt:.6g} s; make "
                         "'dt' agree, or record at the rate of the configuration.")
    return columns


def step_columns(feature: dict, channels: Sequence[str]) -> np.ndarray:
    """Return where in a feature of actions each channel of every control step of a row is.

    Returns:
        (steps, channels) int64.

    Raises:
        InputError: a channel cannot be found, or has other steps than the others.
    """
    named = value_names(feature)
    return _unnamed(feature, channels) if named is None else _named(named, channels)


def channel_candidates(feature: dict, known: Collection[str] = ()) -> list[list[str]]:
    """Return what the channels of a feature of actions may be, the likeliest first.

    Args:
        feature: of numbers.
        known: names that are none of a control step, however they look: those of the states.
    """
    names = value_names(feature)
    if names is None:
        labels = _labels(feature)
        return [labels] if len(feature["shape"]) == 2 and len(labels) in feature["shape"] else []
    whole = list(dict.fromkeys(names))
    forms = [next((m for f in (STEP, STEP_FIRST) if (m := f.fullmatch(n))), None) for n in whole]
    bases = list(dict.fromkeys(m["name"] if m else n
                               for m, n in zip(forms, whole, strict=True)))
    # 'joint.1' to 'joint.6' are six joints rather than six steps of one.
    if any(n in known for n in whole) or not any(forms) or (len(bases) == 1 < len(whole)):
        return [whole, bases]
    return [bases, whole]


def plan_columns(features: dict, action: ActionSpec) -> np.ndarray:
    """Return where in ``expert_plan`` the values of every row of a chunk are.

    Returns:
        (horizon, channels) int64.

    Raises:
        InputError: a channel cannot be found by name, or the plans are shorter than a chunk.
    """
    feature = numeric_feature(features, EXPERT_PLAN)
    names = value_names(feature)
    if names is None:
        raise InputError(f"'{EXPERT_PLAN}' has no names; {NAME_THEM}.")
    columns = _named(names, action.channels)
    if len(columns) < action.horizon:
        raise InputError(f"'{EXPERT_PLAN}' has {len(columns)} control steps, and action.horizon "
                         f"is {action.horizon}; lower it, or collect with --plan-rows "
                         f"{action.horizon}.")
    return columns[:action.horizon]


def left_out(features: dict, action: ActionSpec) -> list[str]:
    """Return the names of actions that are none of the wanted channels."""
    return [name for name in value_names(features["action"]) or []
            if channel_of(name, action.channels) is None]


def channel_of(name: str, channels: Collection[str]) -> str | None:
    """Return the channel that the name of a value names, at whatever control step."""
    return _channel_and_step(name, channels)[0]


def without_names(feature: dict, channels: Sequence[str] | None = None) -> bool:
    """Tell whether the values of a feature are known by their position only.

    Args:
        feature: of numbers.
        channels: names that the values, or those of one side of a matrix, should have; None if
            they are not known.
    """
    if value_names(feature) is not None:
        return False
    labels = _labels(feature)
    if channels is not None:
        return not any(channel in labels for channel in channels)
    return len(feature["shape"]) != 2 or len(labels) not in feature["shape"]


def _labels(feature: dict) -> list[str]:
    """Return all names of a feature, whatever they name."""
    names = feature.get("names") or []
    if isinstance(names, dict):
        names = [name for part in names.values()
                 for name in (part if isinstance(part, list) else [part])]
    return list(map(str, names)) if isinstance(names, list) else [str(names)]


def numeric_feature(features: dict, name: str) -> dict:
    """Return a feature that must hold numbers.

    Raises:
        InputError: there is none, or it holds something else.
    """
    if name not in features:
        raise InputError(f"There is no feature '{name}'; known: {', '.join(features)}.")
    dtype = number_type(features[name])
    if dtype is None or dtype.kind == "b":
        raise InputError(f"'{name}' has dtype {features[name]['dtype']!r}; it must be float32, "
                         "float64 or an integer.")
    return features[name]


def _named(names: list[str], channels: Sequence[str]) -> np.ndarray:
    """Find channels and steps by name, in whatever order they are."""
    found: dict[str, dict[int | None, int]] = {channel: {} for channel in channels}
    for position, name in enumerate(names):
        channel, step = _channel_and_step(name, channels)
        if channel is None:
            continue
        if step is None and None in found[channel]:  # 'dx, dy, dx, dy': the steps in order
            step = len(found[channel])
        if step in found[channel]:
            raise InputError(f"'action' names {name!r} twice; {NAME_THEM}.")
        found[channel][step] = position
    for channel, steps in found.items():
        if not steps:
            raise InputError(f"{unknown('action', channel, names)} Correct action.channels of the "
                             "configuration, or the names in meta/info.json.")
        if None in steps and 0 in steps:
            raise InputError(f"'action' names {channel!r} and '{channel}.0'; {NAME_THEM}.")
        if None in steps:  # 'dx, dx.1, dx.2': the first has no number
            found[channel] = {step or 0: place for step, place in steps.items()}
    numbers = {tuple(sorted(steps)) for steps in found.values()}
    first = min(min(steps) for steps in numbers)
    if len(numbers) > 1 or first > 1 or \
            numbers != {tuple(range(first, first + len(next(iter(numbers)))))}:
        a, b = sorted(found, key=lambda c: len(found[c]))[::len(found) - 1 or 1][:2] \
            if len(found) > 1 else (channels[0],) * 2
        raise InputError(f"'action' has the steps {_listed(found[a])} of {a!r} and "
                         f"{_listed(found[b])} of {b!r}, and every channel must have the steps 0, "
                         f"1, 2 ... of a row; {NAME_THEM}.")
    return np.array([[found[channel][step] for channel in channels]
                     for step in next(iter(numbers))])


def _listed(steps: dict) -> str:
    return ", ".join(map(str, sorted(steps)))


def _channel_and_step(name: str, channels: Collection[str]) -> tuple[str | None, int | None]:
    """Return the channel that a name names and its control step, None for what it does not."""
    if name in channels:
        return name, None
    for form in (STEP, STEP_FIRST):
        match = form.fullmatch(name)
        if match and match["name"] in channels:
            number = next(g for g in (match.groups()[1:] if form is STEP else match.groups())
                          if g is not None)
            return match["name"], int(number)
    return None, None


def _unnamed(feature: dict, channels: Sequence[str]) -> np.ndarray:
    """Find channels and steps by the shape, and by the names of one of its sides."""
    shape, count, size = feature["shape"], len(channels), feature_size(feature)
    labels = _labels(feature)
    if any(channel in labels for channel in channels):
        sides = [side for side in range(len(shape)) if shape[side] == len(labels)]
        if len(shape) == 2 and len(sides) == 1:
            wanted, places = _named(labels, channels), np.arange(size).reshape(shape)
            if len(wanted) == 1:
                return (places if sides == [1] else places.T)[:, wanted[0]]
    elif len(labels) <= len(shape):
        # No names, one for all of them (['actions']), or those of the sides.
        if size == count:
            return np.arange(count)[None]
        if len(shape) == 2 and shape[1] == count and shape[0] != count:
            return np.arange(size).reshape(shape)
    raise InputError(f"'action' has shape {shape} and the names {feature.get('names')!r}, the "
                     f"configuration the channels {', '.join(channels)}: which value is which is "
                     f"not stated; {NAME_THEM}.")
