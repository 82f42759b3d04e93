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

"""What drives the arm computes chunks of the newest observations, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.stage_latencies import StageLatencies
from tinyvla_ros.policy.policy import Policy

# What an error of the inference thread is reported under, in place of a topic.
INFERENCE = "inference"


@dataclass(frozen=True)
class ReadyChunk:
    """A chunk for the control thread; times are steady seconds."""

    chunk: ActionChunk
    instruction: str
    arrived: float
    started: float
    finished: float


class Inference:
    """Computes a chunk of every observation that may be acted on.

    The control thread sets ``problem`` in every period and takes what is ready with ``pop``.

    Attributes:
        inputs: where observations come from.
        problem: why nothing may be computed, from the last control period; empty if it may.
        unused: images that led to no plan, by reason; images = plans + unused.
        latencies: of every stage from the stamp of an image to the command.

    Args:
        policy: makes chunks.
        worker: the thread.
        supervisor: says whether a chunk would be executed, and what it must continue.
        lock: guards the supervisor.
        now_ns: returns ROS time.
        is_blended: whether chunks continue what is executed, at the pace of the contract; what a
            person does is executed as it is.
        on_ready: called when a chunk is ready.
        on_chunk: called with every chunk of the policy, whose period is that of its rows at the
            pace it is executed at, its instruction, and what it was to continue.
        on_failure: called with the exception that ended the thread.
        report: called with a topic and an error that is not fatal.
        extra_latency: seconds added to every inference, for experiments; may be set at any time.
        watch: called after that with the observation and those before it.
    """

    def __init__(self, policy: Policy, inputs: PolicyInputs, contract: RobotContract,
                 worker: Worker, supervisor: Supervisor, lock: threading.RLock,
                 now_ns: Callable[[], int], is_blended: bool, on_ready: Callable[[], None],
                 on_chunk: Callable[[ActionChunk, str, Prefix | None], None],
                 on_failure: Callable[[BaseException], None],
                 report: Callable[[str, InputError], None], extra_latency: float = 0.0,
                 watch: Callable[[Observation, Sequence[Observation]], None] | None = None):
        self.inputs, self._policy, self._contract, self._worker = inputs, policy, contract, worker
        self._supervisor, self._lock, self._now_ns = supervisor, lock, now_ns
        self.is_blended = is_blended
        self._on_ready, self._on_chunk, self._on_failure = on_ready, on_chunk, on_failure
        self._report, self.extra_latency, self._watch = report, extra_latency, watch
        dt = policy.config.action.dt
        self._dt, self._replan_ns = dt, round(contract.execution.replan_every * dt * 1e9)
        self.problem = ""
        self._ready: ReadyChunk | None = None
        # Of the last one: stamp, instruction, and how often it had been asked for.
        self._inferred: tuple[int, str, int] | None = None
        self._inferring: tuple[float, float] | None = None  # since when, and its extra latency
        self._closing = False
        self.unused: Counter[str] = Counter()
        self._last_image = 0  # number of the first camera's image that was used last
        self._refused_stamp: int | None = None  # of the image whose chunk met a problem
        self.latencies = StageLatencies()

    def start(self) -> None:
        """Start the thread."""
        self._closing, self._inferred, self._ready, self.problem = False, None, None, ""
        self._worker.start(self._infer_forever)

    def close(self) -> None:
        """Have the thread end; ``wait`` for it."""
        self._closing = True
        self.notify()

    def wait(self, timeout: float) -> None:
        """Wait until the thread has ended, at most some seconds."""
        self._worker.wait(timeout)

    def notify(self) -> None:
        """Look again whether something may be computed."""
        with self.inputs.changed:
            self.inputs.changed.notify_all()

    def again(self) -> None:
        """Compute a chunk of the newest observation, even if it was used before."""
        with self.inputs.changed:
            self._inferred = None
            self.inputs.changed.notify_all()

    def reset(self) -> None:
        """Forget observations."""
        with self.inputs.changed:
            self.inputs.clear()
            self._policy.reset()
            self._inferred = None

    def pop(self) -> ReadyChunk | None:
        """Return the chunk that is ready and forget it; None if none is."""
        ready, self._ready = self._ready, None
        return ready

    def refuse(self, ready: ReadyChunk) -> None:
        """A chunk met a problem: its observation is used again if it still is the newest then."""
        self._inferred, self._refused_stamp = None, ready.chunk.stamp_ns

    def slow(self, now_s: float) -> str:
        """Return a sentence if inference takes too long, steady seconds; empty if not."""
        if inferring := self._inferring:
            since, extra_latency = inferring
            limit = self._contract.execution.max_duration + extra_latency
            if now_s - since > limit:
                return f"inference is slow: it has taken more than {limit:g} s"
        return ""

    def _infer_forever(self) -> None:
        changed = self.inputs.changed
        while not self._closing:
            with changed:
                while not self._closing and (observation := self._next_observation()) is None:
                    # Some conditions change without a message: the state, replan_every.
                    changed.wait(0.05)
                if self._closing:
                    return
                self._inferred = (observation.stamp_ns, observation.instruction,
                                  self.inputs.times_asked(observation.stamp_ns))
                self._count_unused(observation.stamp_ns)
            try:
                self._infer(observation)
            except InputError as err:
                self.unused["not inferred"] += 1
                self._report(INFERENCE, err)
            except Exception as err:  # a broken device must stop the arm, not only this thread
                if not self._closing:
                    self._on_failure(err)
                return

    def _count_unused(self, stamp_ns: int) -> None:
        """Count the images that were passed over for the one with this stamp."""
        # An older image may be used last, while newer ones lack those of the other cameras.
        number = self.inputs.number(stamp_ns)
        self.unused["newer one taken"] += max(0, number - self._last_image - 1)
        self._last_image = max(self._last_image, number)
        if self._refused_stamp not in (None, stamp_ns):
            self.unused["inputs failed meanwhile"] += 1
        self._refused_stamp = None

    def _next_observation(self) -> Observation | None:
        """Return the newest observation if it is new and its chunk could be executed."""
        if not self._supervisor.may_infer or self._ready is not None or self.problem:
            return None  # while the arm is held, inference would only cost CPU time
        observation = self.inputs.latest()
        if observation is None:
            return None
        if self._inferred is not None and observation.instruction == self._inferred[1]:
            since = observation.stamp_ns - self._inferred[0]
            # A simulation in lock-step asks again if the answer was lost, or to start again.
            is_answered = since == 0 and \
                self.inputs.times_asked(observation.stamp_ns) <= self._inferred[2]
            if is_answered or (0 < since < self._replan_ns
                              and self._supervisor.state == "running"):
                return None
        return observation

    def _infer(self, observation: Observation) -> None:
        started = time.monotonic()
        arrived = self.inputs.arrival(observation.stamp_ns) or started
        self._check_age(observation)
        prefix = self._prefix(observation.stamp_ns) if self.is_blended else None
        extra_latency = self.extra_latency
        past = self.inputs.past(observation.stamp_ns)
        self._inferring = (started, extra_latency)
        try:
            chunk = self._policy.infer(observation, prefix, past)
            if extra_latency:
                time.sleep(extra_latency)
        finally:
            self._inferring = None
        executed, pace = chunk, 1.0
        if self.is_blended:
            executed, pace = self._supervisor.paced(chunk), self._supervisor.pacing.pace
        self._ready = ReadyChunk(executed, observation.instruction, arrived, started,
                                 time.monotonic())
        self._on_ready()
        self._on_chunk(replace(chunk, dt=chunk.dt / pace), observation.instruction, prefix)
        if self._watch is not None:
            self._watch(observation, past)

    def _prefix(self, stamp_ns: int) -> Prefix | None:
        expected = self.latencies.expected()
        if expected is None:
            expected = self._dt
        with self._lock:
            return self._supervisor.prefix(stamp_ns, stamp_ns + round(expected * 1e9))

    def _check_age(self, observation: Observation) -> None:
        limit = self._contract.stamps.max_age
        age = (self._now_ns() - observation.stamp_ns) / 1e9
        if limit and age > limit:
            raise MessageError(f"The newest observation is {age:.3f} s old; at most {limit:g} s "
                               "is used, check the clocks and the cameras.")
