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

"""The two threads of an active policy node: one infers, one controls the arm.

The control thread runs every 5 to 20 ms on a steady clock, however long inference and callbacks
take. It judges the inputs, blends and checks chunks, and alone commands the arm.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rclpy.clock import Clock

from tinyvla_ros.arm.contract import LONGEST_BRAKE_S, RobotContract
from tinyvla_ros.arm.following import Following
from tinyvla_ros.arm.observation.liveness import ClockSteps
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.outputs import OutputPublisher
from tinyvla_ros.nodes.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.stage_latencies import StageLatencies
from tinyvla_ros.policy.policy import Policy

# Bounds of the control thread's period, s.
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.005, 0.02
# What an error of the inference thread is reported under, in place of a topic.
INFERENCE = "inference"


@dataclass(frozen=True)
class _ReadyChunk:
    """A chunk for the control thread; times are steady seconds."""

    chunk: ActionChunk
    instruction: str
    arrived: float
    started: float
    finished: float


class PolicyLoop:
    """Runs a policy on an arm between ``start`` and ``stop``.

    Attributes:
        failure: the exception that ended one of the threads; None if there was none.
        unused: images that led to no plan, by reason; images = plans + unused.
        latencies: of every stage from the stamp of an image to the command.
        following: whether the arm follows its commands.

    Args:
        supervisor: decides; other threads use it only through this class.
        workers: the threads to infer and to control in.
        on_state: called in the control thread when state or reason changed.
        report: called with a topic and an error that is not fatal.
        on_chunk: called in the inference thread with every chunk of the policy, whose period is
            that of its rows at the pace it is executed at, its instruction, and what it was to
            continue.
        run_problem: returns why the run may not act yet, empty if it may.
        extra_latency: seconds added to every inference, for experiments.
        on_commands: called with True before the first command and False after the last one has
            been executed, whenever that changes.
    """

    def __init__(self, policy: Policy, contract: RobotContract, inputs: PolicyInputs,
                 outputs: Sequence[OutputPublisher], supervisor: Supervisor, clock: Clock,
                 workers: tuple[Worker, Worker], on_state: Callable[[], None],
                 report: Callable[[str, InputError], None],
                 on_chunk: Callable[[ActionChunk, str, Prefix | None], None],
                 run_problem: Callable[[], str], extra_latency: float = 0.0,
                 on_commands: Callable[[bool], None] = lambda commands: None):
        self._policy, self._contract, self._inputs = policy, contract, inputs
        self._outputs, self._supervisor, self._clock = outputs, supervisor, clock
        self._on_state, self._report, self._on_chunk = on_state, report, on_chunk
        self._run_problem, self._extra_latency = run_problem, extra_latency
        self._on_commands, self._commands = on_commands, False
        self._ros_time = clock.ros_time_is_active
        self.following = Following(contract, policy.config.action.channels)
        dt = policy.config.action.dt
        self._period = min(max(dt, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
        self._replan_ns = round(contract.execution.replan_every * dt * 1e9)
        self._lock = threading.RLock()  # guards the supervisor and the outputs
        self._wake = threading.Condition()
        self._ready: _ReadyChunk | None = None
        self._is_woken = False  # the control thread must not wait for the end of its period
        self._inferred: tuple[int, str] | None = None  # stamp and instruction of the last one
        self._inferring: tuple[float, float] | None = None  # since when, and its extra latency
        self._problem = ""  # why the arm must not move, from the last control period
        self._clock_steps = ClockSteps()
        self._last = (0.0, 0)  # steady seconds and ROS time of the last control period
        # State, reason and who does not follow, from the last control period.
        self._state: tuple[str, str, str] | None = None
        self._closing = False
        self._workers = workers
        self.failure: BaseException | None = None
        self.unused: Counter[str] = Counter()
        self._last_image = 0  # number of the first camera's image that was used last
        self._refused_stamp: int | None = None  # of the image whose chunk met a problem
        self.latencies = StageLatencies()

    def start(self, enabled: bool) -> None:
        """Start both threads, enabled or not."""
        self._supervisor.activate(enabled)
        self._closing, self._inferred, self._ready = False, None, None
        self._problem, self._clock_steps = "", ClockSteps()
        self.following.reset()
        self._workers[0].start(self._infer_forever)
        self._workers[1].start(self._control_forever)

    def stop(self) -> None:
        """Bring the arm to rest, then end both threads."""
        with self._lock:
            self._apply(self._supervisor.deactivate(self._now_ns()))
            plan, now_ns = self._supervisor.plan, self._now_ns()
        if plan is not None and any(output.is_streamed for output in self._outputs):
            # The control thread still has to publish the rows that brake the arm.
            time.sleep(min(max((plan.end_ns - now_ns) / 1e9, 0.0), LONGEST_BRAKE_S))
        with self._lock:
            for output in self._outputs:
                output.flush()
            self._closing = True
            self._set_commands(False)
        for condition in (self._wake, self._inputs.changed):
            with condition:
                condition.notify_all()
        for worker in self._workers:
            worker.wait(timeout=10.0)

    def enable(self, enabled: bool) -> None:
        """Enable or disable the arm."""
        with self._lock:
            self._apply(self._supervisor.enable(enabled, self._now_ns()))
        with self._inputs.changed:
            self._inferred = None
            self._inputs.changed.notify_all()

    def replan(self) -> None:
        """Judge the inputs and infer again now: more than an observation has changed."""
        with self._inputs.changed:
            self._inferred = None
            self._inputs.changed.notify_all()
        with self._wake:
            self._is_woken = True
            self._wake.notify()

    def emergency_stop(self, reason: str) -> None:
        """Hold the arm until ``reset``."""
        with self._lock:
            self._apply(self._supervisor.stop(reason, self._now_ns()))

    def reset(self) -> None:
        """Release a stop and forget observations."""
        with self._lock:
            self._apply(self._supervisor.reset(self._now_ns()))
        with self._inputs.changed:
            self._inputs.clear()
            self._policy.reset()
            self._inferred = None

    def set_extra_latency(self, seconds: float) -> None:
        """Set what the next inference takes longer."""
        self._extra_latency = seconds

    # ---- inference ------------------------------------------------------------------------

    def _infer_forever(self) -> None:
        while not self._closing:
            with self._inputs.changed:
                while not self._closing and (observation := self._next_observation()) is None:
                    # Some conditions change without a message: the state, replan_every.
                    self._inputs.changed.wait(0.05)
                if self._closing:
                    return
                self._inferred = (observation.stamp_ns, observation.instruction)
                self._count_unused(observation.stamp_ns)
            try:
                self._infer(observation)
            except InputError as err:
                self.unused["not inferred"] += 1
                self._report(INFERENCE, err)
            except Exception as err:  # a broken device must stop the arm, not only this thread
                if not self._closing:
                    self.failure = err
                    self.emergency_stop(f"inference failed: {err!r}")
                return

    def _count_unused(self, stamp_ns: int) -> None:
        """Count the images that were passed over for the one with this stamp."""
        # An older image may be used last, while newer ones lack those of the other cameras.
        number = self._inputs.number(stamp_ns)
        self.unused["newer one taken"] += max(0, number - self._last_image - 1)
        self._last_image = max(self._last_image, number)
        if self._refused_stamp not in (None, stamp_ns):
            self.unused["inputs failed meanwhile"] += 1
        self._refused_stamp = None

    def _next_observation(self) -> Observation | None:
        """Return the newest observation if it is new and its chunk could be executed."""
        if not self._supervisor.may_infer or self._ready is not None or self._problem:
            return None  # while the arm is held, inference would only cost CPU time
        observation = self._inputs.latest()
        if observation is None:
            return None
        if self._inferred is not None and observation.instruction == self._inferred[1]:
            since = observation.stamp_ns - self._inferred[0]
            if since == 0 or (0 < since < self._replan_ns
                              and self._supervisor.state == "running"):
                return None
        return observation

    def _infer(self, observation: Observation) -> None:
        started = time.monotonic()
        arrived = self._inputs.arrival(observation.stamp_ns) or started
        self._check_age(observation)
        expected = self.latencies.expected()
        if expected is None:
            expected = self._period
        with self._lock:
            prefix = self._supervisor.prefix(observation.stamp_ns,
                                             observation.stamp_ns + round(expected * 1e9))
        extra_latency = self._extra_latency
        self._inferring = (started, extra_latency)
        try:
            chunk = self._policy.infer(observation, prefix,
                                       self._inputs.past(observation.stamp_ns))
            if extra_latency:
                time.sleep(extra_latency)
        finally:
            self._inferring = None
        executed = self._supervisor.paced(chunk)
        with self._wake:
            self._ready = _ReadyChunk(executed, observation.instruction, arrived, started,
                                      time.monotonic())
            self._wake.notify()
        played = replace(chunk, dt=chunk.dt / self._supervisor.pacing.pace)
        self._on_chunk(played, observation.instruction, prefix)

    def _check_age(self, observation: Observation) -> None:
        limit = self._contract.stamps.max_age
        age = (self._now_ns() - observation.stamp_ns) / 1e9
        if limit and age > limit:
            raise MessageError(f"The newest observation is {age:.3f} s old; at most {limit:g} s "
                               "is used, check the clocks and the cameras.")

    # ---- control --------------------------------------------------------------------------

    def _control_forever(self) -> None:
        while not self._closing:
            with self._wake:
                if self._ready is None and not self._is_woken:
                    self._wake.wait(self._period)
                self._is_woken = False
            try:
                self._control()
            except Exception as err:  # nothing else would hold the arm
                if self._closing:
                    return
                self.failure = err
                self.emergency_stop(f"the control thread failed: {err!r}")
                self._on_state()
                return

    def _control(self) -> None:
        with self._lock:
            if self._closing:
                return
            now_s, now_ns = time.monotonic(), self._now_ns()
            step, moment_ns = self._clock_step(now_s, now_ns)
            if step:
                self._apply(self._supervisor.tick(moment_ns, step))
                self._supervisor.forget()
                self.following.reset()
                self._inputs.clear()
            before, problem = self._problem, self._find_problem(now_s, now_ns)
            self._problem = problem
            self.following.add(now_ns, self._supervisor.plan, self._inputs.newest_state())
            self._apply(self._supervisor.tick(now_ns, problem))
            with self._wake:
                ready, self._ready = self._ready, None
            if ready is not None:
                if problem:
                    # The observation is used again if it is still the newest afterwards.
                    self._inferred, self._refused_stamp = None, ready.chunk.stamp_ns
                else:
                    self._accept(ready, now_ns)
            if self._supervisor.plan is not None:
                for output in self._outputs:
                    output.tick(self._supervisor.plan, now_ns)
            plan = self._supervisor.plan
            self._set_commands(plan is not None and now_ns < plan.end_ns)
            state = (self._supervisor.state, self._supervisor.reason, self.following.stuck)
        if ready is not None or (before and not problem):
            with self._inputs.changed:
                self._inputs.changed.notify_all()
        if state != self._state:
            self._state = state
            self._on_state()

    def _accept(self, ready: _ReadyChunk, now_ns: int) -> None:
        plan = self._supervisor.accept(ready.chunk, ready.instruction,
                                       self._inputs.newest_state(), now_ns)
        ended_ns = self._now_ns()
        self._apply(plan)
        now_s = time.monotonic()
        if plan is None or plan.chunk is None:
            self.unused["chunk refused"] += 1
            return
        # Simulated time goes on once the command is there, in lock-step by what it lasts: that is
        # no latency of this node, by which it would choose a pace.
        if not self._ros_time:
            ended_ns = self._now_ns()
        total = max(0.0, (ended_ns - ready.chunk.stamp_ns) / 1e9)
        self.latencies.add((
            total - (now_s - ready.arrived), ready.started - ready.arrived,
            ready.finished - ready.started, now_s - ready.finished, total))

    def _apply(self, plan: Plan | None) -> None:
        if plan is not None:
            self._set_commands(True)
            for output in self._outputs:
                output.send(plan)

    def _set_commands(self, commands: bool) -> None:
        if commands != self._commands:
            self._commands = commands
            self._on_commands(commands)

    def _find_problem(self, now_s: float, now_ns: int) -> str:
        """Return why the arm must not move, empty if it may."""
        if self._ros_time and now_ns == 0:
            return "waiting for /clock"
        if problem := self._run_problem():
            return problem
        if problem := self._inputs.problem(now_s, now_ns):
            return problem
        if inferring := self._inferring:
            since, extra_latency = inferring
            limit = self._contract.execution.max_duration + extra_latency
            if now_s - since > limit:
                return f"inference is slow: it has taken more than {limit:g} s"
        return next(filter(None, (o.problem() for o in self._outputs)), "")

    def _clock_step(self, now_s: float, now_ns: int) -> tuple[str, int]:
        """Return how a clock jumped, empty if none did, and the time of the plan, ns."""
        (last_s, last_ns), self._last = self._last, (now_s, now_ns)
        if self._ros_time != self._clock.ros_time_is_active:
            # The parameter use_sim_time of this node. Controllers go on with the clock before.
            self._ros_time = not self._ros_time
            passed_ns = round((now_s - last_s) * 1e9) if self._ros_time else 0
            return f"use_sim_time is now {str(self._ros_time).lower()}", last_ns + passed_ns
        if self._inputs.pop_clock_reset():
            return "the clock of the stamps was set back", now_ns
        # A simulation may pause and jump.
        return "" if self._ros_time else self._clock_steps.step(now_s, now_ns), now_ns

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds
