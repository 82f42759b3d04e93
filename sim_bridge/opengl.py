# SPDX-License-Identifier: Apache-2.0
"""Choose the headless OpenGL library before MuJoCo is imported."""

from __future__ import annotations

import ctypes.util
import os

from tinyvla_ros.core.errors import InputError

_LIBRARIES = {"egl": ("EGL", "libegl1 libgl1-mesa-dri"), "osmesa": ("OSMesa", "libosmesa6")}


def choose_opengl() -> str:
    """Set ``MUJOCO_GL`` to a library this machine has and return it.

    A value that the user has set is kept. Must run before the first ``import mujoco``: MuJoCo
    reads the variable once, at import.

    Raises:
        InputError: neither EGL nor OSMesa is installed, or the library named by ``MUJOCO_GL``
            is missing.
    """
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen and chosen not in _LIBRARIES:
        return chosen  # glfw, glx...: the user has a display
    for name in [chosen] if chosen else _LIBRARIES:
        if ctypes.util.find_library(_LIBRARIES[name][0]):
            os.environ["MUJOCO_GL"] = name
            # One rendering thread: the policy and the simulator need the other cores more.
            os.environ.setdefault("LP_NUM_THREADS", "1")
            if name == "egl":
                os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
            return name
    wanted = f"the OpenGL library {chosen!r} named by MUJOCO_GL" if chosen else \
        "a headless OpenGL library (EGL or OSMesa)"
    packages = _LIBRARIES[chosen or "egl"][1]
    raise InputError(f"This machine lacks {wanted}; type: sudo apt-get install -y {packages}")
