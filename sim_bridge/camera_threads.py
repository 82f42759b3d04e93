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

"""Render in threads of their own, so that control steps do not wait for the cameras."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim_bridge.camera_renderer import SceneRenderer
from sim_bridge.environment import ArmEnvironment

# Newest frames of which the delay is kept: more than an episode has.
KEPT_FRAMES = 1000


@dataclass(frozen=True)
class _Frame:
    """A moment to be rendered; ``stamp_ns`` is None for one that nobody sees."""

    env: ArmEnvironment
    scene: dict[str, np.ndarray]
    stamp_ns: int | None
    taken: float  # steady seconds


class CameraThreads:
    """Renders and publishes moments of a simulation while that goes on; MuJoCo lets go of the GIL.

    As many threads as there are cores share the cameras. All of them render the same moment, and
    none waits for it: while they are busy, another one is refused.

    Attributes:
        delays: from each moment until all its images were published, s, since ``reset``; the
            newest ``KEPT_FRAMES``.

    Args:
        cameras: names.
        publish: called in a thread with a camera, the stamp of a moment, ns, and a function that
            renders a camera.
    """

    def __init__(self, cameras: Sequence[str],
                 publish: Callable[[str, int, Callable[[str], np.ndarray]], None]):
        self._publish = publish
        self._changed = threading.Condition()
        self._frame: _Frame | None = None  # the one that all threads are at
        self._to_begin: set[int] = set()  # threads that have not begun with it
        self._unfinished = 0  # threads that have not finished it
        self._closing = False
        self._failure: Exception | None = None
        self.delays: deque[float] = deque(maxlen=KEPT_FRAMES)
        count = min(len(cameras), len(os.sched_getaffinity(0)))
        self._threads = [threading.Thread(target=self._work, args=(n, cameras[n::count]),
                                          name=f"cameras {n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def reset(self, env: ArmEnvironment) -> None:
        """Render the present moment unseen, because the first one takes longer; count from here.

        Raises:
            Exception: what rendering failed with.
        """
        self.wait()
        self.submit(env, None)
        self.wait()
        self.delays.clear()

    def submit(self, env: ArmEnvironment, stamp_ns: int | None) -> bool:
        """Let the present moment of a simulation be rendered and published.

        Args:
            env: of the simulation.
            stamp_ns: of the images; None to render them unseen.

        Returns:
            Whether it is; not while an earlier moment is being rendered.

        Raises:
            Exception: what an earlier one failed with.
        """
        with self._changed:
            self._check()
            if self._frame is not None:
                return False
            self._frame = _Frame(env, env.scene(), stamp_ns, time.perf_counter())
            self._unfinished = len(self._threads)
            self._to_begin = set(range(self._unfinished))
            self._changed.notify_all()
            return True

    def wait(self) -> None:
        """Return when everything is published.

        Raises:
            Exception: what rendering failed with.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._frame is None)
            self._check()

    def close(self) -> None:
        """End the threads, and what they have of OpenGL."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self, number: int, cameras: Sequence[str]) -> None:
        shown: tuple[ArmEnvironment, SceneRenderer] | None = None
        try:
            while (frame := self._next(number)) is not None:
                if shown is None or shown[0] is not frame.env:
                    if shown is not None:
                        shown[1].close()
                    shown = frame.env, frame.env.scene_renderer()
                self._render(frame, shown[1], cameras)
                self._finish(frame)
        except Exception as err:  # the simulation ends with it
            with self._changed:
                self._failure = err
                self._changed.notify_all()
        finally:
            if shown is not None:
                shown[1].close()

    def _next(self, number: int) -> _Frame | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._failure or number in self._to_begin)
            if self._closing or self._failure:
                return None
            self._to_begin.discard(number)
            return self._frame

    def _render(self, frame: _Frame, renderer: SceneRenderer, cameras: Sequence[str]) -> None:
        renderer.show(frame.scene)
        for name in cameras:
            if frame.stamp_ns is None:
                renderer.render_camera(name)
            else:
                self._publish(name, frame.stamp_ns, renderer.render_camera)

    def _finish(self, frame: _Frame) -> None:
        with self._changed:
            self._unfinished -= 1
            if not self._unfinished:
                if frame.stamp_ns is not None:
                    self.delays.append(time.perf_counter() - frame.taken)
                self._frame = None
                self._changed.notify_all()
