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
from tinyvla_ros.nodes.policy.policy_loop import PolicyLoop

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


class SteppedClock:
    """Simulated time that stands still until somebody moves it."""

    ros_time_is_active = True

    def __init__(self):
        self.ns = chunk().stamp_ns

    def now(self):
        return SimpleNamespace(nanoseconds=self.ns)


class LockStep:
    """Lets simulated time go on at once when it gets a plan, by more than a chunk can wait."""

    is_streamed = False

    def __init__(self, clock: SteppedClock):
        self._clock, self.plans = clock, []

    def send(self, plan) -> None:
        self.plans.append(plan)
        self._clock.ns += round(6 * DT * 1e9)

    def tick(self, plan, now_ns: int) -> None:
        pass

    flush = problem = lambda self: ""


def make_inputs(latest=lambda: None) -> SimpleNamespace:
    return SimpleNamespace(
        changed=threading.Condition(), latest=latest, past=lambda stamp_ns: [],
        arrival=lambda stamp_ns: None, number=lambda stamp_ns: 0,
        times_asked=lambda stamp_ns: 1, problem=lambda *times: "",
        pop_clock_reset=lambda: False, newest_state=lambda: STILL)


def make_loop(supervisor, output, clock, inputs, infer=None, **more) -> PolicyLoop:
    contract = SimpleNamespace(execution=SimpleNamespace(replan_every=0, max_duration=1.0),
                               stamps=SimpleNamespace(max_age=0.0), outputs=())
    action = SimpleNamespace(dt=DT, channels=CHANNELS)
    policy = SimpleNamespace(config=SimpleNamespace(action=action), infer=infer)
    return PolicyLoop(policy, contract, inputs, [output], supervisor, clock,
                      (Worker("inference"), Worker("control")), lambda: None, print,
                      lambda *chunk: None, lambda: "", **more)


def test_time_that_goes_on_with_a_command_is_no_latency_to_choose_a_pace_by():
    # A thread that loses the processor after it has published finds the clock of the next step.
    supervisor, clock = make(active=False), SteppedClock()
    output = LockStep(clock)
    inputs = make_inputs(lambda: SimpleNamespace(stamp_ns=clock.ns, instruction="do it"))
    loop = make_loop(supervisor, output, clock, inputs, lambda observation, *_: chunk(
        (observation.stamp_ns - chunk().stamp_ns) / 1e6))
    loop.start(enabled=True)
    deadline = time.monotonic() + 20.0
    while len(output.plans) < 8:
        assert time.monotonic() < deadline, supervisor.reason
        time.sleep(0.005)
    loop.stop()
    assert loop.failure is None
    assert loop.latencies.expected() == 0.0
    assert supervisor.pacing.pace == 1.0


def test_rows_that_brake_a_streamed_output_are_sent_before_the_loop_ends():
    supervisor, output = make(active=False), StreamedOutput()
    clock = Clock()
    loop = make_loop(supervisor, output, clock, make_inputs())
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


def test_commands_are_announced_before_the_first_and_until_the_last_has_been_executed():
    events = []

    class Output(StreamedOutput):
        def tick(self, plan, now_ns: int) -> None:
            super().tick(plan, now_ns)
            if plan.values(now_ns) is not None and events[-1] != "row":
                events.append("row")

        def send(self, plan) -> None:
            events.append("plan" if plan.chunk is not None else "rest")
    supervisor, clock = make(active=False), Clock()
    begun = clock.now().nanoseconds
    sent = [chunk((begun - chunk().stamp_ns) / 1e6, turn=0.5, rows=1000)]
    inputs = make_inputs(lambda: SimpleNamespace(stamp_ns=begun, instruction="do it"))
    loop = make_loop(supervisor, Output(), clock, inputs, lambda *_: sent[0],
                     on_commander=events.append)
    loop.start(enabled=True)
    deadline = time.monotonic() + 20.0
    while "row" not in events:
        assert time.monotonic() < deadline, supervisor.reason
        time.sleep(DT)
    loop.enable(False)
    while "" not in events:
        assert time.monotonic() < deadline, "the end was never announced"
        time.sleep(DT)
    loop.stop()
    assert [e for e in events if e != "row"] == ["policy", "plan", "rest", ""]
    assert events[-2:] == ["row", ""], "the rows that brake are the policy's too"
