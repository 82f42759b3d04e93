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

"""States, latencies and events out of ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Callable

from tinyvla_ros.core.ros.event_counters import event_counts, new_events
from tinyvla_ros.view.viewer import LATENCY, Level, Viewer

# How the status of a node that drives an arm ends.
_POLICY = ": policy"
_LATENCIES = ("_ms_p50", "_ms_p99")


class Statuses:
    """Tells a viewer what statuses say, once for every change.

    Args:
        viewer: is told.
        namespace: of the robot, without slashes around; statuses of others are passed over.
        on_value: called with a group and its names before values of it come.
    """

    def __init__(self, viewer: Viewer, namespace: str,
                 on_values: Callable[[str, list[str]], None]):
        self._viewer, self._on_values = viewer, on_values
        self._prefix = f"{namespace}/" if namespace else ""
        self._said: dict[str, tuple[int, str]] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, msg, at_ns: int) -> None:
        """Take a diagnostic_msgs/DiagnosticArray."""
        for status in msg.status:
            if status.name.startswith(self._prefix):
                self._add(status, at_ns)

    def _add(self, status, at_ns: int) -> None:
        values = {v.key: v.value for v in status.values}
        name = status.name.removeprefix(self._prefix)
        # rclpy has a byte as bytes of length one.
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        if self._said.get(name) != (level, status.message):
            self._said[name] = level, status.message
            self._viewer.event(at_ns, Level(min(level, Level.ERROR)), name, status.message)
        if not name.endswith(_POLICY):
            return
        node = name.removesuffix(_POLICY).rpartition("/")[2]
        label = "policy" if node == "policy_node" else node
        self._viewer.state(at_ns, label, values.get("state") or status.message)
        counts = event_counts(values)
        for kind, what, times in new_events(self._counts.get(name), counts):
            self._viewer.event(at_ns, Level.WARN, name, f"{kind}: {what}"
                               + (f" ({times} times)" if times > 1 else ""))
        self._counts[name] = counts
        latencies = {k.replace("_ms_", " "): number for k, v in values.items()
                     if k.endswith(_LATENCIES) and (number := _number(v)) is not None}
        if latencies:
            self._on_values(LATENCY, list(latencies))
            self._viewer.values(at_ns, LATENCY, latencies)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
