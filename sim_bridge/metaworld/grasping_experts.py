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

"""Experts that take hold of an object before they move it, and again where it was lost.

MetaWorld's experts of these tasks close the fingers while the hand still comes down, and go on
whether anything is between them or not. Where a policy has closed them on top of a block, they
press on it until the episode ends; a ball that was touched beside its middle rolls away from them.
So they cannot show a policy what to do where it goes wrong (``collect --policy``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim_bridge.metaworld.expert import Expert, towards

SOCCER, DISASSEMBLE, STICK_PULL = "soccer-v3", "disassemble-v3", "stick-pull-v3"
OPEN, OPENED = 0.9, 0.85  # of a gripper: closing since; wide enough to come down around an object
CLOSE_EFFORT, OPEN_EFFORT = 1.0, -1.0
# Above the grasp, m: where the hand passes over the object, and how much lower it may be.
OVER_Z, RISEN_Z = 0.12, 0.1
DOWN_XY, BEGIN_XY, HELD_XY = 0.02, 0.03, 0.04  # of the grasp and the hand, m: how far beside it
LEAD_STEPS = 6.0  # control steps by which the hand is late behind an object that rolls
BESIDE_XY, FINGERS_Z = 0.1, 0.06  # nearer, the hand rises first; lower, it rises straight up
PUT_Z, PUT_PACE = 0.05, 0.7  # height of the hand, m, and part of the full speed with a ball
# Of a stick and the handle of the thermos, m: how far apart in x once it is in; from where it goes
# in; how well aligned; and how far beyond the goal the hand goes, which friction holds back.
INSERTED_X, BEFORE_X, ALIGNED, BEYOND = 0.04, 0.12, 0.02, 0.03


@dataclass(frozen=True)
class Grasp:
    """How a gripper holds the object of a task.

    Attributes:
        offset: from the object to where the hand grasps it, (x, y, z) in m.
        low: height above that, m, below which the fingers are around the object.
        closed: opening of the gripper, of 1, below which it holds the object.
    """

    offset: tuple[float, float, float]
    low: float
    closed: float


# Offsets are about those of MetaWorld's experts; the rest was tried under pushes (docs/mt50.md).
# Not bin-picking, whose own expert fails less often.
GRASPS = {SOCCER: Grasp((0.0, 0.0, 0.0), 0.035, 0.62),
          DISASSEMBLE: Grasp((-0.02, 0.0, 0.01), 0.03, 0.62),
          "assembly-v3": Grasp((-0.02, 0.0, 0.01), 0.03, 0.62),
          "basketball-v3": Grasp((0.0, 0.0, 0.01), 0.03, 0.7),
          "box-close-v3": Grasp((0.0, 0.0, 0.02), 0.045, 0.6),
          "hammer-v3": Grasp((-0.04, 0.0, 0.02), 0.03, 0.6),
          "hand-insert-v3": Grasp((0.0, 0.0, 0.02), 0.03, 0.6),
          "peg-insert-side-v3": Grasp((0.0, 0.0, 0.0), 0.025, 0.6),
          "pick-place-wall-v3": Grasp((-0.005, 0.0, 0.02), 0.02, 0.6),
          "push-back-v3": Grasp((0.0, 0.0, 0.02), 0.03, 0.6),
          "shelf-place-v3": Grasp((-0.005, 0.0, 0.015), 0.04, 0.55),
          STICK_PULL: Grasp((-0.015, 0.0, 0.03), 0.02, 0.6),
          "stick-push-v3": Grasp((0.015, 0.0, 0.03), 0.02, 0.6),
          "sweep-into-v3": Grasp((-0.005, 0.0, 0.01), 0.04, 0.6)}


def make_grasping_expert(task: str, expert: Expert) -> Expert:
    """Return the expert of a task of ``GRASPS``; ``expert`` is that of MetaWorld."""
    mover = {SOCCER: PutsIntoTheGoal, DISASSEMBLE: Lifts, STICK_PULL: MovesWithTheStick}.get(task)
    return GraspsFirst(expert if mover is None else mover(), GRASPS[task])


class GraspsFirst:
    """Comes down around the object, closes the fingers, and only then moves it.

    Args:
        expert: moves the object that is held.
        grasp: how it is held.
    """

    def __init__(self, expert: Expert, grasp: Grasp):
        self._expert, self._grasp = expert, grasp

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, thing, before = observation[:3], observation[4:7], observation[22:25]
        target = thing + self._grasp.offset
        above, beside = hand[2] - target[2], np.linalg.norm(hand[:2] - target[:2])
        is_low, opening = above < self._grasp.low, observation[3]
        if is_low and beside < HELD_XY and opening < self._grasp.closed:
            # However it lies between the fingers: MetaWorld's experts would let go of it, or rise
            # after it for good.
            observation[4:6] = hand[:2] - self._grasp.offset[:2]
            action = self._expert.get_action(observation)
            return np.append(action[:3], CLOSE_EFFORT)
        if is_low and beside < HELD_XY and opening < OPEN:
            return towards(target, hand, CLOSE_EFFORT)
        target[:2] += LEAD_STEPS * (thing - before)[:2]
        if is_low and beside < BEGIN_XY:
            return towards(target, hand, CLOSE_EFFORT)
        if beside < DOWN_XY and (opening > OPENED or above > FINGERS_Z):
            return towards(target, hand, OPEN_EFFORT)
        if above < RISEN_Z and beside < BESIDE_XY:
            over = target if above > FINGERS_Z else hand
            return towards(np.append(over[:2], hand[2] + 1.0), hand, OPEN_EFFORT)
        target[2] += OVER_Z
        return towards(target, hand, OPEN_EFFORT)


class PutsIntoTheGoal:
    """Brings a ball that it holds to the goal."""

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        target = np.append(observation[-3:-1], PUT_Z)
        return PUT_PACE * towards(target, observation[:3], CLOSE_EFFORT)


class Lifts:
    """Lifts what it holds straight up; MetaWorld's expert of disassembling lets go if it slips."""

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        return np.array([0.0, 0.0, 1.0, CLOSE_EFFORT])


class MovesWithTheStick:
    """Puts a stick that it holds into the handle of a thermos, and moves that to the goal.

    MetaWorld's expert goes down to the goal as well and presses the stick into the handle, and one
    that is beside the handle pushes the thermos with it.
    """

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, stick, handle = observation[:3], observation[4:7], observation[11:14]
        x, y, z = handle - stick
        if x <= INSERTED_X:
            to_goal = (observation[-3:] - handle)[:2]
            to_goal += BEYOND * to_goal / max(np.linalg.norm(to_goal), BEYOND)
            return towards(hand + np.append(to_goal, z), hand, CLOSE_EFFORT)
        if max(abs(y), abs(z)) > ALIGNED:
            x = min(x - BEFORE_X, 0.0)
        return towards(hand + np.array([x, y, z]), hand, CLOSE_EFFORT)
