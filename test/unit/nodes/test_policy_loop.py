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

"""The control thread of a policy node, with an arm that keeps what it is sent."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from harness.supervised import CHANNELS, DT, STILL, chunk, make
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.policy_loop import PolicyLoop

TURN = CHANNELS.index("turn")


class Clock:
    """ROS time from when the tests' chunks begin, as fast as real time."""

    ros_time_is_active = False

    def __init__(self):
        self._offset_ns = chunk().stamp_ns - time.monotonic_ns()

    def now(self):
        return SimpleNamespace(nanoseconds=time.monotonic_ns() + self._offset_ns)


class StreamedOutput:
    """Keeps the row of every control period, as outputs of type twist send them."""

    is_streamed = True

    def __init__(self):
        self.rows: list[np.ndarray] = []

    def send(self, plan) -> None:
        pass

    def tick(self, plan, now_ns: int) -> None:
        values = plan.values(now_ns)
        if values is not None:
            self.rows.append(values)

    def flush(self) -> None:
        pass

    def problem(self) -> str:
        return ""


def test_rows_that_brake_a_streamed_output_are_sent_before_the_loop_ends():
    supervisor, output = make(active=False), StreamedOutput()
    inputs = SimpleNamespace(changed=threading.Condition(), latest=lambda: None,
                             problem=lambda *_: "", pop_clock_reset=lambda: False,
                             newest_state=lambda: STILL)
    contract = SimpleNamespace(execution=SimpleNamespace(replan_every=0, max_duration=1.0),
                               stamps=SimpleNamespace(max_age=0.0), outputs=())
    action = SimpleNamespace(dt=DT, channels=CHANNELS)
    policy = SimpleNamespace(config=SimpleNamespace(action=action))
    clock = Clock()
    loop = PolicyLoop(policy, contract, inputs, [output], supervisor, clock,
                      (Worker("inference"), Worker("control")), lambda: None, print, print,
                      lambda: "")
    loop.start(enabled=True)
    plan = supervisor.accept(chunk(turn=0.5, rows=1000), "do it", STILL, clock.now().nanoseconds)
    assert plan is not None
    deadline = time.monotonic() + 10.0
    while not any(row[TURN] > 0.4 for row in list(output.rows)):
        assert time.monotonic() < deadline, "it never turned"
        time.sleep(DT)
    loop.stop()
    assert len(supervisor.plan.commands) > 2, "it takes several rows to stop"
    assert output.rows[-1][TURN] == 0.0
