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

"""A scripted operator of the SO-101: where a person would lead the arm, tick by tick.

It knows where cube and mark are, as a person sees it. Like a person it is never twice the same:
its pace, its height and how steady its hand is differ from one demonstration to the next, and now
and then it strays and comes back, which shows a policy what to do after an error of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sim_bridge.so101.kinematics import ToolKinematics
from sim_bridge.so101.model import CUBE_HALF_M

OPEN, CLOSED, SHUT = 0.8, 0.02, -0.1  # of the jaw, rad; closed is commanded around the cube
TRAVEL_M, GRASP_M, PLACE_M, PUSH_M = 0.075, 0.012, 0.018, 0.014  # heights of the tool
SPEED, TURN_SPEED = 0.16, 2.0  # m/s and rad/s, halfway through a move
SHORTEST_S = 0.25
# To feel the wall: height above the table, m, the hand turned so, rad; what counts as felt, N, and
# where the search ends, m.
TOUCH_HEIGHT_M, TOUCH_YAW, FELT_N, FURTHEST_M = 0.02, np.pi / 2, 1.5, 0.29
# The axis of the shoulder, in front of the frame of the base, m.
SHOULDER_X_M = 0.0388
# Lower than this the hand rises before it goes anywhere, m.
LOW_M = 0.045
# The arm is where it was led to if it is so near, m, or no longer moves, m within s; longer the
# operator waits for no arm, s.
ARRIVED_M, RESTS_M, RESTS_S, PATIENCE_S = 0.004, 0.001, 0.1, 1.2
# The jaws go down beside the cube with so much room, m.
ROOM_M = 0.012
# Places so far from the axis of the shoulder are good to point down at, m.
REACH_M = (0.13, 0.22)
# So far from the mark the cube is put by mistake, m, and the pace of what is not recorded.
MISPLACED_M, HASTE = (0.035, 0.06), 1.5
# How far off the hand is, low above the cube, each time before it is corrected, m and rad, and at
# which height, m: as far as a policy may come down wrong. Then the same above the mark, m.
CORRECTIONS = ((0.018, 0.35, 0.042), (0.012, 0.25, 0.04), (0.008, 0.15, 0.038),
               (0.005, 0.08, 0.037))
MARK_CORRECTIONS = ((0.015, 0.06), (0.01, 0.05))


@dataclass(frozen=True)
class Move:
    """A straight move of the tool.

    Attributes:
        to: (3,) place, m.
        yaw: direction from the fixed to the moving jaw, rad.
        jaw: its angle at the end, rad.
        pause: seconds to stay.
        is_fine: whether the hand is kept steady.
        waits: whether the next move begins only when the arm is seen to be there.
    """

    to: np.ndarray
    yaw: float
    jaw: float
    pause: float = 0.0
    is_fine: bool = False
    waits: bool = False


class ScriptedOperator:
    """Leads the arm through one demonstration after another.

    Args:
        dt: seconds of a tick.
    """

    def __init__(self, dt: float):
        self._dt, self._kinematics = dt, ToolKinematics()

    def demonstrate(self, task: str, cube: tuple[np.ndarray, np.ndarray],
                    mark: tuple[np.ndarray, np.ndarray], joints: np.ndarray,
                    rng: np.random.Generator, feel: Callable[[], float] = lambda: 0.0,
                    measured: Callable[[], np.ndarray] | None = None) -> Iterator[np.ndarray]:
        """Lead the arm through a task.

        Args:
            task: of the SO-101.
            cube: position (3,) and orientation (4,) x, y, z, w in the frame of the base.
            mark: likewise.
            joints: (6,) where the arm is, rad.
            rng: how this demonstration differs from others.
            feel: returns the force on the hand now, N.
            measured: returns where the (6,) joints are, rad: before it goes down, grips or lets
                go, the operator waits until the arm is where it was led to. Without, it does not
                look.

        Yields:
            (6,) joints to command in each tick, rad; the arm's own weight is made up for.
        """
        if task == "so101-touch":
            yield from self._touch(joints, rng, feel)
            return
        steps = _push(cube, mark, rng) if task == "so101-push" else \
            _pick_and_place(cube, mark[0][:2], self._turn(joints), rng)
        yield from self._through(steps, joints, rng.uniform(0.85, 1.2), _Hand(rng, self._dt),
                                 measured)

    def go_astray(self, near: np.ndarray, joints: np.ndarray, rng: np.random.Generator
                  ) -> Iterator[np.ndarray]:
        """Lead the arm somewhere near a place, low or high, open or closed.

        A demonstration that begins there shows a policy what to do after an error of its own.

        Args:
            near: (2,) place on the table, m.
            joints: (6,) where the arm is, rad.
            rng: where to.

        Yields:
            (6,) joints to command in each tick, rad.
        """
        away = rng.uniform(0.0, 0.08)
        xy, low = _beside(near, away, rng), GRASP_M if away > 0.03 else 0.03
        self._kinematics.restart()
        place, yaw = self._kinematics.where(joints)
        there = _direction(xy) + rng.uniform(-0.7, 0.7)
        closes = rng.choice([CLOSED, OPEN])
        steps = [Move(np.array([*place[:2], TRAVEL_M]), yaw, float(joints[5])),
                 Move(np.array([*xy, TRAVEL_M]), there, closes),
                 Move(np.array([*xy, rng.uniform(low, TRAVEL_M)]), there, closes)]
        yield from self._through(steps, joints, HASTE, _Hand(rng, self._dt, 0.0))

    def misplace(self, cube: tuple[np.ndarray, np.ndarray], mark: np.ndarray, joints: np.ndarray,
                 rng: np.random.Generator, measured: Callable[[], np.ndarray] | None = None
                 ) -> Iterator[np.ndarray]:
        """Put the cube beside the mark, and stay there, low or high.

        Policies do that, and no demonstration that begins with a scene shows what to do then.

        Args:
            cube: position (3,) and orientation (4,) x, y, z, w in the frame of the base.
            mark: (2,) place on the table, m.
            joints: (6,) where the arm is, rad.
            rng: where to.
            measured: see ``demonstrate``.

        Yields:
            (6,) joints to command in each tick, rad.
        """
        *steps, last = _pick_and_place(cube, _beside(mark, rng.uniform(*MISPLACED_M), rng),
                                       self._turn(joints), rng)
        last = replace(last, to=np.array([*last.to[:2], rng.uniform(PLACE_M, TRAVEL_M)]),
                       pause=0.0)
        yield from self._through([*steps, last], joints, HASTE, _Hand(rng, self._dt, 0.0),
                                 measured)

    def _through(self, steps: list[Move], joints: np.ndarray, pace: float, hand: _Hand,
                 measured: Callable[[], np.ndarray] | None = None) -> Iterator[np.ndarray]:
        self._kinematics.restart()
        place, yaw = self._kinematics.where(joints)
        jaw = float(joints[5])
        if place[2] < LOW_M:  # away from what is beside it
            up = Move(np.array([*place[:2], TRAVEL_M - 0.02]), yaw, max(jaw, OPEN / 2))
            steps = [up, *steps]
        for step in steps:
            yield from self._along(place, yaw, jaw, step, pace, hand)
            if step.waits and measured is not None:
                yield from self._wait(step, measured)
            place, yaw, jaw = step.to, step.yaw, step.jaw

    def _turn(self, joints: np.ndarray) -> float:
        """Return how far the hand is turned from the direction from the shoulder, rad."""
        self._kinematics.restart()
        place, yaw = self._kinematics.where(joints)
        return yaw - _direction(place)

    def _touch(self, joints: np.ndarray, rng: np.random.Generator,
               feel: Callable[[], float]) -> Iterator[np.ndarray]:
        """Slide forward, low above the table, until something is felt; then go up."""
        place = np.array([0.13, rng.uniform(-0.04, 0.04), TOUCH_HEIGHT_M + rng.uniform(0, 0.006)])
        speed = rng.uniform(0.035, 0.05)
        self._kinematics.restart()
        yield from self._first(Move(place, TOUCH_YAW, SHUT), joints, 1.0)
        while feel() < FELT_N and place[0] < FURTHEST_M:
            place = place + np.array([speed * self._dt, 0.0, 0.0])
            yield self._joints(place, TOUCH_YAW, SHUT)
        begin = place
        for share in _smooth(0.7, self._dt):
            place = begin + share * np.array([-0.03, 0.0, 0.09])
            yield self._joints(place, TOUCH_YAW, SHUT)

    def _first(self, step: Move, joints: np.ndarray, pace: float) -> Iterator[np.ndarray]:
        target = self._joints(step.to, step.yaw, step.jaw)
        seconds = max(0.6, float(np.abs(target - joints).max()) / 1.2) / pace
        for share in _smooth(seconds, self._dt):
            yield joints + share * (target - joints)

    def _along(self, place: np.ndarray, yaw: float, jaw: float, step: Move, pace: float,
               hand: _Hand) -> Iterator[np.ndarray]:
        distance = np.linalg.norm(step.to - place)
        turn = (step.yaw - yaw + np.pi) % (2 * np.pi) - np.pi
        seconds = max(distance / SPEED, abs(turn) / TURN_SPEED, SHORTEST_S) / pace
        ticks = max(1, round(seconds / self._dt))
        for tick, share in enumerate(_smooth(seconds, self._dt), 1):
            # Near to both ends of a move the hand is steady.
            strays = hand.next() * (0.0 if step.is_fine else np.sin(np.pi * share))
            yield self._joints(place + share * (step.to - place) + strays, yaw + share * turn,
                               jaw + tick / ticks * (step.jaw - jaw))
        for _ in range(round(step.pause / self._dt)):
            yield self._joints(step.to, step.yaw, step.jaw)

    def _wait(self, step: Move, measured: Callable[[], np.ndarray]) -> Iterator[np.ndarray]:
        places = deque(maxlen=round(RESTS_S / self._dt))
        for _ in range(round(PATIENCE_S / self._dt)):
            places.append(self._kinematics.where(measured())[0])
            rests = len(places) == places.maxlen and \
                np.linalg.norm(places[-1] - places[0]) < RESTS_M
            if rests or np.linalg.norm(step.to - places[-1]) < ARRIVED_M:
                return
            yield self._joints(step.to, step.yaw, step.jaw)

    def _joints(self, place: np.ndarray, yaw: float, jaw: float) -> np.ndarray:
        joints = self._kinematics.solve(place, yaw)
        return np.append(joints - self._kinematics.sag(joints), jaw)


class _Hand:
    """How far the hand is from where it should be: it trembles, strays and comes back."""

    def __init__(self, rng: np.random.Generator, dt: float, most: float = 0.02):
        self._rng, self._dt = rng, dt
        self._amplitude = rng.uniform(0.0, most)  # m
        self._offset, self._aim, self._left = np.zeros(3), np.zeros(3), 0.0

    def next(self) -> np.ndarray:
        """Return the (3,) offset of this tick, m."""
        if self._left <= 0:
            strays = self._rng.random() < 0.4
            self._aim = self._amplitude * self._rng.standard_normal(3) * [1.0, 1.0, 0.5] * strays
            self._left = self._rng.uniform(0.2, 0.6)
        self._left -= self._dt
        self._offset += (self._aim - self._offset) * min(1.0, 6.0 * self._dt)
        return self._offset.copy()


def _smooth(seconds: float, dt: float) -> Iterator[float]:
    """Yield the share of a move that is done after each tick: it begins and ends at rest."""
    ticks = max(1, round(seconds / dt))
    for tick in range(1, ticks + 1):
        s = tick / ticks
        yield s * s * s * (10 + s * (6 * s - 15))


def _pick_and_place(cube: tuple[np.ndarray, np.ndarray], mark: np.ndarray, turn: float,
                    rng: np.random.Generator) -> list[Move]:
    yaw = _grip_yaw(*cube, turn)
    across = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    travel = TRAVEL_M + rng.uniform(-0.01, 0.02)
    # The tool is on the fixed jaw's face: beside the cube, with room on both sides.
    beside = cube[0][:2] - across[:2] * (CUBE_HALF_M + ROOM_M)
    held = -across[:2] * CUBE_HALF_M
    goal = mark + rng.uniform(-0.006, 0.006, 2)
    to_mark = _direction(goal) - _direction(cube[0])
    there = yaw + to_mark
    held_there = -np.array([np.cos(there), np.sin(there)]) * CUBE_HALF_M

    def at(xy: np.ndarray, height: float) -> np.ndarray:
        return np.array([*xy, height])

    # First about there, then better from near, as a person who looks closer. Just above the cube
    # the hand is off again and again and corrected: who only ever saw it come down in the right
    # place comes down wherever it is.
    guess, turned = _error(rng, 0.025), rng.normal(0.0, 0.25)
    return [
        Move(at(beside + guess, travel), yaw + turned, OPEN),
        Move(at(beside + guess / 2, 0.05), yaw + turned / 2, OPEN),
        *(Move(at(beside + _error(rng, off), height), yaw + rng.normal(0.0, turn), OPEN,
               is_fine=True) for off, turn, height in CORRECTIONS),
        Move(at(beside, 0.036), yaw, OPEN, is_fine=True, waits=True),
        Move(at(beside, GRASP_M), yaw, OPEN, is_fine=True, waits=True),
        Move(at(cube[0][:2] + held, GRASP_M), yaw, CLOSED, 0.25, is_fine=True),
        Move(at(cube[0][:2] + held, travel), yaw, CLOSED),
        Move(at(goal + held_there + _error(rng, 0.015), travel), there, CLOSED),
        *(Move(at(goal + held_there + _error(rng, off), height), there, CLOSED)
          for off, height in MARK_CORRECTIONS),
        Move(at(goal + held_there, 0.04), there, CLOSED, is_fine=True, waits=True),
        Move(at(goal + held_there, PLACE_M), there, CLOSED, is_fine=True, waits=True),
        Move(at(goal + held_there * (1 + ROOM_M / CUBE_HALF_M), PLACE_M), there, OPEN, 0.1,
             is_fine=True),
        Move(at(goal + held_there * (1 + ROOM_M / CUBE_HALF_M), travel), there, OPEN, 0.3)]


def _push(cube, mark, rng) -> list[Move]:
    way = mark[0][:2] - cube[0][:2]
    distance = np.linalg.norm(way)
    along = way / distance
    yaw = float(np.arctan2(along[1], along[0])) + np.pi / 2
    if np.cos(yaw - np.arctan2(cube[0][1], cube[0][0])) < 0:
        yaw += np.pi
    travel = TRAVEL_M + rng.uniform(-0.01, 0.02)
    behind = cube[0][:2] - along * (CUBE_HALF_M * 1.45 + 0.025)
    end = mark[0][:2] - along * (CUBE_HALF_M + 0.012)

    def at(xy: np.ndarray, height: float) -> np.ndarray:
        return np.array([*xy, height])

    return [Move(at(behind + _error(rng, 0.015), travel), yaw, SHUT),
            Move(at(behind, 0.04), yaw, SHUT),
            Move(at(behind, PUSH_M), yaw, SHUT, is_fine=True),
            Move(at(end, PUSH_M), yaw, SHUT, 0.3, is_fine=True),
            Move(at(end - along * 0.02, travel), yaw, SHUT, 0.2)]


def _direction(place: np.ndarray) -> float:
    """Return in which direction from the shoulder a place is, rad."""
    return float(np.arctan2(place[1], place[0] - SHOULDER_X_M))


def _beside(near: np.ndarray, away: float, rng: np.random.Generator) -> np.ndarray:
    """Return a (2,) place so far from another, m, that the arm can reach pointing down."""
    for _ in range(20):
        angle = rng.uniform(-np.pi, np.pi)
        xy = near + away * np.array([np.cos(angle), np.sin(angle)])
        if REACH_M[0] < np.hypot(xy[0] - SHOULDER_X_M, xy[1]) < REACH_M[1]:
            break
    return xy


def _error(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return a (2,) error of a guess, m."""
    return np.clip(rng.normal(0.0, size, 2), -2 * size, 2 * size)


def _grip_yaw(position: np.ndarray, orientation: np.ndarray, turn: float) -> float:
    """Return the yaw that grips a cube by two of its faces and turns the wrist least.

    The hand is turned by ``turn`` from the direction from the shoulder. Whichever faces it was
    turned to stay those that it grips: else a policy would waver between two pairs of them.
    """
    x, y, z, w = orientation
    cube = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    now = _direction(position) + turn
    return float(now + (cube - now + np.pi / 4) % (np.pi / 2) - np.pi / 4)
