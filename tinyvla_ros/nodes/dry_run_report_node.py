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

"""Print what happens in a dry run: a line every two seconds, a summary at the end."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from pydantic import Field
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.dry_run.summary import DryRunSummary
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import run_node

PERIOD_S = 2.0


class DryRunReportParameters(RunMember):
    """Parameters of ``dry_run_report_node``."""

    seconds: float = Field(0.0, ge=0.0, le=1e6, description="End so long after the "
                           "policy's first status; 0 to run until interrupted.")


class DryRunReportNode(Node):
    """Reads ``/diagnostics``; ends with 0 if the arm followed the policy, otherwise with 1."""

    def __init__(self):
        super().__init__("dry_run_report_node")
        self.exit_code: int | None = None
        parameters = declare_parameters(self, DryRunReportParameters)
        self._seconds = parameters.seconds
        self._guard = RunGuard(self, parameters.run, "/diagnostics")
        self._end_timer = None
        self._summary = DryRunSummary(time.monotonic(), self.get_namespace())
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(PERIOD_S, lambda: _print(self._summary.line(time.monotonic())),
                          clock=self._steady)

    def close(self) -> None:
        """Print the summary."""
        self._guard.release()
        _print(self._summary.table(time.monotonic()))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self._summary.add(status.name, status.message,
                             {v.key: v.value for v in status.values}, time.monotonic())
            if self._summary.has_policy and self._seconds and self._end_timer is None:
                # The time to load the policy does not count.
                self._end_timer = self.create_timer(self._seconds, self._end, clock=self._steady)

    def _end(self) -> None:
        problem = self._summary.problem()
        if problem:
            _print(f"error: {problem}")
        self.exit_code = 1 if problem else 0


def _print(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Run the node; see ``tinyvla dry-run``."""
    return run_node(DryRunReportNode)
