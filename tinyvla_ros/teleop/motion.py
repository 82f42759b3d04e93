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
from tinyvla_ros.arm.safety import max_stoppable_step

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
        self._at_ns = 0
        # From when on which speeds are wanted, in order.
        self._wanted: list[tuple[int, Callable[[np.ndarray], np.ndarray]]] = []

    def begin(self, value: np.ndarray, speed: np.ndarray, at_ns: int) -> None:
        """Start at a time from (channels,) values and speeds; that of rates is their value."""
        self.value, self._at_ns, self._wanted = np.array(value, np.float64), at_ns, []
        self._speed = np.where(self.rates, value, speed)

    def want(self, wanted: Callable[[np.ndarray], np.ndarray], since_ns: int) -> None:
        """Have other speeds from a time on: ``wanted`` returns (channels,) at (channels,)."""
        # A later thought about the same time wins.
        self._wanted = [w for w in self._wanted if w[0] < since_ns] + [(since_ns, wanted)]

    def advance(self, now_ns: int, period_ns: int) -> None:
        """Go on to a time, in steps of at most a period."""
        self.value, self._speed = self._go_on(self.value, self._speed, self._at_ns, now_ns,
                                              period_ns)
        self._at_ns = max(self._at_ns, now_ns)
        past = [w for w in self._wanted if w[0] <= self._at_ns]
        self._wanted = past[-1:] + [w for w in self._wanted if w[0] > self._at_ns]

    def rows(self, stamp_ns: int, rows: int, period_ns: int) -> np.ndarray:
        """Return (rows, channels) values at the ends of the periods that follow a stamp.

        Nothing here changes.
        """
        value, speed, at_ns, out = self.value, self._speed, self._at_ns, []
        for row in range(1, rows + 1):
            end_ns = stamp_ns + row * period_ns
            value, speed = self._go_on(value, speed, at_ns, end_ns, period_ns)
            at_ns = max(at_ns, end_ns)
            out.append(value)
        return np.array(out)

    def _go_on(self, value: np.ndarray, speed: np.ndarray, at_ns: int, end_ns: int,
               period_ns: int) -> tuple[np.ndarray, np.ndarray]:
        while at_ns < end_ns:
            wanted = [w for since_ns, w in self._wanted if since_ns <= at_ns]
            changes = [since_ns for since_ns, _ in self._wanted if since_ns > at_ns]
            next_ns = min([end_ns, at_ns + period_ns, *changes])
            value, speed = self._step(value, speed, wanted[-1] if wanted else np.zeros_like,
                                      (next_ns - at_ns) / 1e9)
            at_ns = next_ns
        return value, speed

    def _step(self, value: np.ndarray, speed: np.ndarray, wanted: Callable, seconds: float
              ) -> tuple[np.ndarray, np.ndarray]:
        target = np.clip(wanted(value), -self.fastest, self.fastest)
        # Slow enough to stop at the end of the range, counted in rows as the safety layer does.
        for end, sign in ((self._high, 1.0), (self._low, -1.0)):
            left = sign * (end - value) - np.abs(speed) * seconds / 2.0
            stoppable = max_stoppable_step(left, self._change * seconds ** 2)
            target = np.where(self.rates, target,
                              sign * np.minimum(sign * target, stoppable / seconds))
        change = self._change * seconds
        new = speed + np.clip(target - speed, -change, change)
        moved = np.where(self.rates, new, value + (speed + new) / 2.0 * seconds)
        return np.clip(moved, np.minimum(self._low, value), np.maximum(self._high, value)), new
