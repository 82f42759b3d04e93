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

"""The safety layer: every command is checked against the contract's limits before it is sent.

Not safety-rated. It bounds what is commanded, not what the arm does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.arm.contract import Channel, OnViolation
from tinyvla_ros.core.angles import WRAP_SHARE, is_wrap, turn_of

# Rounding is no violation: tolerance, relative to a limit.
SLACK = 1e-6
WRAPS = "; if this joint turns without end, write 'continuous: true' for the channel"


@dataclass(frozen=True)
class Motion:
    """Where the commands are and how fast they move: the state that the limits start from.

    Attributes:
        value: (channels,) float64 last commanded values; measured ones before the first command.
        step: (channels,) float64 change of the value in the last control period; zeros at rest.
    """

    value: np.ndarray
    step: np.ndarray

    @classmethod
    def at_rest(cls, value: np.ndarray) -> Motion:
        """Return a motion that stands still at (channels,) values."""
        value = np.asarray(value, np.float64)
        return cls(value, np.zeros_like(value))


@dataclass(frozen=True)
class Verdict:
    """The safety layer's answer to a sequence of commands.

    Attributes:
        action: ``pass``, ``hold`` or ``stop``.
        commands: (rows, channels) float64 within all limits; empty unless ``pass``.
        reason: one sentence about the worst violation; empty if there was none.
        begin: the motion that the commands continue; None unless ``pass``.
    """

    action: str
    commands: np.ndarray
    reason: str = ""
    begin: Motion | None = None


class SafetyLayer:
    """Checks, per channel: finite values, then jump, position, velocity and acceleration.

    A channel without a violation passes unchanged, bit for bit. A clamped channel follows its
    commands as closely as the limits allow, returns to them without overshoot, and can always
    stop before the end of its range. Values outside the range occur only if the motion starts
    there, and then they move inward.

    Attributes:
        interventions: number of violations by ``<kind> <channel>``; at most one per check.

    Args:
        channels: name -> limits, in the order of the columns.
        on_violation: the reaction to each kind of violation.
        dt: control period, s.
    """

    def __init__(self, channels: Mapping[str, Channel], on_violation: OnViolation, dt: float):
        self._names = tuple(channels)
        self._limits = tuple(channels.values())
        self._reaction = on_violation.model_dump()
        self._dt = dt
        self._low = np.array([-math.inf if c.continuous else c.low for c in self._limits])
        self._high = np.array([math.inf if c.continuous else c.high for c in self._limits])
        # One turn of angles that could wrap and are not said to; 0 for other channels.
        self._turn = np.array([0.0 if c.continuous or c.hold == "zero" else turn_of(c.unit)
                               for c in self._limits])
        self._turn[self._high - self._low <= WRAP_SHARE * self._turn] = 0.0
        self._max_step = np.array([_or_infinite(c.velocity) for c in self._limits]) * dt
        self._max_step_change = np.array(
            [_or_infinite(c.acceleration) for c in self._limits]) * dt * dt
        self._jump = np.array([_or_infinite(c.jump) for c in self._limits])
        self._to_zero = np.array([c.hold == "zero" for c in self._limits])
        self._scale = np.maximum(np.abs(self._low), np.abs(self._high))
        self.interventions: Counter[str] = Counter()

    def check(self, commands: np.ndarray, motion: Motion | None,
              measured: Sequence[float | None]) -> Verdict:
        """Check a sequence of commands, one per control period.

        Args:
            commands: (rows, channels); the first row is for the next period.
            motion: what was commanded last. None before the first command: the motion then
                starts at rest at the measured values, and ``jump`` bounds the first row.
            measured: per channel the measured value; None where nothing measures it.
        """
        commands = np.asarray(commands, np.float64)
        known = np.array([math.nan if m is None else m for m in measured], np.float64)
        is_bad = ~np.isfinite(commands)
        is_lost = np.array([m is not None for m in measured]) & ~np.isfinite(known)
        if is_bad.any() or is_lost.any():
            return self._react("finite", is_bad.any(0) | is_lost, lambda column: (
                f"the measured value is {known[column]}, not a finite number" if is_lost[column]
                else f"row {_first_row(is_bad, column)} is "
                f"{commands[_first_row(is_bad, column), column]}, not a finite number"))
        # The last command counts too: an arm that did not follow it must not rush to catch up.
        last = commands[0] if motion is None else motion.value
        distance = np.fmax(np.abs(commands[0] - known), np.abs(last - known))
        beyond = distance > self._jump * (1 + SLACK)  # false where nothing is measured
        if beyond.any():
            return self._react("jump", beyond, lambda column: (
                f"the first command {commands[0, column]:.4g}, or the one before it, is "
                f"{distance[column]:.4g} {self._limits[column].unit} from the measured "
                f"{known[column]:.4g}, more than {self._jump[column]:g}"
                + (WRAPS if is_wrap(distance, self._turn)[column] else "")))
        wraps = is_wrap(np.diff(commands, axis=0, prepend=last[None]), self._turn)
        if wraps.any():
            return self._react("jump", wraps.any(0), lambda column: (
                f"row {_first_row(wraps, column)} is "
                f"{commands[_first_row(wraps, column), column]:.4g} {self._limits[column].unit}, "
                f"nearly a turn from the one before{WRAPS}"))
        if motion is None:
            resting = np.where(self._to_zero, 0.0, np.clip(commands[0], self._low, self._high))
            motion = Motion.at_rest(np.where(np.isnan(known), resting, known))
        return self._limit(commands, motion)

    def brake(self, motion: Motion) -> np.ndarray:
        """Return (rows, channels) float64 commands that bring a motion to rest; at least one row.

        Positions stop as soon as the acceleration limit allows; channels with ``hold: zero`` go
        to zero as fast as the velocity limit allows.
        """
        value, step, rows = motion.value, motion.step, []
        while not rows or np.any(step):
            # Without an acceleration limit the channel stops at once.
            slower = np.sign(step) * np.maximum(np.abs(step) - self._max_step_change, 0.0)
            step = np.where(self._to_zero, np.clip(-value, -self._max_step, self._max_step),
                            slower)
            value = np.clip(value + step, np.minimum(self._low, value),
                            np.maximum(self._high, value))
            rows.append(value)
        return np.array(rows)

    def can_stop(self, motion: Motion) -> np.ndarray:
        """Return (channels,) whether ``brake`` stops each channel inside its range."""
        unit = np.where(np.isfinite(self._max_step_change), self._max_step_change, 1.0)
        size = np.abs(motion.step)
        rows = np.where(np.isfinite(self._max_step_change), np.floor(size / unit), 0.0)
        stop = motion.value + np.sign(motion.step) * (
            rows * size - unit * rows * (rows + 1) / 2)
        slack = SLACK * self._scale
        return self._to_zero | ((stop >= self._low - slack) & (stop <= self._high + slack))

    def _limit(self, commands: np.ndarray, motion: Motion) -> Verdict:
        """Find violations in the commands as they are, then clamp the channels that have some."""
        targets = np.clip(commands, self._low, self._high)
        before = np.concatenate([motion.value[None], targets[:-1]])
        steps = targets - before
        slow = np.clip(steps, -self._max_step, self._max_step)
        step_changes = np.diff(slow, axis=0, prepend=motion.step[None])
        slack = SLACK * np.minimum(self._max_step, self._max_step_change)
        too_late = (  # to stop before the end of the range
            (slow > max_stoppable_step(self._high - before, self._max_step_change) + slack)
            | (-slow > max_stoppable_step(before - self._low, self._max_step_change) + slack))
        worst = Verdict("pass", targets, begin=motion)
        violated = {"position": np.abs(commands - targets) > SLACK * self._scale,
                    "velocity": np.abs(steps) > self._max_step * (1 + SLACK),
                    "acceleration": (np.abs(step_changes) > self._max_step_change + slack)
                    | too_late}
        for kind, where in violated.items():
            if not where.any():
                continue
            verdict = self._react(kind, where.any(0), lambda column, kind=kind, where=where: (
                f"row {_first_row(where, column)} asks for "
                f"{commands[_first_row(where, column), column]:.4g} {self._limits[column].unit}, "
                f"beyond the limit of {kind}"))
            if verdict.action == "stop" or worst.action == "pass":
                worst = verdict
        if worst.action != "pass":
            return worst
        clamped = (violated["velocity"] | violated["acceleration"]).any(0)
        if clamped.any():
            targets = np.where(clamped, self._follow(targets, motion), targets)
        return Verdict("pass", targets, worst.reason, motion)

    def _follow(self, targets: np.ndarray, motion: Motion) -> np.ndarray:
        """Follow targets inside the range within the velocity and acceleration limits."""
        value, step, previous = motion.value, motion.step, motion.value
        out = np.empty_like(targets)
        for row, target in enumerate(targets):
            # As fast as the target moves, plus a catch-up that can still stop at the target.
            behind = previous - value
            # In one call: this runs between an image and the command it leads to.
            catch_up, down, up = max_stoppable_step(
                np.stack([np.abs(behind), value - self._low, self._high - value]),
                self._max_step_change)
            wanted = np.clip(target - previous + np.copysign(catch_up, behind),
                             -self._max_step, self._max_step)
            # It must be able to stop inside the range, as far as the acceleration limit lets it.
            step = np.clip(np.clip(wanted, -down, up),
                           step - self._max_step_change, step + self._max_step_change)
            value, previous = value + step, target
            out[row] = value
        # Rounding may leave a value one unit in the last place outside.
        return np.clip(out, np.minimum(self._low, motion.value),
                       np.maximum(self._high, motion.value))

    def _react(self, kind: str, columns: np.ndarray, what: Callable[[int], str]) -> Verdict:
        """Count a violation of every masked channel; the reason names the first of them."""
        for column in np.flatnonzero(columns):
            self.interventions[f"{kind} {self._names[column]}"] += 1
        first = int(np.argmax(columns))
        reaction = self._reaction[kind]
        action = "pass" if reaction == "clamp" else reaction
        return Verdict(action, np.empty((0, len(self._names))),
                       f"Channel {self._names[first]!r}, {kind}: {what(first)}.")


def _or_infinite(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _first_row(where: np.ndarray, column: int) -> int:
    return int(np.argmax(where[:, column]))


def max_stoppable_step(distance: np.ndarray, max_step_change: np.ndarray) -> np.ndarray:
    """Return the largest step per period from which a channel can stop within a distance.

    Braking takes ``max_step_change`` off the step in each period. With n = floor(step /
    max_step_change) the stopping distance is the sum of step - k * max_step_change over k = 0..n;
    this inverts that sum. Without an acceleration limit the channel stops at once and may use the
    whole distance.

    Args:
        distance: (channels,) or (rows, channels) to the point where it must stand; negative
            counts as 0, infinite where there is none.
        max_step_change: (channels,) acceleration limit per period squared; infinite for none.
    """
    endless = np.isinf(distance)
    distance = np.where(endless, 0.0, np.maximum(distance, 0.0))
    limited = np.isfinite(max_step_change)
    unit = np.where(limited, max_step_change, 1.0)
    ratio = distance / unit
    whole = np.floor((np.sqrt(1.0 + 8.0 * ratio) - 1.0) / 2.0)
    step = np.where(limited, (ratio / (whole + 1.0) + whole / 2.0) * unit, distance)
    return np.where(endless, np.inf, step)
