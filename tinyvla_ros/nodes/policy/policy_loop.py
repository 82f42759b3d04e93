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

"""The two threads of a policy on an arm: one infers, one controls.

The control thread runs every 5 to 20 ms on a steady clock, however long inference and callbacks
take. It judges the inputs, blends and checks chunks, and alone commands the arm. A person who may
take over has a third thread.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from rclpy.clock import Clock

from tinyvla_ros.arm.contract import LONGEST_BRAKE_S, RobotContract
from tinyvla_ros.arm.following import Following
from tinyvla_ros.arm.observation.liveness import ClockSteps
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import HUMAN, POLICY
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.policy.inference import Inference, ReadyChunk
from tinyvla_ros.nodes.policy.outputs import OutputPublisher
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.policy_monitor import PolicyMonitor
from tinyvla_ros.nodes.policy.stage_latencies import StageLatencies
from tinyvla_ros.policy.policy import Policy

# Bounds of the control thread's period, s.
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.005, 0.02


class Takeover(Protocol):
    """A person who may take the arm from the policy.

    Attributes:
        operator: makes the chunks of what the person does.
        inputs: that it is made of.
    """

    operator: Policy
    inputs: PolicyInputs

    @property
    def drives(self) -> bool:
        """Whether the person has the arm."""

    @property
    def problem(self) -> str:
        """Why what the person does may not move it, empty if it may."""

    def tick(self, now_s: float) -> None:
        """Look at what the person does now, steady seconds; called in every control period."""


class PolicyLoop:
    """Runs a policy on an arm between ``start`` and ``stop``.

    Attributes:
        failure: the exception that ended one of the threads; None if there was none.
        following: whether the arm follows its commands.

    Args:
        supervisor: decides; other threads use it only through this class.
        workers: the threads to infer and to control in, and one for a person who may take over.
        on_state: called in the control thread when state or reason changed.
        report: called with a topic and an error that is not fatal.
        on_chunk: called in the inference thread with every chunk of the policy, see ``Inference``.
        run_problem: returns why the run may not act yet, empty if it may.
        extra_latency: seconds added to every inference, for experiments.
        on_commander: called with who commands before the first command, and with an empty text
            after the last one has been executed, whenever that changes.
        commander: who commands where nobody takes over.
        takeover: a person who may; None if nobody may.
        monitor: watches the policy; None if nothing does.
    """

    def __init__(self, policy: Policy, contract: RobotContract, inputs: PolicyInputs,
                 outputs: Sequence[OutputPublisher], supervisor: Supervisor, clock: Clock,
                 workers: Sequence[Worker], on_state: Callable[[], None],
                 report: Callable[[str, InputError], None],
                 on_chunk: Callable[[ActionChunk, str, Prefix | None], None],
                 run_problem: Callable[[], str], extra_latency: float = 0.0,
                 on_commander: Callable[[str], None] = lambda name: None,
                 commander: str = POLICY, takeover: Takeover | None = None,
                 monitor: PolicyMonitor | None = None):
        self._contract, self._inputs = contract, inputs
        self._outputs, self._supervisor, self._clock = outputs, supervisor, clock
        self._on_state, self._run_problem = on_state, run_problem
        self._on_commander, self._main, self._commander = on_commander, commander, ""
        self._ros_time = clock.ros_time_is_active
        self.following = Following(contract, policy.config.action.channels)
        dt = policy.config.action.dt
        self._period = min(max(dt, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)
        self._lock = threading.RLock()  # guards the supervisor and the outputs
        self._wake = threading.Condition()
        self._is_woken = False  # the control thread must not wait for the end of its period
        self._problem = ""  # why the arm must not move, from the last control period
        self._clock_steps = ClockSteps()
        self._last = (0.0, 0)  # steady seconds and ROS time of the last control period
        # State, reason, who does not follow and who drives, from the last control period.
        self._state: tuple[str, str, str, str] | None = None
        self._closing = False
        self._control_worker = workers[1]
        self.failure: BaseException | None = None

        def inference(policy, inputs, worker, **more) -> Inference:
            return Inference(policy, inputs, contract, worker, supervisor, self._lock,
                             self._now_ns, on_ready=self.wake, on_failure=self._inference_failed,
                             report=report, **more)

        self._monitor = monitor
        self._policy = inference(policy, inputs, workers[0], is_blended=True, on_chunk=on_chunk,
                                 extra_latency=extra_latency, watch=monitor and self._watch)
        self._takeover = takeover
        self._person = takeover and inference(
            takeover.operator, takeover.inputs, workers[2], is_blended=False,
            on_chunk=lambda *chunk: None)
        self._inferences = [i for i in (self._policy, self._person) if i is not None]
        self._drove: Inference | None = None  # in the last control period

    @property
    def unused(self) -> Counter[str]:
        """Images that led to no plan of the policy, by reason; images = plans + unused."""
        return self._policy.unused

    @property
    def latencies(self) -> StageLatencies:
        """Latencies of every stage from the stamp of an image to the policy's command."""
        return self._policy.latencies

    @property
    def driver(self) -> str:
        """Who has the arm: the word of who commands, whether it moves or not."""
        return HUMAN if self._takeover is not None and self._takeover.drives else self._main

    def start(self, enabled: bool) -> None:
        """Start all threads, enabled or not."""
        self._supervisor.activate(enabled)
        if self._monitor is not None:
            self._monitor.release()
        self._closing = False
        self._problem, self._clock_steps = "", ClockSteps()
        self.following.reset()
        for inference in self._inferences:
            inference.start()
        self._control_worker.start(self._control_forever)

    def stop(self) -> None:
        """Bring the arm to rest, then end the threads."""
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
            self._set_commander("")
        for inference in self._inferences:
            inference.close()
        self.wake()
        for thread in (*self._inferences, self._control_worker):
            thread.wait(timeout=10.0)

    def enable(self, enabled: bool) -> None:
        """Enable or disable the arm."""
        if self._monitor is not None:
            self._monitor.release()
        with self._lock:
            self._apply(self._supervisor.enable(enabled, self._now_ns()))
        for inference in self._inferences:
            inference.again()

    def replan(self) -> None:
        """Judge the inputs and infer again now: more than an observation has changed."""
        (self._person or self._policy).again()
        self.wake()

    def wake(self) -> None:
        """Begin the next control period now."""
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
        if self._monitor is not None:  # resetting alone lets nothing go on
            self._monitor.begin()
        for inference in self._inferences:
            inference.reset()

    def set_extra_latency(self, seconds: float) -> None:
        """Set what the next inference of the policy takes longer."""
        self._policy.extra_latency = seconds

    def _watch(self, observation: Observation, past: Sequence[Observation]) -> None:
        if self.driver != HUMAN:
            self._monitor.look(observation, past)

    def _inference_failed(self, err: BaseException) -> None:
        if not self._closing:
            self.failure = err
            self.emergency_stop(f"inference failed: {err!r}")

    # ---- control --------------------------------------------------------------------------

    def _control_forever(self) -> None:
        while not self._closing:
            with self._wake:
                if not self._is_woken:
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
                for inference in self._inferences:
                    inference.inputs.clear()
            if self._takeover is not None:
                self._takeover.tick(now_s)
            begins = self._find_problems(now_s, now_ns)
            driver = self._person if self.driver == HUMAN and self._person else self._policy
            if self._drove not in (None, driver):
                driver.again()  # not when the policy's next chunk is due
                if self._monitor is not None:  # what the policy does afterwards is something new
                    self._monitor.release()
            self._drove, problem = driver, driver.problem
            self.following.add(now_ns, self._supervisor.plan, self._inputs.newest_state())
            self._apply(self._supervisor.tick(now_ns, problem))
            is_done = self._take(driver, now_ns)
            if self._supervisor.plan is not None:
                for output in self._outputs:
                    output.tick(self._supervisor.plan, now_ns)
            plan = self._supervisor.plan
            if plan is None or now_ns >= plan.end_ns:
                self._set_commander("")
            state = (self._supervisor.state, self._supervisor.reason, self.following.stuck,
                     self.driver)
        for inference in self._inferences:
            if inference in is_done or inference in begins:
                inference.notify()
        if state != self._state:
            self._state = state
            self._on_state()

    def _take(self, driver: Inference, now_ns: int) -> list[Inference]:
        """Take what is ready, and accept what is the driver's; return whose it was."""
        done = []
        for inference in self._inferences:
            if (ready := inference.pop()) is None:
                continue
            done.append(inference)
            if inference is not driver:
                inference.unused["a person drives"] += 1
            elif driver.problem:
                # The observation is used again if it is still the newest afterwards.
                driver.refuse(ready)
            else:
                self._accept(driver, ready, now_ns)
        return done

    def _accept(self, driver: Inference, ready: ReadyChunk, now_ns: int) -> None:
        plan = self._supervisor.accept(ready.chunk, ready.instruction,
                                       self._inputs.newest_state(), now_ns, driver.is_blended)
        ended_ns = self._now_ns()
        self._apply(plan, self._main if driver is self._policy else HUMAN)
        now_s = time.monotonic()
        if plan is None or plan.chunk is None:
            driver.unused["chunk refused"] += 1
            return
        # Simulated time goes on once the command is there, in lock-step by what it lasts: that is
        # no latency of this node, by which it would choose a pace.
        if not self._ros_time:
            ended_ns = self._now_ns()
        total = max(0.0, (ended_ns - ready.chunk.stamp_ns) / 1e9)
        driver.latencies.add((
            total - (now_s - ready.arrived), ready.started - ready.arrived,
            ready.finished - ready.started, now_s - ready.finished, total))

    def _apply(self, plan: Plan | None, commander: str = "") -> None:
        """Send a plan; of one that brings the arm to rest nobody else is the commander."""
        if plan is not None:
            self._set_commander(commander or self._commander or self.driver)
            for output in self._outputs:
                output.send(plan)

    def _set_commander(self, name: str) -> None:
        if name != self._commander:
            self._commander = name
            self._on_commander(name)

    def _find_problems(self, now_s: float, now_ns: int) -> list[Inference]:
        """Find out why who may drive may not act; return who may again."""
        problem, begins = self._common_problem(now_ns), []
        for inference in self._inferences:
            before = inference.problem
            inference.problem = next(filter(None, (
                problem, inference is self._person and self._takeover.problem,
                inference is self._policy and self._monitor is not None and self._monitor.problem,
                inference.inputs.problem(now_s, now_ns), inference.slow(now_s),
                *(o.problem() for o in self._outputs))), "")
            if before and not inference.problem:
                begins.append(inference)
        return begins

    def _common_problem(self, now_ns: int) -> str:
        """Return why nobody may move the arm, empty if they may."""
        return "waiting for /clock" if self._ros_time and now_ns == 0 else self._run_problem()

    def _clock_step(self, now_s: float, now_ns: int) -> tuple[str, int]:
        """Return how a clock jumped, empty if none did, and the time of the plan, ns."""
        (last_s, last_ns), self._last = self._last, (now_s, now_ns)
        if self._ros_time != self._clock.ros_time_is_active:
            # The parameter use_sim_time of this node. Controllers go on with the clock before.
            self._ros_time = not self._ros_time
            passed_ns = round((now_s - last_s) * 1e9) if self._ros_time else 0
            return f"use_sim_time is now {str(self._ros_time).lower()}", last_ns + passed_ns
        if any([inference.inputs.pop_clock_reset() for inference in self._inferences]):
            return "the clock of the stamps was set back", now_ns
        # A simulation may pause and jump.
        return "" if self._ros_time else self._clock_steps.step(now_s, now_ns), now_ns

    def _now_ns(self) -> int:
        return self._clock.now().nanoseconds
