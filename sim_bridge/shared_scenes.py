# SPDX-License-Identifier: Apache-2.0
"""Scenes in which only the words say what is to be done.

MetaWorld gives every task a goal marker of its own color or objects in a state of their own, so a
policy can do without words. Here two pairs of tasks begin with the same picture for the same seed:

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
    """Return the task that begins with the same picture; raises as ``check_task``."""
    check_task(task)
    pair = MARKED if task in MARKED else DRAWERS
    return pair[1 - pair.index(task)]


def check_task(task: str) -> None:
    """Raise ``InputError`` for a task that shares its scene with no other."""
    if task not in SHARED_TASKS:
        raise InputError(unknown("task with a shared scene", task, SHARED_TASKS))


def look_alike(env, task: str) -> None:
    """Make a new MetaWorld environment look as its partner does."""
    check_task(task)
    # Invisible where it would show how far the drawer is to move.
    env.model.site("goal").rgba = MAGENTA if task in MARKED else (0.0, 0.0, 0.0, 0.0)


def begin_alike(env, task: str) -> np.ndarray:
    """Bring a MetaWorld environment that was just reset to where its partner begins, too.

    Returns:
        Its observation, (39,) float64.
    """
    if task in DRAWERS:
        positions, velocities = env.data.qpos.copy(), env.data.qvel.copy()
        joint = env.model.joint("goal_slidey")
        positions[joint.qposadr[0]], velocities[joint.dofadr[0]] = HALF_OPEN_M, 0.0
        env.set_state(positions, velocities)
    # Twice: it holds the positions of the moment before as well.
    env._get_obs()
    return env._get_obs()
