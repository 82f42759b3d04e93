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

"""Where a person wants the arm: values that go on at the wanted speed, within the limits.

Speeds change no faster than the contract's accelerations, so that the safety layer behind has
nothing to clamp. Positions are integrated from what was commanded, never from what was measured:
an arm that sags under its load would sink a little more with every command.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingOf

import numpy as np

from tinyvla_ros.arm.contract import Channel

# Share of the contract's acceleration limits that is used: the rest is for rounding, and for plans
# whose rows begin at other times.
ACCELERATION_SHARE = 0.8
# Where the contract has no limit: time to full speed, and time for the whole range, s.
RAMP_S, RANGE_S = 0.25, 2.0


class GoalMotion:
    """The motion of all channels.

    Channels with ``hold: zero`` are rates: their value is the speed itself.

    Attributes:
        value: (channels,) values at the present time.
        fastest: (channels,) largest speed of each channel, per second; largest value of rates.
    """

    def __init__(self, channels: MappingOf[str, Channel]):
        limits = list(channels.values())
        self.rates = np.array([c.hold == "zero" for c in limits])
        self._low = np.array([-np.inf if c.continuous else c.low for c in limits])
        self._high = np.array([np.inf if c.continuous else c.high for c in limits])
        span = np.array([c.high - c.low for c in limits])
        speed = np.array([np.nan if c.velocity is None else c.velocity for c in limits])
        self.fastest = np.where(self.rates, np.minimum(-self._low, self._high),
                                np.where(np.isnan(speed), span / RANGE_S, speed))
        # One that can go one way only, like a gripper's force, has its range in that way.
        self.fastest = np.where(self.fastest > 0.0, self.fastest, span)
        given = np.array([np.nan if c.acceleration is None else c.acceleration for c in limits])
        given = np.where(self.rates, speed, given)
        self._change = np.where(np.isnan(given), self.fastest / RAMP_S,
                                ACCELERATION_SHARE * given)
        self.value = np.zeros(len(limits))
        self._speed = np.zeros(len(limits))

    def begin(self, value: np.ndarray, speed: np.ndarray) -> None:
        """Start from (channels,) values and speeds; the speed of rates is their value."""
        self.value = np.array(value, np.float64)
        self._speed = np.where(self.rates, value, speed)

    def advance(self, wanted: Callable[[np.ndarray], np.ndarray], seconds: float,
                period: float) -> None:
        """Go on for some seconds in steps of at most a period, at the speeds that are wanted.

        ``wanted`` returns (channels,) speeds at (channels,) values.
        """
        while seconds > 1e-9:
            step = min(seconds, period)
            self.value, self._speed = self._step(self.value, self._speed, wanted, step)
            seconds -= step

    def rows(self, wanted: Callable[[np.ndarray], np.ndarray], rows: int,
             period: float) -> np.ndarray:
        """Return (rows, channels) values of the coming periods; nothing here changes."""
        value, speed, out = self.value, self._speed, []
        for _ in range(rows):
            value, speed = self._step(value, speed, wanted, period)
            out.append(value)
        return np.array(out)

    def _step(self, value: np.ndarray, speed: np.ndarray, wanted: Callable, seconds: float
              ) -> tuple[np.ndarray, np.ndarray]:
        target = np.clip(wanted(value), -self.fastest, self.fastest)
        # Slow enough to stop at the end of the range. Next to it a whole period may be too long.
        for end, sign in ((self._high, 1.0), (self._low, -1.0)):
            left = np.maximum(sign * (end - value), 0.0)
            stoppable = np.minimum(np.sqrt(2.0 * self._change * left), left / seconds)
            target = np.where(self.rates, target,
                              sign * np.minimum(sign * target, stoppable))
        change = self._change * seconds
        new = speed + np.clip(target - speed, -change, change)
        moved = value + (speed + new) / 2.0 * seconds
        moved = np.where(self.rates, new, moved)
        return np.clip(moved, np.minimum(self._low, value), np.maximum(self._high, value)), new
