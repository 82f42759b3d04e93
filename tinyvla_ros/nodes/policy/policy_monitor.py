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

from collections.abc import Sequence

from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Float32

from tinyvla_ros.core.types import Observation
from tinyvla_ros.monitor.interface import DONE_TOPIC, PROGRESS_TOPIC, SCORE_TOPIC
from tinyvla_ros.monitor.monitor import Monitor, MonitorReading
from tinyvla_ros.policy.policy import Policy

QUIET = PublisherEventCallbacks(use_default_callbacks=False)


class PolicyMonitor:
    """Judges every observation that the policy acted on, after its chunk is on its way.

    Args:
        node: publishes.
        policy: what is watched.
        monitor: of its checkpoint.
        holds: whether the arm is held from an alarm on, until ``reset``.
    """

    def __init__(self, node: Node, policy: Policy, monitor: Monitor, holds: bool):
        self._node, self._policy, self._monitor, self._holds = node, policy, monitor, holds
        topics = {SCORE_TOPIC: lambda r: r.score}
        if monitor.calibration.heads:
            topics |= {PROGRESS_TOPIC: lambda r: r.progress, DONE_TOPIC: lambda r: r.done}
        # Quiet: who listens may ask for what was said before, too, and is told nothing of that.
        self._publishers = [
            (node.create_publisher(Float32, f"~/{name}", 10, event_callbacks=QUIET), value)
            for name, value in topics.items()]
        self._reading: MonitorReading | None = None
        self._alarm, self._alarms = "", 0

    def close(self) -> None:
        """Publish no more."""
        for publisher, _ in self._publishers:
            self._node.destroy_publisher(publisher)

    def reset(self) -> None:
        """Something new begins; an alarm counts no more."""
        self._monitor.reset()
        self._alarm, self._reading = "", None

    def look(self, observation: Observation, past: Sequence[Observation]) -> None:
        """Judge an observation; called by the inference thread."""
        inputs = self._policy.network_inputs(observation, past=past)[1]
        reading = self._monitor.look(inputs, observation.stamp_ns, observation.instruction)
        before, self._reading = self._reading, reading
        for publisher, value in self._publishers:
            publisher.publish(Float32(data=value(reading)))
        if not reading.reason:
            self._alarm = "" if not self._holds else self._alarm
            return
        self._alarm = f"monitor: {reading.reason}"
        if before is None or not before.reason:
            self._alarms += 1
            self._node.get_logger().warning(f"{self._alarm} (score {reading.score:.2f})")

    @property
    def problem(self) -> str:
        """Why the policy may not move the arm; empty if it may."""
        return f"{self._alarm}; call ~/enable to let it go on, or take over" \
            if self._holds and self._alarm else ""

    @property
    def warning(self) -> str:
        """An alarm that holds nothing; empty if there is none."""
        return "" if self._holds else self._alarm

    def describe(self) -> dict[str, str]:
        """Return what diagnostics tell."""
        values = {"monitor alarms": str(self._alarms)}
        if (reading := self._reading) is not None:
            values["monitor score"] = f"{reading.score:.2f}"
            if reading.progress is not None:
                values |= {"progress": f"{reading.progress:.2f}", "done": f"{reading.done:.2f}"}
        return values
