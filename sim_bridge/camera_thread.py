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

"""Render in a thread of its own, so that control steps do not wait for the cameras."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_bridge.camera_renderer import SceneRenderer
from sim_bridge.metaworld_env import MetaWorldEnv


@dataclass(frozen=True)
class _Frame:
    """A moment to be rendered; ``stamp_ns`` is None for one that nobody sees."""

    env: MetaWorldEnv
    scene: dict[str, np.ndarray]
    stamp_ns: int | None
    taken: float  # steady seconds


class CameraThread:
    """Renders and publishes moments of a simulation while that goes on; MuJoCo lets go of the GIL.

    A moment that comes while another one still waits takes its place: an image that is late is
    worth less than the next one.

    Attributes:
        skipped: moments that another one took the place of, since ``reset``.
        delays: from each moment to the end of its publishing, s, since ``reset``.

    Args:
        publish: called in the thread with the stamp of a moment, ns, and a function that renders
            a camera of it.
    """

    def __init__(self, publish: Callable[[int, Callable[[str], np.ndarray]], None]):
        self._publish = publish
        self._changed = threading.Condition()
        self._waiting: _Frame | None = None
        self._busy = self._closing = False
        self._failure: Exception | None = None
        self._shown: tuple[MetaWorldEnv, SceneRenderer] | None = None
        self.skipped, self.delays = 0, []
        self._thread = threading.Thread(target=self._work, name="cameras", daemon=True)
        self._thread.start()

    def reset(self, env: MetaWorldEnv) -> None:
        """Render the present moment unseen, because the first one takes longer; count from here.

        Raises:
            Exception: what rendering failed with.
        """
        self._put(_Frame(env, env.scene(), None, time.perf_counter()))
        self.wait()
        self.skipped, self.delays = 0, []

    def drop(self) -> None:
        """Forget the moment that waits, for example of an episode that was aborted."""
        with self._changed:
            self._waiting = None

    def submit(self, env: MetaWorldEnv, stamp_ns: int) -> None:
        """Let the present moment of a simulation be rendered and published.

        Raises:
            Exception: what an earlier one failed with.
        """
        self._put(_Frame(env, env.scene(), stamp_ns, time.perf_counter()))

    def wait(self) -> None:
        """Return when everything is published.

        Raises:
            Exception: what rendering failed with.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not (self._busy or self._waiting))
            self._check()

    def close(self) -> None:
        """End the thread, and what it has of OpenGL."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=10.0)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _put(self, frame: _Frame) -> None:
        with self._changed:
            self._check()
            self.skipped += self._waiting is not None
            self._waiting = frame
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (frame := self._next()) is not None:
                self._render(frame)
        except Exception as err:  # the simulation ends with it
            with self._changed:
                self._failure = err
                self._changed.notify_all()
        finally:
            if self._shown is not None:
                self._shown[1].close()

    def _next(self) -> _Frame | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing or self._waiting)
            frame, self._waiting = self._waiting, None
            self._busy = True
            return None if self._closing else frame

    def _render(self, frame: _Frame) -> None:
        if self._shown is None or self._shown[0] is not frame.env:
            if self._shown is not None:
                self._shown[1].close()
            self._shown = frame.env, frame.env.scene_renderer()
        renderer = self._shown[1]
        renderer.show(frame.scene)
        if frame.stamp_ns is None:
            for name in frame.env.config.cameras:
                renderer.render_camera(name)
            return
        self._publish(frame.stamp_ns, renderer.render_camera)
        self.delays.append(time.perf_counter() - frame.taken)
