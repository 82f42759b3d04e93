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

"""MetaWorld's experts made fit for shared and chained scenes, where a hand begins anywhere."""

from __future__ import annotations

import numpy as np

from sim_bridge.metaworld.expert import GAIN, Expert, towards

FINGERS_BELOW_HAND_Z = 0.045  # m
# Beside the handle, seen from it, m: the hand is pressed against its wrong side.
BESIDE_X, BESIDE_Y, BESIDE_Z = (-0.13, -0.02), 0.13, 0.12
OVER_Z = 0.06  # above the handle's top, where the hand can pass
BEHIND_XY = np.array([0.02, 0.02])  # from where the expert lets the hand down
UP = np.array([0.0, 0.0, 1.0])
# Of a drawer's handle and the hand, m: nearer, its open fingers come down around the bar; so high,
# they pass over it; farther, MetaWorld's expert rises by itself.
AROUND_XY, OVER_BAR_Z, NEAR_XY = 0.02, 0.07, 0.06
HOOKED_XY, HOOKED_Z = 0.04, 0.02
OPEN = 0.9  # of a gripper that nothing keeps from opening
# Of a window's handle and the hand, m: where it pushes; how near the sides of the bar are to that;
# where the hand is clear of the handle; and how far this concerns it.
PUSH_XYZ, PUSH_NEAR = np.array([0.03, -0.03, -0.08]), np.array([0.018, 0.025, 0.03])
CLEAR_X, CLEAR_Y = 0.032, -0.10
AT_CLEAR_SIDE = np.array([0.01, 0.0, 0.0])
WINDOW_X, WINDOW_Y, WINDOW_Z = 0.15, -0.15, 0.12
WINDOW_DONE = 0.02  # from the goal
BRAKES_M = 0.08  # before the goal the hand becomes slower


class FingersAtTheMark:
    """Brings the fingers, and what is between them, to the mark.

    MetaWorld's experts bring the hand there, whose fingers then rest 45 mm below the mark. That
    counts within 50 mm (a puck within 70 mm), and who learns from it often rests outside.
    """

    def __init__(self, expert: Expert):
        self._expert = expert

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        observation[-1] += FINGERS_BELOW_HAND_Z
        return self._expert.get_action(observation)


class StopsAtTheGoal:
    """Opens a door as far as the goal, and holds it there.

    MetaWorld's expert pulls on, past the goal, where the door does not count as open any more.
    """

    def __init__(self, expert: Expert):
        self._expert = expert

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        beyond = observation[-3] - observation[4]  # of the handle, m; the door opens to -x
        action = self._expert.get_action(observation)
        if beyond > -BRAKES_M:
            action[:2] *= np.clip(-beyond / BRAKES_M, 0.0, 1.0)
        return action


class AroundTheHandle:
    """Opens a door from wherever the hand is.

    MetaWorld's expert comes from above. Where the hand is already beside the handle, on the side
    from which the door is closed, it pushes against it for good.
    """

    def __init__(self, expert: Expert):
        self._expert = expert

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, handle = observation[:3], observation[4:7]
        x, y, z = hand - handle
        if not (BESIDE_X[0] < x < BESIDE_X[1] and abs(y) < BESIDE_Y and z < BESIDE_Z):
            return self._expert.get_action(observation)
        target = hand + UP if z < OVER_Z else \
            np.append(handle[:2] + BEHIND_XY, hand[2])
        return towards(target, hand, 1.0)


class AroundTheBar:
    """Opens a drawer from wherever the hand is.

    MetaWorld's expert comes down up to 6 cm beside the handle. A hand that has just closed the
    drawer is that near, with closed fingers: they come down on the handle, slip off it, and the
    hand pulls at nothing, again and again.

    Args:
        expert: that of MetaWorld.
    """

    def __init__(self, expert: Expert):
        self._expert = expert

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, handle = observation[:3], observation[4:7]
        beside, above = np.linalg.norm(hand[:2] - handle[:2]), hand[2] - handle[2]
        is_open, is_over = observation[3] > OPEN, above > OVER_BAR_Z
        is_hooked = is_open and beside < HOOKED_XY and above < HOOKED_Z
        is_around = beside < AROUND_XY and (is_open or is_over)
        if beside > NEAR_XY or is_hooked or is_around:
            return self._expert.get_action(observation)
        target = np.append(handle[:2], hand[2]) if is_over else hand + UP
        return towards(target, hand, -1.0)


class AroundTheWindow:
    """Moves a window from wherever the hand is, and stays at the end.

    MetaWorld's expert goes up to the other side of the handle. A hand that has just moved the
    window the other way is inside the handle, and is caught there; so this one goes back from the
    window and around. Once the window is moved, MetaWorld's expert pushes on until it slips off.

    Args:
        expert: that of MetaWorld.
        side: of the handle from which it pushes, 1 or -1 in x.
    """

    def __init__(self, expert: Expert, side: float):
        self._expert, self._side = expert, np.array([side, 1.0, 1.0])

    def get_action(self, observation: np.ndarray) -> np.ndarray:
        """Return the (4,) action."""
        hand, handle = observation[:3], observation[4:7]
        if abs(observation[-3] - handle[0]) < WINDOW_DONE:
            return np.array([0.0, 0.0, 0.0, 1.0])
        x, y, z = from_side = self._side * (hand - handle)
        is_far = abs(x) > WINDOW_X or y < WINDOW_Y or z > WINDOW_Z
        if is_far or (np.abs(from_side - PUSH_XYZ) < PUSH_NEAR).all():
            return self._expert.get_action(observation)
        if x > CLEAR_X:
            target = PUSH_XYZ + AT_CLEAR_SIDE
        elif y > CLEAR_Y:
            target = np.array([x, 2.0 * CLEAR_Y, z])
        else:
            target = np.array([2.0 * CLEAR_X, y, PUSH_XYZ[2]])
        delta = self._side * (target - from_side)
        return np.append(np.clip(GAIN * delta, -1.0, 1.0), 1.0)
