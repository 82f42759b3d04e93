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

"""The commands to controllers between two moments: trajectories, positions and twists."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import SERVO_TIMEOUT_S
from tinyvla_ros.arm.contract_outputs import (
    JointTrajectoryOutput,
    Output,
    PositionsOutput,
    TwistOutput,
)
from tinyvla_ros.core.angles import is_wrap, turn_of, unwrapped
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.dry_run.trajectory import interpolate
from training.bag_export.angles import wrap_error
from training.bag_export.streams import Command, Recording

# Without a recorded clock, stamps and receive times must be of the same clock, s.
SAME_CLOCK_S = 1.0
NEVER = np.iinfo(np.int64).max


class Arrivals:
    """When a command took effect, on the axis of the stamps.

    Attributes:
        ticks: every time of a recorded clock, in order; empty without one.
    """

    def __init__(self, recording: Recording):
        self._path = recording.path
        self._clock = recording.clock[np.argsort(recording.clock[:, 0], kind="stable")]
        self.ticks = np.unique(self._clock[:, 1])

    def effective(self, sent_ns: int, stamp_ns: int) -> int:
        """Return the time from which a command counts, ``NEVER`` if there was none.

        Args:
            sent_ns: when it was published.
            stamp_ns: its stamp, 0 if it has none.

        Raises:
            InputError: there is no clock, and stamps and receive times are of different clocks.
        """
        if not len(self._clock):
            if stamp_ns and abs(sent_ns - stamp_ns) > SAME_CLOCK_S * 1e9:
                raise InputError(
                    f"{self._path}: stamps and receive times are {abs(sent_ns - stamp_ns) / 1e9:g}"
                    " s apart and no /clock was recorded, so that it is unknown when commands "
                    "arrived; record /clock too, or set the clocks.")
            return sent_ns
        tick = int(np.searchsorted(self._clock[:, 0], sent_ns, "right")) - 1
        if tick >= 0 and self._clock[tick, 1] == stamp_ns:
            return stamp_ns  # the time has not gone on since the observation: it waited
        # What comes between two ticks counts from the next one.
        return int(self._clock[tick + 1, 1]) if tick + 1 < len(self._clock) else NEVER


class Trajectories:
    """Positions sent to a joint_trajectory_controller, interpolated as it does.

    Between points with velocities these are cubics, else lines. A new trajectory replaces the old
    one when it arrives; up to its first point the arm goes there from its command of that moment.
    Past its last point it stays.

    Attributes:
        dt: time between two points, s; None if no trajectory has two.
    """

    def __init__(self, recording: Recording, output: JointTrajectoryOutput, arrivals: Arrivals,
                 contract: RobotContract):
        self.dt: float | None = None
        self._path, self._contract, self._output = recording.path, contract, output
        channels = [contract.actions[name] for name in output.channels]
        scales = [abs(place.scale) for place in output.channels.values()]
        self._turns = np.array([c.turn for c in channels]) * scales
        # One turn of angles that should not wrap.
        ends = [0.0 if c.continuous else turn_of(c.unit) for c in channels]
        self._ends = np.array(ends) * scales
        self._where = f"{recording.path}: a trajectory on {output.topic}"
        self._begins: list[int] = []
        self._pieces: list[tuple[np.ndarray, ...]] = []  # arguments of ``interpolate``
        self._width = len(output.channels)
        for command in recording.commands[output.topic]:
            self._add(output.targets, command, arrivals)

    def _add(self, targets: list[str], command: Command, arrivals: Arrivals) -> None:
        msg = command.message
        names = list(msg.joint_names)
        missing = set(targets) - set(names)
        if missing:
            raise InputError(f"{self._where} does not name {', '.join(sorted(missing))}; correct "
                             "the outputs in a contract for --robot.")
        stamp = time_to_ns(msg.header.stamp)
        begins = arrivals.effective(command.sent_ns, stamp)
        if begins == NEVER or not msg.points:
            return
        if any(len(p.positions) != len(names) for p in msg.points):
            raise InputError(f"{self._where} has points without a position for every joint; only "
                             "positions can become actions.")
        ends = np.array([time_to_ns(p.time_from_start) for p in msg.points], np.int64)
        order = [names.index(t) for t in targets]
        points = np.array([p.positions for p in msg.points], np.float64)[:, order]
        # As the controller does: a velocity counts where a point has one for every joint.
        moving = np.array([len(p.velocities) == len(names) for p in msg.points])
        speeds = np.array([p.velocities if m else np.zeros(len(names))
                           for p, m in zip(msg.points, moving, strict=True)])[:, order]
        if (np.diff(ends) <= 0).any() or not _finite(np.array([points, speeds])):
            raise InputError(f"{self._where} has times that do not increase or values that are "
                             "not finite; leave this bag out.")
        if self.dt is None and len(ends) > 1:
            self.dt = float(np.median(np.diff(ends))) / 1e9
        ends = ends + (stamp or begins)
        if ends[-1] < begins:
            return  # all of it in the past: the controller refuses it
        before = self._at(begins, begins)
        if before is not None and begins < ends[0]:
            (where, speed), ends = before, np.append(begins, ends)
            points, speeds = np.vstack([where, points]), np.vstack([speed, speeds])
            moving = np.append(True, moving)
        self._refuse_wraps(points, begins)
        points = unwrapped(points, self._turns)
        self._begins.append(begins)
        self._pieces.append((ends, points, speeds, moving[:-1] & moving[1:]))

    def _refuse_wraps(self, points: np.ndarray, at_ns: int) -> None:
        wraps = is_wrap(np.diff(points, axis=0), self._ends)
        if wraps.any():
            row, column = np.argwhere(wraps)[0]
            raise wrap_error(self._path, f"a trajectory on {self._output.topic} for "
                             f"{self._output.targets[column]!r}", points[:, column], int(row) + 1,
                             f"at {at_ns / 1e9:.3f} s", self._contract)

    def _at(self, known_ns: int, now_ns: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return positions and velocities at a time, by what was known at another."""
        index = bisect_right(self._begins, known_ns) - 1
        if index < 0:
            return None
        if now_ns < self._pieces[index][0][0]:
            return None
        return interpolate(*self._pieces[index], now_ns)

    def __call__(self, start_ns: int, dt_ns: int) -> np.ndarray:
        """Return what was to be reached at the end of a step; NaN if nothing was."""
        values = self._at(start_ns + dt_ns // 2, start_ns + dt_ns)
        return np.full(self._width, np.nan) if values is None else values[0]


class LastSent:
    """Positions or twists, each of which counts until the next one."""

    dt = None

    def __init__(self, recording: Recording, output: Output, arrivals: Arrivals,
                 timeout_s: float | None, read):
        self._timeout_ns = timeout_s and round(timeout_s * 1e9)
        sent = [(arrivals.effective(c.sent_ns, stamp), values) for c in
                recording.commands[output.topic] for stamp, values in [read(c.message)]]
        self._times = [t for t, _ in sent]
        self._rows = np.array([v for _, v in sent], np.float64)
        if self._rows.ndim != 2 or self._rows.shape[1] != len(output.channels) or \
                not _finite(self._rows):
            raise InputError(f"{recording.path}: {output.topic} does not always carry "
                             f"{len(output.channels)} finite values, one for each channel; "
                             "correct the outputs in a contract for --robot.")

    def __call__(self, start_ns: int, dt_ns: int) -> np.ndarray:
        """Return what was sent last; NaN if nothing was, zero if it no longer counts."""
        now = start_ns + dt_ns // 2
        index = bisect_right(self._times, now) - 1
        if index < 0:
            return np.full(self._rows.shape[1], np.nan)
        if self._timeout_ns and now - self._times[index] > self._timeout_ns:
            return np.zeros(self._rows.shape[1])
        return self._rows[index]


def _finite(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(values.astype(np.float32)).all())  # as they are stored


def _positions(recording: Recording, output: PositionsOutput, arrivals: Arrivals) -> LastSent:
    return LastSent(recording, output, arrivals, None, lambda m: (0, list(m.data)))


def _twists(recording: Recording, output: TwistOutput, arrivals: Arrivals) -> LastSent:
    axes = [target.split(".") for target in output.targets]
    return LastSent(recording, output, arrivals, SERVO_TIMEOUT_S, lambda m: (
        time_to_ns(m.header.stamp), [getattr(getattr(m.twist, p), a) for p, a in axes]))


_READERS = {PositionsOutput: _positions, TwistOutput: _twists}


def command_readers(recording: Recording, contract: RobotContract) -> list[tuple[Output, object]]:
    """Return every output with a function (start_ns, dt_ns) -> values in its message's order."""
    arrivals = Arrivals(recording)
    return [(o, Trajectories(recording, o, arrivals, contract)
             if isinstance(o, JointTrajectoryOutput) else
             _READERS[type(o)](recording, o, arrivals)) for o in contract.outputs]
