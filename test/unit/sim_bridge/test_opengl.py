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

"""What a machine lacks for the simulation is said before anything starts, with what to do."""

from __future__ import annotations

import ctypes.util
import sys

import pytest

from sim_bridge.opengl import choose_opengl, require_opengl
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError

VARIABLES = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID", "DISPLAY",
             "WAYLAND_DISPLAY")
EGL = {"EGL", "OpenGL", "GL"}
COMMANDS = {
    "sim-eval": ["--tasks", "reach-v3", "--out", "{out}"],
    "evaluate": ["--tasks", "reach-v3", "--out", "{out}"],
    "collect": ["--tasks", "reach-v3", "--episodes", "1", "--out", "{out}"],
    "latency-vs-success": ["--tasks", "reach-v3", "--out", "{out}"],
    "language-vs-success": ["--out", "{out}"],
}


@pytest.fixture
def machine(monkeypatch):
    """A function that gives this process a machine with some libraries and variables."""
    def make(libraries=EGL, **variables):
        for name in VARIABLES:
            monkeypatch.setenv(name, variables.get(name, ""))
            if name not in variables:
                monkeypatch.delenv(name)
        monkeypatch.setattr(ctypes.util, "find_library",
                            lambda name: f"lib{name}.so" if name in libraries else None)
    return make


def refusal(function=choose_opengl) -> str:
    with pytest.raises(InputError) as caught:
        function()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.simulator
@pytest.mark.parametrize(("libraries", "variables", "chosen"), [
    (EGL, {}, "egl"), (EGL | {"OSMesa"}, {}, "egl"), ({"OSMesa"}, {}, "osmesa"),
    (EGL | {"OSMesa"}, {"MUJOCO_GL": "OSMesa "}, "osmesa"),
    (EGL | {"OSMesa"}, {"PYOPENGL_PLATFORM": "osmesa"}, "osmesa"),
    (EGL, {"MUJOCO_GL": "glfw", "DISPLAY": ":0"}, "glfw"),
    (set(), {"MUJOCO_GL": "glfw", "WAYLAND_DISPLAY": "wayland-0"}, "glfw"),
])
def test_it_takes_what_is_there(machine, libraries, variables, chosen):
    machine(libraries, **variables)
    assert choose_opengl() == chosen
    assert choose_opengl() == chosen, "the second call sees what the first one set"


@pytest.mark.simulator
@pytest.mark.parametrize("value", ["glfw", "glx", "on", "1"])
def test_a_window_without_a_display_is_not_a_missing_package(machine, value):
    machine(MUJOCO_GL=value)
    text = refusal()
    assert all(word in text for word in (f"MUJOCO_GL={value}", "DISPLAY", "unset", "egl"))
    assert "apt-get" not in text, "EGL is installed"
    machine(set(), MUJOCO_GL=value)
    assert "libegl1" in refusal()


@pytest.mark.simulator
@pytest.mark.parametrize(("libraries", "variables", "words"), [
    (EGL, {"MUJOCO_GL": "off"}, ["MUJOCO_GL=off", "unset"]),
    (EGL, {"MUJOCO_GL": "elg"}, ["'elg'", "'egl'", "'osmesa'"]),
    (EGL, {"MUJOCO_GL": "egl", "PYOPENGL_PLATFORM": "osmesa"}, ["osmesa", "egl", "unset"]),
    (EGL, {"PYOPENGL_PLATFORM": "wgl"}, ["wgl", "egl", "unset"]),
    (EGL, {"PYOPENGL_PLATFORM": "osmesa"}, ["OSMesa", "unset PYOPENGL_PLATFORM", "libosmesa6"]),
    (EGL, {"MUJOCO_GL": "osmesa"}, ["OSMesa", "libosmesa6", "MUJOCO_GL=egl"]),
    (set(), {}, ["EGL", "libegl1"]),
    ({"EGL"}, {}, ["OpenGL", "libopengl0"]),
])
def test_what_cannot_draw_is_named_with_the_way_out(machine, libraries, variables, words):
    machine(libraries, **variables)
    text = refusal()
    assert all(word in text for word in words), text


@pytest.mark.simulator
@pytest.mark.parametrize(("variables", "words", "not_the_cause"), [
    ({"MUJOCO_EGL_DEVICE_ID": "77"}, ["MUJOCO_EGL_DEVICE_ID", "77"], "apt-get"),
    ({"MUJOCO_GL": "glfw", "DISPLAY": ":7777"}, ["MUJOCO_GL=glfw", "unset"], "libosmesa6"),
])
def test_a_library_that_is_there_and_does_not_start(monkeypatch, variables, words, not_the_cause):
    for name in VARIABLES:
        monkeypatch.setenv(name, variables.get(name, ""))
        if name not in variables:
            monkeypatch.delenv(name)
    text = refusal(require_opengl)
    assert all(word in text for word in words), text
    assert not_the_cause not in text


@pytest.mark.parametrize("missing", ["mujoco", "metaworld"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_simulation_says_that_it_needs_the_simulator(command, missing, monkeypatch, tmp_path,
                                                           capfd):
    """As in a Python for which MuJoCo and MetaWorld have no packages."""
    monkeypatch.setitem(sys.modules, missing, None)  # then it can be neither found nor imported
    monkeypatch.delitem(sys.modules, "sim_bridge.metaworld.environment", raising=False)
    arguments = [text.format(out=tmp_path / "out") for text in COMMANDS[command]]
    assert main([command, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    assert {"mujoco": "MuJoCo", "metaworld": "MetaWorld"}[missing] in err
    assert not (tmp_path / "out").exists()


@pytest.mark.simulator
@pytest.mark.parametrize("command", COMMANDS)
def test_every_simulation_tries_to_draw_first(command, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("MUJOCO_GL", "off")
    arguments = [text.format(out=tmp_path / "out") for text in COMMANDS[command]]
    assert main([command, *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1, out + err
    assert "MUJOCO_GL=off" in err
    assert not (tmp_path / "out").exists()
