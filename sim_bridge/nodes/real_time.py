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
from sim_bridge.camera_threads import KEPT_FRAMES, CameraThreads
from sim_bridge.commands import make_follower
from sim_bridge.environment import ArmEnvironment
from sim_bridge.nodes.camera_publisher import CameraPublisher
from sim_bridge.nodes.sensor_publisher import SensorPublisher
from sim_bridge.rollout import Episode
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import time_to_ns
from tinyvla_ros.core.types import ActionChunk

# A pause longer than this (suspend, debugger) is not caught up by stepping faster.
MAX_LAG_S = 0.5
# Stamps of observations that a command can answer.
KEPT_STAMPS = 1000


class ControlSteps:
    """What happens in every control step on the wall clock: sensors, images, commands.

    Args:
        arm: that is simulated.
        sensors: published at every step.
        images: of the cameras, published once in ``camera_every`` steps.
        camera_every: control steps between two images.
        newest_command: returns the newest command and when it came, steady seconds; NaN for a
            hold, None before the first.
        on_refused: called with the reason for which a command is not followed.

    Attributes:
        skipped: images that were not rendered since ``begin``, because those before them were
            still being rendered.
        held: steps without a command to follow.
        latencies: ms from an observation to the command that answers it, the newest
            ``KEPT_STAMPS``.
    """

    def __init__(self, arm: SimulatedArm, sensors: SensorPublisher, images: CameraPublisher,
                 camera_every: int, newest_command: Callable[[], tuple[object | None, float]],
                 on_refused: Callable[[MessageError], None]):
        self._arm, self._sensors, self._every = arm, sensors, camera_every
        self._newest_command, self._on_refused = newest_command, on_refused
        self._cameras = CameraThreads(images.cameras, images.publish)

    @property
    def frame_delays(self) -> deque[float]:
        """From each moment until its images were published, s, since ``begin``."""
        return self._cameras.delays

    def begin(self, env: ArmEnvironment, now_ns: int) -> None:
        """Forget commands and count from here; call it at the begin of a scene."""
        self._follower = make_follower(self._arm)
        self._follower.reset(now_ns, env.hold_action())
        self._taken, self._is_late, self._began_ns = None, False, now_ns
        self._published: dict[int, float] = {}
        self.skipped = self.held = 0
        self.latencies: deque[float] = deque(maxlen=KEPT_STAMPS)
        self._cameras.reset(env)

    def before(self, env: ArmEnvironment, now_ns: int, count: int) -> np.ndarray:
        """Publish what the arm senses now, and return the (channels,) action to execute.

        Args:
            env: as it is at the beginning of the step.
            now_ns: its stamp.
            count: steps since ``begin``.
        """
        self._published[now_ns] = time.perf_counter()
        if len(self._published) > KEPT_STAMPS:
            del self._published[next(iter(self._published))]
        self._sensors.publish(env, now_ns)
        is_due = count % self._every == 0
        self.skipped += self._is_late and is_due
        # Late images are of a moment when they can be rendered at once, not when they were
        # due: what a policy sees is as new as it can be.
        self._is_late = (self._is_late or is_due) and not self._cameras.submit(env, now_ns)
        command, received = self._newest_command()
        if command is not None and command is not self._taken:
            self._take(command, received, now_ns)
        action = self._follower.action(now_ns)
        self.held += action is None
        return env.hold_action() if action is None else action

    def end(self, env: ArmEnvironment, now_ns: int) -> None:
        """Publish what the arm senses last."""
        self._cameras.wait()
        self._sensors.publish(env, now_ns)
        self._cameras.submit(env, now_ns)
        self._cameras.wait()
        self.skipped += self._is_late

    def wait(self) -> None:
        """Let images that are being rendered come."""
        self._cameras.wait()

    def close(self) -> None:
        """End rendering."""
        self._cameras.close()

    def _take(self, command, received: float, now_ns: int) -> None:
        self._taken = command
        stamp_ns = command.stamp_ns if isinstance(command, ActionChunk) else \
            time_to_ns(command.header.stamp)
        if 0 < stamp_ns < self._began_ns:
            return  # the answer to the last images of the episode before
        try:
            answered = self._follower.accept(command, now_ns)
        except MessageError as err:
            self._on_refused(err)
            return
        if answered in self._published and not math.isnan(received):
            self.latencies.append(1e3 * (received - self._published[answered]))


class RealTimeRun:
    """Runs episodes at the arm's control rate.

    Args:
        steps: what happens in each control step.
        arm: that is simulated.
        camera_every: control steps between two images.
        pause: waits for some seconds, and ends the episode if it must end.
    """

    def __init__(self, steps: ControlSteps, arm: SimulatedArm, camera_every: int,
                 pause: Callable[[float], None]):
        self._steps, self._dt, self._pause = steps, arm.control_dt, pause
        self._camera_rate = round(1.0 / (arm.control_dt * camera_every), 3)
        self._factors: list[float] = []
        self._delays: deque[float] = deque(maxlen=KEPT_FRAMES)  # s
        self._skipped = 0

    def run(self, episode: Episode) -> tuple[dict, list[float]]:
        """Run an episode; return figures of it, and ms from observation to chunk."""
        steps, dt = self._steps, self._dt
        steps.begin(episode.env, episode.stamp_ns)
        start = lag_from = time.perf_counter()
        while not episode.done:
            due = lag_from + episode.steps * dt
            self._pause(max(0.0, due - time.perf_counter()))
            if time.perf_counter() - due > MAX_LAG_S:
                lag_from += time.perf_counter() - due
            episode.control(steps.before(episode.env, episode.stamp_ns, episode.steps))
        self._pause(max(0.0, lag_from + episode.steps * dt - time.perf_counter()))
        factor = episode.steps * dt / (time.perf_counter() - start)
        steps.end(episode.env, episode.stamp_ns)
        self._factors.append(factor)
        self._delays += steps.frame_delays
        self._skipped += steps.skipped
        return {"real_time_factor": round(factor, 4), "held_steps": steps.held,
                "camera_rate": self._camera_rate, "skipped_frames": steps.skipped,
                "frame_ms": [round(1e3 * s, 2) for s in steps.frame_delays]}, \
            list(steps.latencies)

    def abort(self) -> None:
        """Let images of an episode that did not run to its end come before the next begins."""
        self._steps.wait()

    def close(self) -> None:
        """End rendering."""
        self._steps.close()

    def describe(self) -> dict[str, object]:
        """Return figures of all episodes for diagnostics, nothing before the first has ended."""
        if not self._factors:
            return {}
        p50, p99 = np.percentile(list(self._delays), (50, 99)) * 1e3
        return {"real_time_factor": f"{np.mean(self._factors):.3f}",
                "skipped frames": self._skipped,
                "frame_ms_p50": f"{p50:.2f}", "frame_ms_p99": f"{p99:.2f}"}
