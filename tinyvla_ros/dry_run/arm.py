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

"""A kinematic arm behind the outputs of a robot contract."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.arm.contract import Channel, RobotContract
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.arm.contract_outputs import (
    AnyOutput,
    JointTrajectoryOutput,
    PositionsOutput,
    TwistOutput,
)
from tinyvla_ros.core.angles import wrapped
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.dry_run.followers import PositionsFollower, TwistFollower
from tinyvla_ros.dry_run.trajectory import Refused, TrajectoryFollower
from tinyvla_ros.policy.config import PolicyConfig

# Standard deviation of states that no channel drives: real sensors are noisy.
SENSOR_NOISE = 1e-4
# Of what is felt: force, torque and effort. An effort also grows with the velocity, by so much.
FELT_NOISE, DRAG = 0.02, 0.5
# Shortest time to take a speed over: on a busy machine two measurements may come close together.
SPEED_WINDOW_S = 0.005


@dataclass(frozen=True)
class Moment:
    """The arm at one time.

    Attributes:
        channels: action channel -> position or velocity, in the contract's unit.
        state: state name of the checkpoint -> value.
        orientation: (4,) x, y, z, w of the end effector.
    """

    channels: Mapping[str, float]
    state: Mapping[str, float]
    orientation: np.ndarray


class DryRunArm:
    """Follows every output of a contract and measures the resulting states.

    A channel drives the state that it names, and with it its velocity and effort; a twist drives
    the position of the end effector. All other states keep their start value, with a little noise.

    Attributes:
        accepted: number of commands followed, by topic.
        refused: number of commands refused, by ``<topic>: <cause>``.
        last_refusal: one sentence; empty if there was none.
        speeds: channel -> largest speed so far, ``unit/s``; for twists the largest value.

    Args:
        start: state name -> start value, for every state of the checkpoint. Other states that
            the contract names begin at 0.

    Raises:
        InputError: the contract has an output of type ``chunk``.
    """

    def __init__(self, contract: RobotContract, config: PolicyConfig,
                 start: Mapping[str, float], now_ns: int):
        self._outputs, self._actions = contract.outputs, contract.actions
        self._twists = {n for o in contract.outputs if o.quantity == "velocity"
                        for n in o.channels}
        self._drives = {n: c.state for n, c in contract.actions.items() if c.state}
        sources = contract.sources
        self._start = dict.fromkeys(sources.listed, 0.0) | {n: start[n] for n in config.state}
        felt = {n for n, s in sources.listed.items()
                if s.field == "effort" or s.stream.startswith("wrench/")}
        self._noise = np.array([FELT_NOISE if n in felt else SENSOR_NOISE for n in self._start])
        channels = {n: _start_of(c, self._start) for n, c in contract.actions.items()}
        period_ns = round(config.action.dt * 1e9)
        self._followers = [self._follower(o, channels, period_ns, now_ns) for o in self._outputs]
        self._rng = np.random.default_rng(0)
        self._last: tuple[int, Mapping[str, float]] = (now_ns, channels)
        self.accepted: Counter[str] = Counter({o.topic: 0 for o in self._outputs})
        self.refused: Counter[str] = Counter()
        self.last_refusal = ""
        self.speeds = dict.fromkeys(contract.actions, 0.0)

    def command(self, index: int, msg, now_ns: int) -> None:
        """Follow a message of the contract's output ``index``.

        Raises:
            Refused: the arm continues with the command before.
        """
        topic = self._outputs[index].topic
        try:
            self._followers[index].accept(msg, now_ns)
        except Refused as err:
            self.refused[f"{topic}: {err.cause}"] += 1
            self.last_refusal = f"{topic}: {err}"
            raise
        self.accepted[topic] += 1

    def observe(self, now_ns: int) -> Moment:
        """Measure all states."""
        channels: dict[str, float] = {}
        noise = self._rng.standard_normal(len(self._start)) * self._noise
        state = {n: v + e for (n, v), e in zip(self._start.items(), noise, strict=True)}
        orientation = np.array([0.0, 0.0, 0.0, 1.0])
        for output, follower in zip(self._outputs, self._followers, strict=True):
            values, rates = follower.sample(now_ns)
            for value, rate, (name, to) in zip(values, rates, output.channels.items(),
                                               strict=True):
                # A joint that turns without end is measured by a driver that wraps.
                channels[name] = float(wrapped((value - to.offset) / to.scale,
                                               self._actions[name].turn))
                velocity = float(rate) / to.scale
                for felt, change in (("velocity", velocity), ("effort", DRAG * velocity)):
                    if (sense := f"{self._drives.get(name)}.{felt}") in state:
                        state[sense] += change
            if isinstance(follower, TwistFollower):
                ee = zip(EE_STATE, follower.position.tolist(), strict=True)
                state.update((n, v) for n, v in ee if n in state)
                orientation = follower.orientation
        state.update((state, channels[name]) for name, state in self._drives.items())
        return Moment(channels, state, orientation)

    def update(self, now_ns: int) -> Moment:
        """Measure all states, and the speed over the last 5 ms or more."""
        moment = self.observe(now_ns)
        last_ns, before = self._last
        seconds = (now_ns - last_ns) / 1e9
        if seconds >= SPEED_WINDOW_S:
            for name, value in moment.channels.items():
                step = wrapped(value - before[name], self._actions[name].turn)
                speed = abs(value) if name in self._twists else float(abs(step)) / seconds
                self.speeds[name] = max(self.speeds[name], speed)
        if not 0 <= seconds < SPEED_WINDOW_S:  # the clock may also be set back
            self._last = (now_ns, moment.channels)
        return moment

    def speed(self, channel: str) -> str:
        """Return the largest speed of a channel, with its share of the limit, as text."""
        limits = self._actions[channel]
        speed = self.speeds[channel]
        unit = limits.unit if channel in self._twists else f"{limits.unit}/s"
        limit = self._speed_limit(channel)
        share = "no limit" if limit is None else f"{100 * speed / limit:.0f} % of the limit"
        return f"{speed:.3g} {unit} ({share})"

    def fastest(self) -> str:
        """Return the channel that came nearest to its limit (fastest, if none has one)."""
        return max(self.speeds, key=lambda n: (self.speeds[n] / (self._speed_limit(n) or np.inf),
                                               self.speeds[n]))

    def _speed_limit(self, channel: str) -> float | None:
        limits = self._actions[channel]
        return max(-limits.low, limits.high) if channel in self._twists else limits.velocity

    def _follower(self, output: AnyOutput, channels: Mapping[str, float], period_ns: int,
                  now_ns: int) -> TrajectoryFollower | TwistFollower:
        if isinstance(output, TwistOutput):
            position = [self._start.get(name, 0.0) for name in EE_STATE]
            return TwistFollower(output.targets, position, now_ns)
        start = [channels[n] * c.scale + c.offset for n, c in output.channels.items()]
        turns = [self._actions[n].turn * abs(c.scale) for n, c in output.channels.items()]
        if isinstance(output, JointTrajectoryOutput):
            return TrajectoryFollower(output.targets, start, turns)
        if isinstance(output, PositionsOutput):
            return PositionsFollower(output.targets, start, period_ns, turns)
        raise InputError(f"Output {output.topic} is of type {output.type!r}, which no controller "
                         "follows; use 'tinyvla sim-eval' for the simulated arm, or a contract "
                         "with outputs joint_trajectory, positions or twist.")


def rest_value(channel: Channel) -> float:
    """Return the middle of a channel's range; zero for velocities and increments."""
    return 0.0 if channel.hold == "zero" else (channel.low + channel.high) / 2


def _start_of(channel: Channel, start: Mapping[str, float]) -> float:
    """Return the value of a channel before the first command."""
    if channel.state is None:
        return rest_value(channel)
    if channel.continuous:
        return float(wrapped(start[channel.state], channel.turn))
    return min(max(start[channel.state], channel.low), channel.high)
