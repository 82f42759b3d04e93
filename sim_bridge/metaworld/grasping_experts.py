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
# Opening of a gripper, 1 is open: below the first the fingers have begun to close, above the
# second the hand can come down around an object.
OPEN, OPENED = 0.9, 0.85
CLOSE_EFFORT, OPEN_EFFORT = 1.0, -1.0
# Above the grasp, m: where the hand passes over the object, and how low it may begin to.
OVER_Z, RISEN_Z = 0.12, 0.1
DOWN_XY, BEGIN_XY, HELD_XY = 0.02, 0.03, 0.04  # of the grasp and the hand, m: how far beside it
LEAD_STEPS = 6.0  # control steps by which the hand is late behind an object that rolls
# A hand that is nearer to the object than this, m, rises first; one that is lower, straight up.
BESIDE_XY, FINGERS_Z = 0.1, 0.06
PUT_Z, PUT_PACE = 0.05, 0.7  # height of the hand, m, and part of the full speed with a ball
# From a stick to the handle of the thermos, (x, y, z) in m: at most, where it is in; and in y and
# z where it can go in, from so far before it in x.
INSERTED, ALIGNED, BEFORE_X = (0.04, 0.04, 0.06), 0.02, 0.12
BEYOND = 0.03  # the goal, m: friction holds the thermos back


@dataclass(frozen=True)
class Grasp:
    """How a gripper holds the object of a task.

    Attributes:
        offset: from the object to where the hand grasps it, (x, y, z) in m.
        low: height above that, m, below which the fingers are around the object.
        closed: opening of the gripper, of 1, below which it holds the object. Nothing tells that
            from fingers that closed beside it: they rise, and come down again.
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
    grasp = GRASPS[task]
    mover = {SOCCER: PutsIntoTheGoal, DISASSEMBLE: Lifts, STICK_PULL: MovesWithTheStick}.get(task)
    return GraspsFirst(AsIfCentered(expert, grasp) if mover is None else mover(), grasp)


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


class AsIfCentered:
    """Lets an expert of MetaWorld move what is held, however it lies between the fingers.

    Where it lies more than 2 cm beside the hand, that expert lets go of it, or rises after it.
    """

    def __init__(self, expert: Expert, grasp: Grasp):
        self._expert, self._grasp = expert, grasp

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        observation[4:6] = observation[:2] - self._grasp.offset[:2]
        return self._expert.get_action(observation)


class PutsIntoTheGoal:
    """Brings a ball that it holds to the goal."""

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        target = np.append(observation[-3:-1], PUT_Z)
        action = towards(target, observation[:3], CLOSE_EFFORT)
        action[:3] *= PUT_PACE
        return action


class Lifts:
    """Lifts what it holds straight up; MetaWorld's expert of disassembling lets go if it slips."""

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        return np.array([0.0, 0.0, 1.0, CLOSE_EFFORT])


class MovesWithTheStick:
    """Puts a stick that it holds into the handle of a thermos, and moves that to the goal.

    MetaWorld's expert goes down to the goal as well and so presses the stick into the handle, and
    with a stick that is beside the handle it pushes the thermos from outside.
    """

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, stick, handle = observation[:3], observation[4:7], observation[11:14]
        x, y, z = to_handle = handle - stick
        if x <= INSERTED[0] and abs(y) <= INSERTED[1] and abs(z) <= INSERTED[2]:
            to_goal = (observation[-3:] - handle)[:2]
            to_goal += BEYOND * to_goal / max(np.linalg.norm(to_goal), BEYOND)
            return towards(hand + np.append(to_goal, z), hand, CLOSE_EFFORT)
        if max(abs(y), abs(z)) > ALIGNED:
            way = [x - BEFORE_X, 0.0, 0.0] if x < BEFORE_X else [0.0, y, z]
        else:
            way = to_handle
        return towards(hand + way, hand, CLOSE_EFFORT)
