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

"""Units and limits of action channels: the contract's, or what the data have."""

from __future__ import annotations

import math

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.commented_yaml import Noted
from tinyvla_ros.core.errors import InputError
from training.recipe_writing.summary import DataSummary
from training.recipe_writing.values import Values

# Limits lie beyond the usual values by this share of what they cover.
MARGIN = 0.05
# Of a range: what a recording in float32 may be off.
FLOAT32 = 1e-6


def unit(name: str, data: DataSummary, contract: RobotContract | None) -> Noted:
    """Return the unit of a channel."""
    if contract is not None:
        return Noted(contract.actions[name].unit, f"contract: actions.{name}.unit")
    if name in data.units:
        return Noted(data.units[name], "data: stated in meta/info.json")
    return Noted("unknown", "TODO: the data do not say; write the unit of the robot contract")


def limits(name: str, data: DataSummary, contract: RobotContract | None
           ) -> tuple[Noted, Noted, list[str]]:
    """Return low and high of a channel, and sentences about what may surprise.

    Raises:
        InputError: the data are so far beyond the contract that their units must differ.
    """
    values, notes = data.channels[name], []
    if name in data.turning:
        half = data.turns[data.turning[name]] / 2
        note = "data: turns without end, which has no limits"
        return Noted(-half, note), Noted(half, note), []
    channel = contract.actions[name] if contract else None
    if channel is not None and channel.continuous:
        notes.append(
            f"The contract says that {name} turns without end, and the data do not: write "
            f'"continuous": ["{channel.state}"] into \'observation.state\' and "continuous": '
            f'{{"{name}": "{channel.state}"}} into \'action\' of meta/info.json (docs/data.md), '
            "or export the bags again, before you train.")
    if channel is None or channel.continuous:
        low, high = data_limits(values)
        spare = f", with {MARGIN:.0%} of the usual range to spare"
        return (Noted(low, f"data: smallest {values.low:.6g}" + spare * (low < values.low)),
                Noted(high, f"data: largest {values.high:.6g}" + spare * (high > values.high)),
                notes)
    beyond = max(channel.low - values.low, values.high - channel.high)
    if beyond > channel.high - channel.low:
        raise InputError(
            f"Action {name!r} is {values.low:.6g} to {values.high:.6g} in the data, and the "
            f"contract {contract.name!r} allows {channel.low:g} to {channel.high:g} "
            f"{channel.unit}: they are not in one unit or not of one robot; convert the data, or "
            f"correct actions.{name} of the contract.")
    slack = FLOAT32 * (channel.high - channel.low)
    low, high = _outward(channel.low if values.low >= channel.low - slack else values.low,
                         channel.high if values.high <= channel.high + slack else values.high,
                         channel.low, channel.high)
    for word, limit, mine, extreme in (("low", low, channel.low, values.low),
                                       ("high", high, channel.high, values.high)):
        if limit != mine:
            notes.append(f"Action {name} is {extreme:.6g} in the data, beyond {word} {mine:g} of "
                         "the contract, whose safety layer will clamp it.")
    return (*(Noted(limit, f"contract: actions.{name}.{word}" if limit == mine else
                    f"data: {extreme:.6g}, beyond the contract's {mine:g}")
              for word, limit, mine, extreme in (("low", low, channel.low, values.low),
                                                 ("high", high, channel.high, values.high))),
            notes)


def data_limits(values: Values) -> tuple[float, float]:
    """Return limits that hold all values: beyond the usual ones, not far beyond the extremes."""
    low, high, (usual_low, usual_high) = values.low, values.high, values.usual
    if values.is_constant:
        reach = max(MARGIN * abs(low), MARGIN)
        return _outward(low - reach, high + reach)
    spare = 0.0 if values.distinct else MARGIN * (usual_high - usual_low)
    # Where a hundredth of all values is at the end, the end is a limit already.
    return _outward(min(low, usual_low - spare) if usual_low > low else low,
                    max(high, usual_high + spare) if usual_high < high else high)


def _outward(low: float, high: float, *kept: float) -> tuple[float, float]:
    """Round away from each other, to a thousandth of the range; ``kept`` values stay."""
    digits = 3 - math.floor(math.log10(high - low))
    scale = 10.0 ** digits
    down = low if low in kept else math.floor(low * scale) / scale
    up = high if high in kept else math.ceil(high * scale) / scale
    return float(f"{down:.12g}"), float(f"{up:.12g}")
