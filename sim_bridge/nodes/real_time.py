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

"""Episodes on the wall clock: chunks are followed by time, and latency counts."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from sim_bridge.arms import SimulatedArm
from sim_bridge.camera_threads import CameraThreads
from sim_bridge.commands import make_follower
from sim_bridge.nodes.camera_publisher import CameraPublisher
from sim_bridge.nodes.sensor_publisher import SensorPublisher
from sim_bridge.rollout import Episode
from tinyvla_ros.core.errors import MessageError

# A pause longer than this (suspend, debugger) is not caught up by stepping faster.
MAX_LAG_S = 0.5
# The newest times from a moment to its images on the topics, for diagnostics.
KEPT_FRAMES = 1000


class RealTimeRun:
    """Runs episodes at the arm's control rate; images are rendered beside it.

    Args:
        arm: that is simulated.
        sensors: published at every step.
        images: of the cameras, published once in ``camera_every`` steps.
        camera_every: control steps between two images.
        pause: waits for some seconds, and ends the episode if it must end.
        newest_command: returns the newest command and when it came, steady seconds; NaN for a
            hold, None before the first.
        on_refused: called with the reason for which a command is not followed.
    """

    def __init__(self, arm: SimulatedArm, sensors: SensorPublisher, images: CameraPublisher,
                 camera_every: int, pause: Callable[[float], None],
                 newest_command: Callable[[], tuple[object | None, float]],
                 on_refused: Callable[[MessageError], None]):
        self._arm, self._on_refused = arm, on_refused
        self._sensors, self._cameras = sensors, CameraThreads(images.cameras, images.publish)
        self._every, self._pause, self._newest_command = camera_every, pause, newest_command
        self._factors: list[float] = []
        self._delays: deque[float] = deque(maxlen=KEPT_FRAMES)  # s
        self._skipped = 0

    def run(self, episode: Episode) -> tuple[dict, list[float]]:
        """Run an episode; return figures of it, and ms from observation to chunk."""
        follower, latencies, published = make_follower(self._arm), [], {}
        follower.reset(episode.stamp_ns, episode.env.hold_action())
        dt = self._arm.control_dt
        held, taken, skipped, late = 0, None, 0, False
        self._cameras.reset(episode.env)
        start = lag_from = time.perf_counter()
        while not episode.done:
            due = lag_from + episode.steps * dt
            self._pause(max(0.0, due - time.perf_counter()))
            if time.perf_counter() - due > MAX_LAG_S:
                lag_from += time.perf_counter() - due
            now = episode.stamp_ns
            published[now] = time.perf_counter()
            self._sensors.publish(episode.env, now)
            is_due = episode.steps % self._every == 0
            skipped += late and is_due
            # Late images are of a moment when they can be rendered at once, not when they were
            # due: what a policy sees is as new as it can be.
            late = (late or is_due) and not self._cameras.submit(episode.env, now)
            command, received = self._newest_command()
            if command is not None and command is not taken:
                taken, answered = command, None
                try:
                    answered = follower.accept(command, now)
                except MessageError as err:
                    self._on_refused(err)
                if answered in published and not math.isnan(received):
                    latencies.append(1e3 * (received - published[answered]))
            action = follower.action(now)
            held += action is None
            episode.control(episode.env.hold_action() if action is None else action)
        self._pause(max(0.0, lag_from + episode.steps * dt - time.perf_counter()))
        factor = episode.steps * dt / (time.perf_counter() - start)
        self._cameras.wait()
        self._sensors.publish(episode.env, episode.stamp_ns)
        self._cameras.submit(episode.env, episode.stamp_ns)
        self._cameras.wait()
        skipped += late
        self._factors.append(factor)
        self._delays += self._cameras.delays
        self._skipped += skipped
        return {"real_time_factor": round(factor, 4), "held_steps": held,
                "camera_rate": round(1.0 / (dt * self._every), 3),
                "skipped_frames": skipped,
                "frame_ms": [round(1e3 * s, 2) for s in self._cameras.delays]}, latencies

    def abort(self) -> None:
        """Let images of an episode that did not run to its end come before the next begins."""
        self._cameras.wait()

    def close(self) -> None:
        """End rendering."""
        self._cameras.close()

    def describe(self) -> dict[str, object]:
        """Return figures of all episodes for diagnostics, nothing before the first has ended."""
        if not self._factors:
            return {}
        p50, p99 = np.percentile(list(self._delays), (50, 99)) * 1e3
        return {"real_time_factor": f"{np.mean(self._factors):.3f}",
                "skipped frames": self._skipped,
                "frame_ms_p50": f"{p50:.2f}", "frame_ms_p99": f"{p99:.2f}"}
