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

"""The operator is a policy: what a person does becomes chunks of actions.

So everything behind a policy, from the safety layer to the watchdogs, holds for a person as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinyvla_ros.arm.contract import Channel, RobotContract
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.arm.contract_outputs import JointTrajectoryOutput
from tinyvla_ros.core.angles import nearest, turn_of
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.kinematics import Kinematics
from tinyvla_ros.teleop.leader import REACH_S, Leader
from tinyvla_ros.teleop.mapping import DIRECTIONS, Mapping
from tinyvla_ros.teleop.motion import GoalMotion
from tinyvla_ros.teleop.operator_config import directions_of, operator_config

# From an inference to its plan, ns.
READY_NS = 10_000_000
# An arm at rest that is so near to its last command, as a share of ``jump``, sags under its load.
SAG = 0.5
# Where the safety layer or a late plan made it depart from what is wanted by what it moves in so
# long at full speed, the motion goes on from what is commanded, s.
MOST_BEHIND_S = 0.005
# After so long without an inference the motion begins anew, s.
FORGET_S = 0.5
# In messages and bags, where nobody gave an instruction.
NO_INSTRUCTION = "teleoperation"
Mode = Literal["joints", "end_effector"]
# Returns (channels,) speeds at (channels,) values.
Wanted = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Commanded:
    """What the arm is commanded at a time.

    Attributes:
        value: (channels,) values.
        speed: (channels,) their change per second.
        is_running: whether these are commands of the person.
        is_at_rest: whether the arm stands still at the end of a plan.
    """

    value: np.ndarray
    speed: np.ndarray
    is_running: bool
    is_at_rest: bool


@dataclass(frozen=True)
class Speeds:
    """Speeds at full deflection, and on the way to a leader.

    Attributes:
        joints: share of each channel's fastest speed.
        linear, angular: of the end effector by kinematics, m/s and rad/s.
        gripper: share of the gripper's fastest speed.
        align: share of each channel's fastest speed while the arm moves to where its leader is.
    """

    joints: float = 0.25
    linear: float = 0.1
    angular: float = 0.5
    gripper: float = 0.5
    align: float = 0.15


@dataclass(frozen=True)
class _Solver:
    """Kinematics, the columns of the joints that it moves, and rad per unit of each."""

    kinematics: Kinematics
    columns: list[int]
    scale: np.ndarray

    def joints(self, value: np.ndarray) -> np.ndarray:
        """Return the (joints,) rad of (channels,) values."""
        return value[self.columns] * self.scale


class Operator:
    """Makes chunks of what a person does; it has what ``PolicyLoop`` needs of a policy.

    Attributes:
        lock: guards the joystick, the leader and what the controls mean. Nothing slow is done
            under it: the thread that holds the arm takes it in every period.
        config: what it drives with.
        mode: what the controls move: ``joints`` or ``end_effector``.
        modes: what they can move.
        aligned: whether the arm is where its leader is; true without a leader.

    Args:
        contract: of the arm.
        joystick: the device; None without one.
        mapping: what its controls mean.
        leader: the leader arm; None without one.
        gripper: the channel that opens and closes; empty if there is none.
        opens: which end of its range is open.
        commanded: returns what the arm is commanded at a time in ns; None if nothing was.
        now_ns: returns ROS time, ns.
        period: of the rows of the chunks, s; None for one that fits the arm.
    """

    def __init__(self, contract: RobotContract, mapping: Mapping | None = None,
                 joystick: Joystick | None = None, leader: Leader | None = None,
                 gripper: str = "", opens: Literal["high", "low"] = "high",
                 speeds: Speeds = Speeds(),
                 commanded: Callable[[int], Commanded | None] = lambda now_ns: None,
                 now_ns: Callable[[], int] = lambda: 0, period: float | None = None):
        self.config = operator_config(contract, period)
        self._contract, self._mapping, self._joystick = contract, mapping, joystick
        self._leader, self._speeds, self._commanded = leader, speeds, commanded
        self._now_ns = now_ns
        self._names = self.config.action.channels
        self._period = self.config.action.dt
        self._period_ns = round(self._period * 1e9)
        self._gripper = self._gripper_column(gripper)
        self._opens = 1.0 if opens == "high" else -1.0
        self._directions = directions_of(contract)
        self._jointed = [n for i, n in enumerate(self._names)
                         if n not in self._directions and i != self._gripper]
        self._motion = GoalMotion(contract.actions)
        # A plan departs from the one before so long after an inference: see the supervisor.
        leads = [o.lead + self._period / 2 for o in contract.outputs
                 if isinstance(o, JointTrajectoryOutput)]
        self._departs_ns = round(max(leads, default=0.0) * 1e9) + READY_NS
        self._jump = np.array([np.inf if c.jump is None else c.jump
                               for c in contract.actions.values()])
        self._turn = np.array([c.turn for c in contract.actions.values()])
        self._solver: _Solver | None = None
        # Of the last observation, for the thread that infers alone, as the motion is.
        self._stamp_ns: int | None = None
        self._aligning = np.ones(len(self._names), bool)
        self.lock = threading.RLock()
        self._check_mapping()
        self.modes: tuple[Mode, ...] = ()
        self._find_modes()
        self.mode: Mode = self.modes[0]
        self.reset()

    def reset(self) -> None:
        """Forget the motion so far; the next begins where the arm is."""
        with self.lock:
            self._begins_anew = True
            self.aligned = self._leader is None

    # ---- what can be moved ----------------------------------------------------------------

    @property
    def needs_kinematics(self) -> bool:
        """Whether the end effector can be moved by the joints alone, if their model is known."""
        return not self._directions and bool(self._ik_joints())

    def use_kinematics(self, make: Callable[[MappingOf[str, tuple[float, float, float]]],
                                            Kinematics]) -> None:
        """Take the kinematics that ``make`` returns for joint -> (low, high, speed).

        Raises:
            InputError: what ``make`` raises.
        """
        columns = self._ik_joints()
        scale = np.array([turn_of("rad") / turn_of(self._limit(n).unit)
                          if turn_of(self._limit(n).unit) else 1.0 for n in columns.values()])
        joints = {}
        for (joint, name), factor in zip(columns.items(), scale, strict=True):
            limit, index = self._limit(name), self._names.index(name)
            low, high = (-np.inf, np.inf) if limit.continuous else (limit.low, limit.high)
            joints[joint] = (low * factor, high * factor, self._motion.fastest[index] * factor)
        solver = _Solver(make(joints), [self._names.index(n) for n in columns.values()], scale)
        with self.lock:
            self._solver, self._begins_anew = solver, True
            self._find_modes()

    def set_mode(self, mode: Mode) -> None:
        """Let the controls move something else, if they can; they must be at rest before."""
        with self.lock:
            if mode in self.modes and mode != self.mode:
                self.mode, self._begins_anew = mode, True
                if self._joystick is not None:
                    self._joystick.require_rest()

    def switch_mode(self) -> str:
        """Go on to the next mode; return a sentence about it."""
        with self.lock:
            if len(self.modes) == 1:
                if self._directions or not self.needs_kinematics:
                    return f"This arm is moved by its {self.mode.replace('_', ' ')} alone."
                return ("The end effector cannot be moved before robot_description has come; set "
                        "the parameter 'description' to a URDF or MJCF file, or start "
                        "robot_state_publisher.")
            self.set_mode(self.modes[(self.modes.index(self.mode) + 1) % len(self.modes)])
            return f"The controls move the {self.mode.replace('_', ' ')} now."

    def _find_modes(self) -> None:
        can = {"joints": bool(self._jointed) or self._gripper is not None,
               "end_effector": bool(self._directions or self._solver)}
        if self._directions and not self._jointed:
            can["joints"] = False
        self.modes = tuple(m for m, possible in can.items() if possible)

    def _ik_joints(self) -> dict[str, str]:
        """Return joint -> channel, of channels that are positions of joints."""
        names = self._contract.joint_names
        return {names.get(c.state, c.state): n for n in self._jointed
                if (c := self._limit(n)).state and c.state not in EE_STATE}

    def _limit(self, name: str) -> Channel:
        return self._contract.actions[name]

    def _gripper_column(self, name: str) -> int | None:
        if name and name not in self._names:
            raise InputError("gripper: " + unknown("channel", name, self._names))
        if not name:
            name = next((n for n in self._names if "gripper" in n), "")
        return self._names.index(name) if name else None

    def _check_mapping(self) -> None:
        for name in self._mapping.joints if self._mapping else ():
            if not name.isdigit() and name not in self._names:
                raise InputError(f"mapping: joints: {unknown('channel', name, self._names)}")

    # ---- the policy -----------------------------------------------------------------------

    def infer(self, observation: Observation, prefix: Prefix | None = None,
              past: object = ()) -> ActionChunk:
        """Return the chunk that does what the person wants now; called by one thread."""
        with self.lock:
            wanted = self._read()
            if self._begins_anew:
                self._begins_anew, self._stamp_ns = False, None
        stamp_ns, departs_ns = observation.stamp_ns, self._now_ns() + self._departs_ns
        seconds = self._go_on(observation, departs_ns)
        self._stamp_ns = stamp_ns
        # What the arm does until a plan made of this chunk departs cannot be changed any more.
        self._motion.want(wanted(seconds), departs_ns)
        rows = self._motion.rows(stamp_ns, self.config.action.horizon, self._period_ns)
        return ActionChunk(stamp_ns, self._names, rows.astype(np.float32), self._period)

    def _go_on(self, observation: Observation, departs_ns: int) -> float:
        """Bring the motion to the observation's time; return the seconds since the last one."""
        stamp_ns, commanded = observation.stamp_ns, self._commanded(observation.stamp_ns)
        is_running = commanded is not None and commanded.is_running
        if is_running and self._stamp_ns is not None and \
                0 <= stamp_ns - self._stamp_ns <= FORGET_S * 1e9:
            self._motion.advance(stamp_ns, self._period_ns)
            behind = np.abs(self._motion.value - commanded.value) > \
                MOST_BEHIND_S * self._motion.fastest
            if (behind & ~self._motion.rates).any():
                self._motion.begin(commanded.value, commanded.speed, stamp_ns)
            return (stamp_ns - self._stamp_ns) / 1e9
        is_at_rest = commanded is None or commanded.is_at_rest
        self._motion.begin(*self._begin(observation.state, commanded),
                           departs_ns if is_at_rest else stamp_ns)
        self._aligning[:] = True
        if (solver := self._solver) is not None:
            solver.kinematics.begin(solver.joints(self._motion.value))
        return 0.0

    def _begin(self, state: MappingOf[str, float], commanded: Commanded | None
               ) -> tuple[np.ndarray, np.ndarray]:
        """Return where the motion begins: where the arm was commanded to be, if it is there."""
        known = np.array([state.get(self._limit(n).state or "", np.nan) for n in self._names])
        if commanded is None:
            value = np.where(np.isnan(known), self._unmeasured(state), known)
            return np.where(self._motion.rates, 0.0, value), np.zeros(len(value))
        value = commanded.value
        if not commanded.is_at_rest:
            return value, commanded.speed
        # One that was moved by hand, or that did not follow, begins where it is. One that only
        # sags must not sink by its sag with every start.
        distance = np.abs(nearest(known - value, 0.0, self._turn))
        value = np.where(distance >= SAG * self._jump, known, value)
        return np.where(self._motion.rates, 0.0, value), np.zeros(len(value))

    def _unmeasured(self, state: MappingOf[str, float]) -> np.ndarray:
        """Return (channels,) where channels without a state begin, before any command.

        Where the joint of the same name is, through the output's scale; a gripper that nothing
        measures is taken as open, another channel as in the middle of its range.
        """
        values = np.zeros(len(self._names))
        for output in self._contract.outputs:
            for name, to in output.channels.items():
                limit, index = self._limit(name), self._names.index(name)
                value = (limit.low + limit.high) / 2.0
                if index == self._gripper:
                    value = limit.high if self._opens > 0 else limit.low
                if name in state and name in self._contract.joint_names:
                    value = (state[name] - to.offset) / to.scale
                values[index] = np.clip(value, limit.low, limit.high)
        return values

    def _read(self) -> Callable[[float], Wanted]:
        """Read devices and leader now, the caller locks; return what makes speeds of it later."""
        if self._leader is not None:
            target, ahead = self._leader.target(), self._leader.speeds
            return lambda seconds: self._follow(target, ahead)
        speeds = np.zeros(len(self._names))
        joystick, mapping = self._joystick, self._mapping
        if joystick is None or mapping is None:
            return lambda seconds: lambda value: speeds
        if self._gripper is not None:
            speeds[self._gripper] = (joystick.gripper() * self._opens * self._speeds.gripper
                                     * self._motion.fastest[self._gripper])
        if self.mode == "joints":
            for key, control in mapping.joints.items():
                name = key if not key.isdigit() else self._numbered(int(key))
                if name:
                    index = self._names.index(name)
                    speeds[index] = (joystick.deflection(control) * self._speeds.joints
                                     * self._motion.fastest[index])
            return lambda seconds: lambda value: speeds
        deflections = {d: joystick.deflection(mapping.end_effector.get(d)) for d in DIRECTIONS}
        if self._directions:
            for name, direction in self._directions.items():
                index = self._names.index(name)
                speeds[index] = (deflections[direction] * self._speeds.joints
                                 * self._motion.fastest[index])
            return lambda seconds: lambda value: speeds
        twist = np.array([deflections[d] * (self._speeds.linear if i < 3 else
                                            self._speeds.angular)
                          for i, d in enumerate(DIRECTIONS)])
        solver = self._solver
        return lambda seconds: self._solve(solver, twist, speeds, seconds)

    def _solve(self, solver: _Solver, twist: np.ndarray, speeds: np.ndarray, seconds: float
               ) -> Wanted:
        found = solver.kinematics.speeds(solver.joints(self._motion.value), twist, seconds)
        speeds[solver.columns] = found / solver.scale
        return lambda value: speeds

    def _numbered(self, number: int) -> str:
        return self._jointed[number - 1] if 0 < number <= len(self._jointed) else ""

    def _follow(self, target: np.ndarray | None, speeds: np.ndarray) -> Wanted:
        """Return the speeds to where the leader is: slowly until it is reached, then with it."""
        motion = self._motion
        if target is None:  # it was disconnected just now, and the arm will be held
            return np.zeros_like
        self._aligning &= ~self._leader.is_near(motion.value, target)
        self.aligned = not self._aligning.any()
        # One joint that follows at once while others are on their way would not be expected.
        limit = motion.fastest * (1.0 if self.aligned else self._speeds.align)
        ahead = speeds if self.aligned else 0.0 * speeds

        def wanted(value: np.ndarray) -> np.ndarray:
            left = nearest(target - value, 0.0, self._turn)
            return np.clip(ahead + left / REACH_S, -limit, limit)

        return wanted
