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

"""The monitor of a checkpoint in the node of its policy: topics, diagnostics, alarms."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Float32

from tinyvla_ros.core.types import Observation
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.monitor.interface import DONE_TOPIC, PROGRESS_TOPIC, SCORE_TOPIC, MonitorAction
from tinyvla_ros.monitor.monitor import UNFAMILIAR, Monitor, MonitorReading
from tinyvla_ros.nodes.policy.policy_warm_up import blank_observation
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.policy import Policy

QUIET = PublisherEventCallbacks(use_default_callbacks=False)


class PolicyMonitor:
    """Judges what the policy acted on, in a thread of its own, the newest first.

    Args:
        node: publishes.
        policy: what is watched.
        monitor: of its checkpoint.
        worker: the thread.
        holds: whether the arm is held from an alarm on, until ``release``.
    """

    def __init__(self, node: Node, policy: Policy, monitor: Monitor, worker: Worker, holds: bool):
        self._node, self._policy, self._monitor = node, policy, monitor
        self._worker, self._holds = worker, holds
        topics = {SCORE_TOPIC: lambda r: r.score, PROGRESS_TOPIC: lambda r: r.progress,
                  DONE_TOPIC: lambda r: r.done}
        # The first look is the slowest.
        monitor.look(policy.network_inputs(blank_observation(policy.config))[1], 1, "")
        # Quiet: who listens may ask for what was said before, too, and is told nothing of that.
        self._publishers = [
            (node.create_publisher(Float32, f"~/{name}", 10, event_callbacks=QUIET), value)
            for name, value in topics.items()]
        self._lock = threading.Lock()  # guards all that follows
        self._next: tuple[NetworkInputs, int, str] | None = None
        self._is_busy = self._is_closed = False
        # Of episodes; a reading of an earlier one counts no more.
        self._episode, self._judged = 1, 0
        self._reading: MonitorReading | None = None
        self._alarm, self._alarms, self._milliseconds = "", 0, 0.0
        # Somebody has let the policy go on; the next alarm holds it once the score was below 1.
        self._is_excused = False
        self._failure = ""

    @classmethod
    def of(cls, node: Node, policy: Policy, worker: Worker, action: MonitorAction, threads: int
           ) -> PolicyMonitor | None:
        """Return the monitor of a policy; None if it has none, or is not watched.

        Raises:
            CheckpointError: it cannot be used.
            InputError: there is none, and an alarm shall hold the arm.
        """
        if action == "off":
            return None
        monitor = Monitor.of(policy.checkpoint, threads, is_needed=action == "hold")
        return monitor and cls(node, policy, monitor, worker, action == "hold")

    def close(self) -> None:
        """Judge and publish no more."""
        with self._lock:
            self._is_closed, self._next = True, None
        self._worker.wait(10.0)
        for publisher, _ in self._publishers:
            self._node.destroy_publisher(publisher)

    def begin(self) -> None:
        """Something new begins; an alarm that holds the arm stays."""
        with self._lock:
            self._episode += 1
            self._reading = self._next = None

    def release(self) -> None:
        """Somebody lets the policy go on, or has taken over: an alarm counts no more."""
        self.begin()
        with self._lock:
            self._is_excused |= bool(self._holds and self._alarm)
            self._alarm = ""

    def look(self, observation: Observation, past: Sequence[Observation]) -> None:
        """Have an observation judged; returns at once."""
        if self._failure:
            return
        inputs = self._policy.network_inputs(observation, past=past)[1]
        with self._lock:
            self._next = inputs, observation.stamp_ns, observation.instruction
            if self._is_busy or self._is_closed:
                return
            self._is_busy = True
        self._worker.start(self._judge)

    def _judge(self) -> None:
        while True:
            with self._lock:
                if self._next is None:
                    self._is_busy = False
                    return
                looked_at, self._next, episode = self._next, None, self._episode
            begin_s = time.monotonic()
            try:
                reading = self._monitor.look(*looked_at, begins=episode != self._judged)
            except Exception as err:  # it must not end the policy
                with self._lock:
                    self._failure, self._is_busy = f"monitor: it failed ({err})", False
                self._node.get_logger().error(f"{self._failure}; the policy is not watched any "
                                              "more")
                return
            self._judged = episode
            with self._lock:
                if episode != self._episode or self._is_closed:
                    continue
                self._milliseconds = (time.monotonic() - begin_s) * 1e3
                self._take(reading)
            for publisher, value in self._publishers:
                publisher.publish(Float32(data=value(_trusted(reading))))

    def _take(self, reading: MonitorReading) -> None:
        before, self._reading = self._reading, reading
        if not reading.reason:
            self._is_excused = False
            self._alarm = self._alarm if self._holds else ""
            return
        if before is None or not before.reason:
            self._alarms += 1
            self._node.get_logger().warning(
                f"monitor: {reading.reason} (score {reading.score:.2f})")
        if not self._is_excused:
            self._alarm = f"monitor: {reading.reason}"

    @property
    def problem(self) -> str:
        """Why the policy may not move the arm; empty if it may."""
        if not self._holds:
            return ""
        if self._failure:
            return f"{self._failure}; set monitor to report to go on without it"
        alarm = self._alarm
        return alarm and f"{alarm}; call ~/enable to let it go on, or take over"

    @property
    def warning(self) -> str:
        """An alarm that holds nothing; empty if there is none."""
        return "" if self._holds else self._failure or self._alarm

    def describe(self) -> dict[str, str]:
        """Return what diagnostics tell."""
        values = {"monitor alarms": str(self._alarms), "monitor_ms": f"{self._milliseconds:.2f}"}
        if (reading := self._reading) is not None:
            reading = _trusted(reading)
            values |= {"monitor score": f"{reading.score:.2f}",
                       "progress": f"{reading.progress:.2f}", "done": f"{reading.done:.2f}"}
        return values


def _trusted(reading: MonitorReading) -> MonitorReading:
    """Return a reading whose progress is not a number where nobody can know it."""
    if reading.reason != UNFAMILIAR:
        return reading
    return replace(reading, progress=math.nan, done=math.nan)
