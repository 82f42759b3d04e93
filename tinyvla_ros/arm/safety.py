# SPDX-License-Identifier: Apache-2.0
"""Limits on every value before it leaves: the last thing between a policy and an arm.

Not safety-rated. It bounds what is commanded, not what the arm does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.arm.contract import Channel, OnViolation

KINDS = ("finite", "position", "velocity", "acceleration", "jump")
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
    """

    action: str
    commands: np.ndarray
    reason: str = ""


class SafetyLayer:
    """Checks finiteness first, then jump, position, velocity and acceleration, per channel.

    What is clamped follows the commands as closely as the limits allow, and can always brake
    before the end of the range: the result is within all limits at once.

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
        if not np.isfinite(commands).all():
            row, column = np.argwhere(~np.isfinite(commands))[0]
            return self._react("finite", int(column),
                               f"row {row} is {commands[row, column]}, not a finite number")
        known = np.array([math.nan if m is None else m for m in measured], np.float64)
        if np.isinf(known).any() or np.isnan(known[[m is not None for m in measured]]).any():
            column = int(np.argmax([m is not None and not math.isfinite(m) for m in measured]))
            return self._react("finite", column,
                               f"its measured value is {measured[column]}, not a finite number")
        distance = np.abs(commands[0] - known)
        beyond = distance > self._jump * (1 + SLACK)  # False where nothing is measured
        worst = Verdict("pass", commands)
        for column in np.flatnonzero(beyond):
            verdict = self._react("jump", int(column), (
                f"the first command {commands[0, column]:.4g} is {distance[column]:.4g} "
                f"{self._limits[column].unit} from the measured {known[column]:.4g}, more than "
                f"{self._jump[column]:g}"))
            if verdict.action != "pass":
                return verdict
            worst = verdict
        if motion is None:
            start = np.where(np.isnan(known), np.clip(commands[0], self._low, self._high), known)
            motion = Motion.at_rest(start)
        return self._follow(commands, motion, worst)

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

    def _follow(self, commands: np.ndarray, motion: Motion, worst: Verdict) -> Verdict:
        """Follow the commands within position, velocity and acceleration limits."""
        value, change = motion.value.copy(), motion.change.copy()
        out = np.empty_like(commands)
        violated = dict.fromkeys(("position", "velocity", "acceleration"))
        for row, command in enumerate(commands):
            target = np.clip(command, self._low, self._high)
            _note(violated, "position", command, target, self._scale, row)
            wanted = target - value
            slow = np.clip(wanted, -self._change, self._change)
            _note(violated, "velocity", wanted, slow, self._change, row)
            # Bend no harder than allowed, and keep enough room to brake before the end of the
            # range. If both cannot be had (a start outside of the limits), braking wins.
            lowest = np.maximum(change - self._bend, -_brakeable(value - self._low, self._bend))
            highest = np.minimum(change + self._bend, _brakeable(self._high - value, self._bend))
            lowest = np.minimum(lowest, change + self._bend)
            highest = np.maximum(highest, change - self._bend)
            smooth = np.clip(slow, np.minimum(lowest, highest), np.maximum(lowest, highest))
            _note(violated, "acceleration", slow, smooth, np.minimum(self._change, self._bend),
                  row)
            value, change = value + smooth, smooth
            out[row] = value
        for kind, found in violated.items():
            if found is None:
                continue
            columns, row = found
            for column in np.flatnonzero(columns):
                verdict = self._react(kind, int(column), (
                    f"row {row} asks for {commands[row, column]:.4g} {self._limits[column].unit},"
                    f" beyond the limit of {kind}"))
                if verdict.action == "stop" or worst.action == "pass":
                    worst = verdict
        if worst.action != "pass":
            return worst
        # Rounding may leave a value an ulp outside.
        return Verdict("pass", np.clip(out, np.minimum(self._low, motion.value),
                                       np.maximum(self._high, motion.value)), worst.reason)

    def _react(self, kind: str, column: int, what: str) -> Verdict:
        name = self._names[column]
        self.interventions[f"{kind} {name}"] += 1
        reaction = self._reaction[kind]
        action = "pass" if reaction == "clamp" else reaction
        return Verdict(action, np.empty((0, len(self._names))), f"Channel {name!r}: {what}.")


def _or_infinite(limit: float | None) -> float:
    return math.inf if limit is None else limit


def _note(violated: dict, kind: str, wanted: np.ndarray, given: np.ndarray, scale: np.ndarray,
          row: int) -> None:
    """Remember the first row of a violation, and every channel that had one."""
    columns = np.abs(wanted - given) > SLACK * np.where(np.isfinite(scale), scale, 1.0)
    if columns.any():
        found = violated[kind]
        violated[kind] = (columns, row) if found is None else (found[0] | columns, found[1])


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
