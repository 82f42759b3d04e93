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

"""Scenes in which only the instruction distinguishes two tasks.

In MetaWorld a policy can recognize the task from the image: by the color of the goal marker, or by
the state of the objects. Here two pairs of tasks begin with the same image for the same seed:

* ``reach-v3`` and ``pick-place-v3``: a puck and a marker of one color for both;
* ``drawer-open-v3`` and ``drawer-close-v3``: a drawer that is half open, and no marker.
"""

from __future__ import annotations

import numpy as np

from tinyvla_ros.core.errors import InputError, unknown

MARKED, DRAWERS = ("reach-v3", "pick-place-v3"), ("drawer-open-v3", "drawer-close-v3")
SHARED_TASKS = (*MARKED, *DRAWERS)
MAGENTA = (0.8, 0.0, 0.8, 1.0)
HALF_OPEN_M = -0.1


def partner(task: str) -> str:
    """Return the task that begins with the same image; raises as ``check_task``."""
    check_task(task)
    pair = MARKED if task in MARKED else DRAWERS
    return pair[1 - pair.index(task)]


def check_task(task: str) -> None:
    """Raise ``InputError`` for a task that shares its scene with no other."""
    if task not in SHARED_TASKS:
        raise InputError(unknown("task with a shared scene", task, SHARED_TASKS))


def look_alike(env, task: str) -> None:
    """Give a new MetaWorld environment the look of its partner."""
    check_task(task)
    # For drawers it is invisible: it would show the direction to move.
    env.model.site("goal").rgba = MAGENTA if task in MARKED else (0.0, 0.0, 0.0, 0.0)


def begin_alike(env, task: str) -> np.ndarray:
    """Bring a MetaWorld environment, just reset, into the state in which its partner begins.

    Returns:
        Its observation, (39,) float64.
    """
    if task in DRAWERS:
        positions, velocities = env.data.qpos.copy(), env.data.qvel.copy()
        joint = env.model.joint("goal_slidey")
        positions[joint.qposadr[0]], velocities[joint.dofadr[0]] = HALF_OPEN_M, 0.0
        env.set_state(positions, velocities)
    # Twice, because an observation also holds the positions of the one before.
    env._get_obs()  # noqa: SLF001 (MetaWorld has no public name)
    return env._get_obs()  # noqa: SLF001
