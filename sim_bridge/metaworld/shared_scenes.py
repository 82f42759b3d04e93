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

"""Scenes in which only the instruction distinguishes two tasks, and in which one follows another.

In MetaWorld a policy can recognize the task from the image: by the color of the goal marker, or by
the state of the objects. The pairs of ``PAIRS`` look alike here: a puck and a marker of one color
for ``reach-v3`` and ``pick-place-v3``; a drawer, a window, a door, and no marker. In ``shared``
scenes both begin with the same image for the same seed: drawers, windows and doors are half open.
In ``chained`` scenes objects stay: every other episode begins where the expert of the partner has
ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box

from sim_bridge.task_suites import SCENES, SUITES
from tinyvla_ros.core.errors import InputError, unknown


@dataclass(frozen=True)
class Pair:
    """Two tasks of one scene.

    Attributes:
        tasks: the two.
        joint: which is moved one way by the first and back by the second; None where there is a
            marker instead.
        half: position of the joint, m or rad, from which both can begin.
        hand: where the hand begins in shared scenes, m.
        low, high: between which MetaWorld places things in shared scenes, m; None for its own,
            which are those of both.
    """

    tasks: tuple[str, str]
    joint: str | None = None
    half: float = 0.0
    hand: tuple[float, float, float] = (0.0, 0.6, 0.2)
    low: tuple[float, float, float] | None = None
    high: tuple[float, float, float] | None = None


PAIRS = (Pair(SCENES["puck"]), Pair(SCENES["drawer"], "goal_slidey", -0.1),
         Pair(SCENES["window"], "window_slide", 0.1,
              (0.0, 0.4, 0.2), (-0.1, 0.7, 0.16), (0.1, 0.9, 0.16)),
         Pair(SCENES["door"], "doorjoint", -0.45))
SHARED_TASKS = SUITES["scenes"]
MAGENTA = (0.8, 0.0, 0.8, 1.0)
INVISIBLE = (0.0, 0.0, 0.0, 0.0)  # a marker of a drawer would show the direction to move


def pair_of(task: str) -> Pair:
    """Return the pair of a task; raises ``InputError`` for one that shares its scene with none."""
    for pair in PAIRS:
        if task in pair.tasks:
            return pair
    raise InputError(unknown("task with a shared scene", task, SHARED_TASKS))


def partner(task: str) -> str:
    """Return the task of the same scene; raises as ``pair_of``."""
    tasks = pair_of(task).tasks
    return tasks[1 - tasks.index(task)]


def success_topic(task: str) -> str:
    """Return where a simulated arm tells whether a task of its scene is done."""
    return f"simulation/success/{task.replace('-', '_')}"


def look_alike(env, task: str) -> None:
    """Give a new MetaWorld environment the look of its partner."""
    env.model.site("goal").rgba = INVISIBLE if pair_of(task).joint else MAGENTA


def place_alike(env, task: str) -> None:
    """Let a MetaWorld environment draw the same places for a seed as its partner."""
    pair = pair_of(task)
    if not np.allclose(env.hand_init_pos, pair.hand):
        env.hand_init_pos = np.array(pair.hand)
    if pair.low is not None:
        env._random_reset_space = Box(  # noqa: SLF001
            np.array(pair.low), np.array(pair.high), dtype=np.float64)


def begin_alike(env, task: str) -> np.ndarray:
    """Bring a MetaWorld environment, just reset, into the state in which its partner begins.

    Returns:
        Its observation, (39,) float64.
    """
    pair = pair_of(task)
    if pair.joint is not None:
        positions, velocities = env.data.qpos.copy(), env.data.qvel.copy()
        joint = env.model.joint(pair.joint)
        positions[joint.qposadr[0]], velocities[joint.dofadr[0]] = pair.half, 0.0
        env.set_state(positions, velocities)
    # Twice, because an observation also holds the positions of the one before.
    env._get_obs()  # noqa: SLF001 (MetaWorld has no public name)
    return env._get_obs()  # noqa: SLF001
