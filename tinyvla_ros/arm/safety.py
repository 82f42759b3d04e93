# SPDX-License-Identifier: Apache-2.0
"""Limits on every value before it leaves: the last thing between a policy and an arm.

Not safety-rated. It bounds what is commanded, not what the arm does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.arm.contract import Channel, OnViolation

# Rounding must not count as a violation: relative to a limit.
SLACK = 1e-6


@dataclass(frozen=True)
class Motion:
    """What a channel was last told: where the limits begin.

    Attributes:
        value: (channels,) float64 last commanded values; measured ones before the first command.
        change: (channels,) float64 what was added in the period before; zeros at rest.
    """

    value: np.ndarray
    change: np.ndarray

    @classmethod
    def at_rest(cls, value: np.ndarray) -> Motion:
        """Return a motion that stands still at a value."""
        value = np.asarray(value, np.float64)
        return cls(value, np.zeros_like(value))


@dataclass(frozen=True)
class Verdict:
    """What the safety layer made of a sequence of commands.

    Attributes:
        action: ``pass``, ``hold`` or ``stop``.
        commands: (rows, channels) float64 within all limits; empty unless ``pass``.
        reason: one sentence on the worst violation, empty if there was none.
        begin: the motion that the commands go on from; None unless ``pass``.
    """

    action: str
    commands: np.ndarray
    reason: str = ""
    begin: Motion | None = None


class SafetyLayer:
    """Checks finiteness first, then jump, position, velocity and acceleration, per channel.

    A channel whose commands violate nothing passes unchanged, bit for bit. One that is clamped
    follows its commands as closely as the limits allow, comes back to them without overshoot, and
    can always brake before the end of the range: the result is within all limits at once. Only a
    start outside of the range leads outside, and from there only inwards.

    Attributes:
        interventions: violations so far by ``<kind> <channel>``; one per sequence and channel.

    Args:
        channels: name -> limits, in the order of the columns.
        on_violation: what a violation leads to.
        dt: control period, s.
    """

    def __init__(self, channels: Mapping[str, Channel], on_violation: OnViolation, dt: float):
        self._names = tuple(channels)
        self._limits = tuple(channels.values())
        self._reaction = on_violation.model_dump()
        self._dt = dt
        self._low = np.array([c.low for c in self._limits])
        self._high = np.array([c.high for c in self._limits])
        self._change = np.array([_or_infinite(c.velocity) for c in self._limits]) * dt
        self._bend = np.array([_or_infinite(c.acceleration) for c in self._limits]) * dt * dt
        self._jump = np.array([_or_infinite(c.jump) for c in self._limits])
        self._to_zero = np.array([c.hold == "zero" for c in self._limits])
        self._scale = np.maximum(np.abs(self._low), np.abs(self._high))
        self.interventions: Counter[str] = Counter()

    def check(self, commands: np.ndarray, motion: Motion | None,
              measured: Sequence[float | None]) -> Verdict:
        """Check commands that follow each other at the control period.

        Args:
            commands: (rows, channels) from now on.
            motion: what was commanded last; None if nothing was, then the first row is free to
                start anywhere that ``jump`` allows, from rest at the measured value where there
                is one.
            measured: per channel the measured value, None where nothing measures it.
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
        # The last command too: an arm that did not follow it must not be made to catch up.
        told = commands[0] if motion is None else motion.value
        distance = np.fmax(np.abs(commands[0] - known), np.abs(told - known))
        beyond = distance > self._jump * (1 + SLACK)  # false where nothing is measured
        if beyond.any():
            return self._react("jump", beyond, lambda column: (
                f"the first command {commands[0, column]:.4g}, or the one before it, is "
                f"{distance[column]:.4g} {self._limits[column].unit} from the measured "
                f"{known[column]:.4g}, more than {self._jump[column]:g}"))
        if motion is None:
            resting = np.where(self._to_zero, 0.0, np.clip(commands[0], self._low, self._high))
            motion = Motion.at_rest(np.where(np.isnan(known), resting, known))
        return self._limit(commands, motion)

    def brake(self, motion: Motion) -> np.ndarray:
        """Return the (rows, channels) float64 commands that bring a motion to rest, at least one.

        Positions stop as soon as the acceleration limit allows; channels that hold at zero go
        there as fast as the velocity limit allows.
        """
        value, change, rows = motion.value, motion.change, []
        while not rows or np.any(change):
            # Without a limit on acceleration one can stop at once.
            slower = np.sign(change) * np.maximum(np.abs(change) - self._bend, 0.0)
            change = np.where(self._to_zero, np.clip(-value, -self._change, self._change), slower)
            value = np.clip(value + change, np.minimum(self._low, value),
                            np.maximum(self._high, value))
            rows.append(value)
        return np.array(rows)

    def _limit(self, commands: np.ndarray, motion: Motion) -> Verdict:
        """Judge the commands by themselves, then clamp what is to be clamped."""
        targets = np.clip(commands, self._low, self._high)
        before = np.concatenate([motion.value[None], targets[:-1]])
        steps = targets - before
        slow = np.clip(steps, -self._change, self._change)
        bends = np.diff(slow, axis=0, prepend=motion.change[None])
        slack = SLACK * np.minimum(self._change, self._bend)
        too_late = (slow > _brakeable(self._high - before, self._bend) + slack) | (
            -slow > _brakeable(before - self._low, self._bend) + slack)
        worst = Verdict("pass", targets, begin=motion)
        violated = {"position": np.abs(commands - targets) > SLACK * self._scale,
                    "velocity": np.abs(steps) > self._change * (1 + SLACK),
                    "acceleration": (np.abs(bends) > self._bend + slack) | too_late}
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
        """Follow targets in the range within velocity and acceleration limits."""
        value, change, previous = motion.value, motion.change, motion.value
        out = np.empty_like(targets)
        for row, target in enumerate(targets):
            # With the target, and toward it no faster than one can brake when it is reached.
            behind = previous - value
            catch_up = np.copysign(_brakeable(np.abs(behind), self._bend), behind)
            wanted = np.clip(target - previous + catch_up, -self._change, self._change)
            # Room to brake before the end of the range, as far as the acceleration limit lets.
            lowest = -_brakeable(value - self._low, self._bend)
            highest = _brakeable(self._high - value, self._bend)
            change = np.clip(np.clip(wanted, lowest, highest),
                             change - self._bend, change + self._bend)
            value, previous = value + change, target
            out[row] = value
        # Rounding may leave a value an ulp outside.
        return np.clip(out, np.minimum(self._low, motion.value),
                       np.maximum(self._high, motion.value))

    def _react(self, kind: str, columns: np.ndarray, what: Callable[[int], str]) -> Verdict:
        """Count a violation for every column of a mask; the reason is about the first."""
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


def _brakeable(room: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Return the largest change per period from which one can brake within ``room``.

    Braking takes ``bend`` off the change in each period: with n = floor(change / bend), the way
    is the sum of change - k * bend for k = 0..n, which is inverted here. Without a limit on
    ``bend`` one can stop at once, and all of the room may be used.
    """
    room = np.maximum(room, 0.0)
    limited = np.isfinite(bend)
    step = np.where(limited, bend, 1.0)
    ratio = room / step
    whole = np.floor((np.sqrt(1.0 + 8.0 * ratio) - 1.0) / 2.0)
    return np.where(limited, (ratio / (whole + 1.0) + whole / 2.0) * step, room)
