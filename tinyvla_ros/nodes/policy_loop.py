# SPDX-License-Identifier: Apache-2.0
"""The two threads of an active policy node: one infers, one looks after the arm.

The second runs at the control rate on a steady clock, whatever the first and the executor do:
it judges the inputs, joins and checks chunks, and is the only one that commands the arm.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rclpy.clock import Clock

from tinyvla_ros.arm.clock_steps import ClockSteps
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.types import ActionChunk, Observation
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.outputs import OutputPublisher
from tinyvla_ros.nodes.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.stage_latencies import StageLatencies
from tinyvla_ros.policy.policy import Policy

# Bounds of the control thread's period, s.
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.005, 0.02


@dataclass(frozen=True)
class _Ready:
    """A chunk on its way from one thread to the other; times are steady seconds."""

    chunk: ActionChunk
    instruction: str
    arrived: float
    started: float
    finished: float


class PolicyLoop:
    """Runs a policy on an arm between ``start`` and ``stop``.

    Attributes:
        failure: the exception that ended inference for good, None if there was none.
        missed: pictures of which no plan came, by reason; together with the plans they are all.
        latencies: from the picture's stamp to the command.

    Args:
        policy: infers.
        contract: the robot's.
        inputs: observations and their health.
        outputs: where plans go.
        supervisor: decides; used by other threads only through this class.
        clock: the node's.
        workers: the threads to infer and to control in.
        on_state: called in the control thread when state or reason have changed.
        report: called with a topic and an error that did not end anything.
        on_chunk: called in the inference thread with what the policy said and what it was told.
        extra_latency: seconds added to every inference, for experiments.
    """

    def __init__(self, policy: Policy, contract: RobotContract, inputs: PolicyInputs,
                 outputs: Sequence[OutputPublisher], supervisor: Supervisor, clock: Clock,
                 workers: tuple[Worker, Worker], on_state: Callable[[], None],
                 report: Callable[[str, InputError], None],
                 on_chunk: Callable[[ActionChunk, str], None], extra_latency: float = 0.0):
        self._policy, self._contract, self._inputs = policy, contract, inputs
        self._outputs, self._supervisor, self._clock = outputs, supervisor, clock
        self._on_state, self._report, self._on_chunk = on_state, report, on_chunk
        self._extra_latency = extra_latency
        self._ros_time = clock.ros_time_is_active
        dt = policy.config.action.dt
        self._period = min(max(dt, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
        self._replan_ns = round(contract.execution.replan_every * dt * 1e9)
        self._lock = threading.RLock()  # the supervisor's and the outputs'
        self._wake = threading.Condition()
        self._ready: _Ready | None = None
        self._done: tuple[int, str] | None = None  # stamp and instruction last acted on
        self._inferring_since: float | None = None
        self._held_by = ""  # why the arm must not move, as the control thread saw it last
        self._steps = ClockSteps()
        self._said: tuple[str, str] | None = None
        self._closing = False
        self._workers = workers
        self.failure: BaseException | None = None
        self.missed: Counter[str] = Counter()
        self._pictures = 0  # of the first camera, up to the one acted on last
        self._dropped: int | None = None  # stamp of a picture whose chunk was not used
        self.latencies = StageLatencies()

    def start(self, enabled: bool) -> None:
        """Start both threads; the operator's switch as given."""
        self._supervisor.activate(enabled)
        self._closing, self._done, self._ready, self._steps = False, None, None, ClockSteps()
        self._held_by = ""
        for worker, work in zip(self._workers, (self._infer_forever, self._control_forever),
                                strict=True):
            worker.start(work)

    def stop(self) -> None:
        """Bring the arm to rest, then end both threads."""
        with self._lock:
            self._apply(self._supervisor.deactivate(self._now_ns()))
            for output in self._outputs:
                output.flush()
        self._closing = True
        for condition in (self._wake, self._inputs.changed):
            with condition:
                condition.notify_all()
        for worker in self._workers:
            worker.wait(timeout=10.0)

    def enable(self, enabled: bool) -> None:
        """Turn the operator's switch."""
        with self._lock:
            self._apply(self._supervisor.enable(enabled, self._now_ns()))
        with self._inputs.changed:
            self._done = None
            self._inputs.changed.notify_all()

    def emergency_stop(self, reason: str) -> None:
        """Hold until ``reset``."""
        with self._lock:
            self._apply(self._supervisor.stop(reason, self._now_ns()))

    def reset(self) -> None:
        """Release a stop and forget observations."""
        with self._lock:
            self._apply(self._supervisor.reset(self._now_ns()))
        with self._inputs.changed:
            self._inputs.clear()
            self._policy.reset()
            self._done = None

    # ---- inference ------------------------------------------------------------------------

    def _infer_forever(self) -> None:
        while not self._closing:
            with self._inputs.changed:
                observation = self._next_observation()
                while observation is None and not self._closing:
                    # The time-out is for what changes without a message: states, replan_every.
                    self._inputs.changed.wait(0.05)
                    observation = self._next_observation()
                if self._closing:
                    return
                self._done = (observation.stamp_ns, observation.instruction)
                # Newer pictures may be there already, of which other cameras lack theirs.
                number, seen = self._inputs.number(observation.stamp_ns), self._pictures
                self.missed["newer one taken"] += max(0, number - seen - 1)
                self._pictures = max(seen, number)
                if self._dropped not in (None, observation.stamp_ns):
                    self.missed["inputs failed meanwhile"] += 1
                self._dropped = None
            try:
                self._infer(observation)
            except InputError as err:
                self.missed["not inferred"] += 1
                self._report("inference", err)
            except Exception as err:  # a broken device must not leave a silent node
                if not self._closing:
                    self.failure = err
                    self.emergency_stop(f"inference failed: {err!r}")
                return

    def _next_observation(self) -> Observation | None:
        """Return the newest observation not acted on yet, if it may be acted on."""
        if not self._supervisor.may_infer or self._ready is not None or self._held_by:
            return None  # inferring for nothing, again and again, would heat a held robot's CPU
        observation = self._inputs.latest()
        if observation is None:
            return None
        if self._done is not None and observation.instruction == self._done[1]:
            since = observation.stamp_ns - self._done[0]
            if since == 0 or (0 < since < self._replan_ns
                              and self._supervisor.state == "running"):
                return None
        return observation

    def _infer(self, observation: Observation) -> None:
        started = time.monotonic()
        arrived = self._inputs.arrival(observation.stamp_ns) or started
        self._check_age(observation)
        expected = self.latencies.expected() or self._period
        with self._lock:
            prefix = self._supervisor.prefix(observation.stamp_ns,
                                             observation.stamp_ns + round(expected * 1e9))
        self._inferring_since = started
        try:
            chunk = self._policy.infer(observation, prefix,
                                       self._inputs.past(observation.stamp_ns))
            if self._extra_latency:
                time.sleep(self._extra_latency)
        finally:
            self._inferring_since = None
        with self._wake:
            self._ready = _Ready(chunk, observation.instruction, arrived, started,
                                 time.monotonic())
            self._wake.notify()
        self._on_chunk(chunk, observation.instruction)

    def _check_age(self, observation: Observation) -> None:
        limit = self._contract.stamps.max_age
        age = (self._now_ns() - observation.stamp_ns) / 1e9
        if limit and age > limit:
            raise MessageError(f"The newest observation is {age:.3f} s old; at most {limit:g} s "
                               "is acted on, check the clocks and the cameras.")

    # ---- control --------------------------------------------------------------------------

    def _control_forever(self) -> None:
        while not self._closing:
            with self._wake:
                if self._ready is None:
                    self._wake.wait(self._period)
            try:
                self._control()
            except Exception as err:  # the arm must not be left with nobody looking after it
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
            step = self._clock_step(now_s, now_ns)
            if step:
                self._apply(self._supervisor.tick(now_ns, step))
                self._supervisor.forget()
                self._inputs.clear()
            before, problem = self._held_by, self._problem(now_s, now_ns)
            self._held_by = problem
            self._apply(self._supervisor.tick(now_ns, problem))
            with self._wake:
                ready, self._ready = self._ready, None
            if ready is not None:
                if problem:
                    # May be acted on once the problem is gone.
                    self._done, self._dropped = None, ready.chunk.stamp_ns
                else:
                    self._accept(ready, now_ns)
            if self._supervisor.plan is not None:
                for output in self._outputs:
                    output.tick(self._supervisor.plan, now_ns)
            said = (self._supervisor.state, self._supervisor.reason)
        if ready is not None or (before and not problem):
            with self._inputs.changed:
                self._inputs.changed.notify_all()
        if said != self._said:
            self._said = said
            self._on_state()

    def _accept(self, ready: _Ready, now_ns: int) -> None:
        plan = self._supervisor.accept(ready.chunk, ready.instruction,
                                       self._inputs.newest_state(), now_ns)
        self._apply(plan)
        if plan is None or plan.chunk is None:
            self.missed["chunk refused"] += 1
            return
        now_s = time.monotonic()
        total = max(0.0, (self._now_ns() - ready.chunk.stamp_ns) / 1e9)
        stages = (total - (now_s - ready.arrived), ready.started - ready.arrived,
                  ready.finished - ready.started, now_s - ready.finished, total)
        self.latencies.add(stages)

    def _apply(self, plan: Plan | None) -> None:
        if plan is not None:
            for output in self._outputs:
                output.send(plan)

    def _problem(self, now_s: float, now_ns: int) -> str:
        if self._ros_time and now_ns == 0:
            return "waiting for /clock"
        problem = self._inputs.problem(now_s, now_ns)
        if problem:
            return problem
        since = self._inferring_since
        limit = self._contract.execution.max_duration + self._extra_latency
        if since is not None and now_s - since > limit:
            return f"inference is slow: it has taken more than {limit:g} s"
        return next(filter(None, (o.problem() for o in self._outputs)), "")

    def _clock_step(self, now_s: float, now_ns: int) -> str:
        """Notice that time went back, or that the system's clock was set."""
        if self._inputs.pop_clock_reset():
            return "time went back: the stamps of a stream did"
        if self._ros_time:
            return ""  # simulations jump and stop as they like
        return self._steps.step(now_s, now_ns)

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds
