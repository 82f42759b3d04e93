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

"""A leader arm: its joint states, mapped to the channels of the arm that follows."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import Linear
from tinyvla_ros.core.angles import nearest
from tinyvla_ros.core.configuration import Config, parse, read_yaml
from tinyvla_ros.core.errors import InputError, MessageError, unknown
from tinyvla_ros.teleop.presence import Presence

# The arm is where the leader is, once every channel is so near: share of its ``jump``.
ALIGNED_SHARE = 0.1
# The follower is led to where the leader is within so long, s.
REACH_S = 0.06


class LeaderChannel(Linear):
    """The joint of the leader that a channel follows: ``scale * position + offset``.

    The scale is for example 0.0174533 for a leader that gives degrees, or -1 for one that turns
    the other way; the offset is in the channel's unit.

    Attributes:
        joint: its name in the leader's messages; empty for that of the arm itself.
    """

    joint: str = ""


class LeaderMapping(Config):
    """A file that says which joint of a leader leads which channel.

    Attributes:
        channels: channel of the contract -> joint of the leader; those that are left out follow
            the joint of their own name.
    """

    channels: dict[str, LeaderChannel] = {}

    @classmethod
    def load(cls, path: str) -> LeaderMapping:
        """Read a file; the empty path stands for equal names.

        Raises:
            InputError: one sentence with file, field, value and alternatives.
        """
        return parse(cls, read_yaml(path), path) if path else cls()


class Leader:
    """The newest positions of a leader; methods are called with steady seconds.

    Args:
        contract: of the arm that follows.
        mapping: what follows what.
        topic: of the leader, for messages.
        timeout: seconds without a message after which the arm holds.

    Raises:
        InputError: the mapping names a channel that the arm has not, or a channel is no position.
    """

    def __init__(self, contract: RobotContract, mapping: LeaderMapping, topic: str,
                 timeout: float):
        for name in mapping.channels:
            if name not in contract.actions:
                raise InputError(f"leader: {unknown('channel', name, contract.actions)}")
        rates = [n for n, c in contract.actions.items() if c.hold == "zero"]
        if rates:
            raise InputError(f"A leader arm leads positions, and {', '.join(rates)} of "
                             f"{contract.name} are velocities or increments; use input joy.")
        self._topic, self._presence = topic, Presence(timeout)
        self._limits = contract.actions
        self._links = {n: mapping.channels.get(n, LeaderChannel()) for n in contract.actions}
        names = contract.joint_names
        self._joints = {n: link.joint or names.get(c.state or n, c.state or n)
                        for (n, link), c in zip(self._links.items(), contract.actions.values(),
                                                strict=True)}
        self._turn = np.array([c.turn for c in contract.actions.values()])
        # The largest step from one message to the next, where there is one.
        self._jump = np.array([np.inf if c.jump is None else c.jump
                               for c in contract.actions.values()])
        self._low = np.array([-np.inf if c.continuous else c.low
                              for c in contract.actions.values()])
        self._high = np.array([np.inf if c.continuous else c.high
                               for c in contract.actions.values()])
        self._clamps = contract.on_violation.position == "clamp"
        # Whether it leads, and what ended that: whatever it is, it must be engaged again.
        self._leads, self._fault = False, ""
        self._refusal = ""
        self.disconnect()

    def disconnect(self) -> None:
        """Forget the leader's positions."""
        self._presence.forget()
        self.values: np.ndarray | None = None
        self.speeds = np.zeros(len(self._limits))

    @property
    def joints(self) -> tuple[str, ...]:
        """Joints that a message must have; others are not looked at."""
        return tuple(self._joints.values())

    def refuse(self, why: str) -> None:
        """Hold because of a message that cannot be used."""
        self.disconnect()
        self._refusal = why
        self._end(f"{self._topic}: {why}")

    def engage(self, leads: bool = True) -> None:
        """Begin to lead again, whatever ended it before; or end it."""
        self._leads, self._fault = leads, ""

    def receive(self, positions: MappingOf[str, float], stamp_ns: int, now_s: float) -> None:
        """Take the positions of a message by joint name; those of our joints are finite.

        Raises:
            MessageError: it cannot be used; the arm holds until a good one comes.
        """
        lacking = [j for j in self.joints if j not in positions]
        if lacking:
            raise MessageError(f"The leader has no joint {', '.join(lacking)}; it has "
                               f"{', '.join(positions) or 'no position'}. Name its joints in the "
                               "file of the parameter 'leader'.")
        comes_back = self._presence.comes_back(stamp_ns, now_s)
        is_alive, before_ns = self._presence.is_known and not comes_back, self._presence.stamp_ns
        if stamp_ns == before_ns or (is_alive and stamp_ns < before_ns):
            return  # a driver that repeats its last message is as dead as a silent one
        if comes_back:
            self._end(self._stale())
        self._refusal = ""
        values = np.array([link.scale * positions[joint] + link.offset for link, joint in
                           zip(self._links.values(), self.joints, strict=True)])
        if self.values is not None and is_alive:
            step = nearest(values - self.values, 0.0, self._turn)
            if (np.abs(step) > self._jump).any():
                column = int(np.argmax(np.abs(step) / self._jump))
                name = tuple(self._limits)[column]
                self._end(f"{self._topic}: {self.joints[column]} jumped by {step[column]:.3g} "
                          f"{self._limits[name].unit} between two messages, more than the jump "
                          f"{self._jump[column]:g} of channel {name!r}")
            seconds = (stamp_ns - before_ns) / 1e9
            self.speeds = 0.5 * self.speeds + 0.5 * step / max(seconds, 1e-3)
        else:
            self.speeds = np.zeros(len(values))
        self.values = values
        self._presence.hear(stamp_ns, now_s)

    def problem(self, now_s: float) -> str:
        """Return why the arm must not follow, empty if it may."""
        if self._fault:
            return self._fault
        if self._refusal:
            return f"{self._topic}: {self._refusal}"
        if self._presence.miss(now_s) or not self._presence.is_known:
            why = self._stale()
            self._end(why)
            return self._fault or why
        outside = (self.values < self._low) | (self.values > self._high)
        if not self._clamps and outside.any():
            column = int(np.argmax(outside))
            return (f"{self._topic}: {self.joints[column]} leads channel "
                    f"{tuple(self._limits)[column]!r} to {self.values[column]:.3g}, outside of "
                    f"{self._low[column]:g} to {self._high[column]:g}, and on_violation.position "
                    "of the robot contract is not clamp; move the leader back")
        return ""

    def is_silent(self, now_s: float) -> bool:
        """Return whether the leader was there, and nothing came of it for too long."""
        return self._presence.is_silent(now_s)

    def _end(self, why: str) -> None:
        """Lead no longer: one that comes back, elsewhere perhaps, must not move the arm."""
        if self._leads and not self._fault:
            self._fault = f"{why}; let go of the dead man, or disable, and engage again"

    def _stale(self) -> str:
        if not self._presence.is_known:
            return f"waiting for {self._topic}"
        return f"{self._topic} is stale: nothing new for more than {self._presence.timeout:g} s"

    def target(self) -> np.ndarray | None:
        """Return (channels,) values to be at, within the range; None if they are not known."""
        values = self.values  # another thread may disconnect
        return None if values is None else np.clip(values, self._low, self._high)

    def is_near(self, value: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return (channels,) whether the arm at these values is where the leader is."""
        span = np.array([c.high - c.low for c in self._limits.values()])
        near = ALIGNED_SHARE * np.where(np.isfinite(self._jump), self._jump, span)
        return np.abs(nearest(target - value, 0.0, self._turn)) <= near
