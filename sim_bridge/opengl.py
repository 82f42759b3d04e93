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

"""Choose the headless OpenGL library before MuJoCo is imported, and try it."""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from typing import NamedTuple

from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.extras import require


class _Library(NamedTuple):
    """What a value of ``MUJOCO_GL`` loads: one library of each group, and who brings them."""

    groups: tuple[tuple[str, ...], ...]
    packages: str


# In the order in which they are tried.
_HEADLESS = {
    "egl": _Library((("EGL",), ("OpenGL", "GL", "GLESv2")),
                    "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libopengl0"),
    "osmesa": _Library((("OSMesa",),), "libosmesa6"),
}
# Other values that MuJoCo takes on Linux: it opens a window, or draws nothing at all.
_WINDOW = ("glfw", "glx", "on", "enable", "enabled", "true", "1")
_OFF = ("off", "disable", "disabled", "false", "0")
_TRIAL = ("import mujoco; "
          "mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16)")
_TRIAL_SECONDS = 120


def choose_opengl() -> str:
    """Set ``MUJOCO_GL`` to a library this machine has and return it.

    A value that the user has set is kept. Must run before the first ``import mujoco``: MuJoCo
    reads the variable once, at import.

    Raises:
        InputError: the simulator is not installed, the machine has neither EGL nor OSMesa, or
            ``MUJOCO_GL`` names what cannot draw here.
    """
    require("The simulation", "sim")
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen in _OFF:
        raise InputError(f"MUJOCO_GL={chosen} turns drawing off, and the cameras of the simulated "
                         "arm are drawn; unset it.")
    if chosen in _WINDOW:
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            return chosen
        raise InputError(f"MUJOCO_GL={chosen} draws into a window, and there is no display: "
                         f"DISPLAY is not set; {_without_window()}.")
    if chosen and chosen not in _HEADLESS:
        raise InputError(unknown("value of MUJOCO_GL", chosen, (*_HEADLESS, "glfw")))
    pyopengl = os.environ.get("PYOPENGL_PLATFORM", "").strip().lower()
    if pyopengl and pyopengl not in ([chosen] if chosen else _HEADLESS):
        raise InputError(f"PYOPENGL_PLATFORM={pyopengl} contradicts MUJOCO_GL="
                         f"{chosen or ' or '.join(_HEADLESS)}; unset PYOPENGL_PLATFORM.")
    for name in [chosen or pyopengl] if chosen or pyopengl else _HEADLESS:
        if not _missing(name):
            os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = name
            # One rendering thread: the policy and the simulator need the other cores more.
            os.environ.setdefault("LP_NUM_THREADS", "1")
            return name
    name = chosen or pyopengl or "egl"
    setting = f"MUJOCO_GL={name}" if chosen or not pyopengl else f"PYOPENGL_PLATFORM={name}"
    way_out = "" if chosen or not pyopengl else "unset PYOPENGL_PLATFORM, or "
    raise InputError(f"This machine lacks the OpenGL library {_missing(name)} that {setting} "
                     f"needs; {way_out}{_packages(name)}.")


def require_opengl() -> str:
    """As ``choose_opengl``, and let MuJoCo draw in a process of its own; takes about a second.

    For the command that the user types, before it starts processes that draw.

    Raises:
        InputError: as ``choose_opengl``, or MuJoCo cannot draw with the library.
    """
    name = choose_opengl()
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL], capture_output=True, encoding="utf-8",
            errors="replace", timeout=_TRIAL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"OpenGL did not start within {_TRIAL_SECONDS} s; {advice(name)}."
                         ) from None
    if trial.returncode != 0:
        raise InputError(did_not_start(name, _last_error(trial.stderr) or
                                       f"exit code {trial.returncode}"))
    return name


def did_not_start(name: str, error: str) -> str:
    """Return the sentence for an OpenGL library that is here and does not work.

    Args:
        name: the value of ``MUJOCO_GL``.
        error: what MuJoCo said.
    """
    return f"OpenGL did not start ({error.strip().rstrip('.')}); {advice(name)}."


def advice(name: str) -> str:
    """Return what to do about an OpenGL library that does not work, without a final period."""
    if name in _WINDOW:
        return f"MUJOCO_GL={name} draws into a window; {_without_window()}"
    device = os.environ.get("MUJOCO_EGL_DEVICE_ID")
    if name == "egl" and device is not None:
        return f"MUJOCO_EGL_DEVICE_ID is {device}; unset it, or give the number of a GPU"
    return _packages(name)


def _missing(name: str) -> str:
    """Return the first library that a headless value of ``MUJOCO_GL`` lacks, or ''."""
    return next((" or ".join(group) for group in _HEADLESS[name].groups
                 if not any(map(ctypes.util.find_library, group))), "")


def _packages(name: str) -> str:
    others = "".join(f", or set MUJOCO_GL={other}, which is installed"
                     for other in _HEADLESS if other != name and not _missing(other))
    return f"type: sudo apt-get install -y {_HEADLESS[name].packages}{others}"


def _without_window() -> str:
    here = next((name for name in _HEADLESS if not _missing(name)), None)
    if here is not None:
        return f"unset MUJOCO_GL to use {here}, which is installed"
    return ("unset MUJOCO_GL to draw without one, and type: sudo apt-get install -y "
            f"{_HEADLESS['egl'].packages}")


def _last_error(text: str) -> str:
    """Return the message at the end of the first traceback in a process's output."""
    tail = text.partition("Traceback (most recent call last)")[2]
    return next((line for line in tail.splitlines()[1:] if line and not line[0].isspace()), "")
