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

"""Takes a running policy through the steps of a sequence, for people and for behavior trees."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.sequence.run_policy_action import RunPolicyAction
from tinyvla_ros.nodes.sequence.sequence_parameters import SequenceParameters
from tinyvla_ros.nodes.sequence.sequence_policy import SequencePolicy
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.recorder_watch import (
    FINDS_S,
    RECORDER,
    RecorderWatch,
    measured_topics,
)
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import (
    EPISODE_QOS,
    LATCHED,
    OK,
    WARN,
    Diagnostics,
    run_node,
    status,
)
from tinyvla_ros.sequence.check import check_sequence
from tinyvla_ros.sequence.run import PERIOD_S, READY_S, SequenceProgress, SequenceRun, TryEvent
from tinyvla_ros.sequence.steps import Sequence, Step

# Progress is told at every change, and so often while a sequence runs, s.
TELL_S = 0.5
# Longest wait for the arm to be held when the node ends, s.
CLOSE_S = 3.0


class SequenceNode(Node):
    """A thread runs the sequence; callbacks begin it, cancel it and tell how far it is.

    Attributes:
        exit_code: set to end the process.
    """

    def __init__(self):
        super().__init__("sequence_node")
        self.exit_code: int | None = None
        p = self._options = declare_parameters(self, SequenceParameters)
        self._guard = RunGuard(self, p.run, "~/feedback", topics=("~/feedback",),
                               on_settled=self._on_settled)
        contract = RobotContract.load(p.robot or default_robot())
        # What is wrong is said before anything starts.
        self._first = self._check(Sequence.load(p.file)) if p.file else None
        self._policy = SequencePolicy(self, contract)
        self._worker = Worker("sequence")
        self._lock = threading.Lock()  # guards which sequence runs
        self._run: SequenceRun | None = None
        self._index = 0  # of the next episode
        self._progress = SequenceProgress()
        self._feedback = self.create_publisher(DiagnosticStatus, "~/feedback", LATCHED)
        self._events = self.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS) \
            if p.episodes else None
        self._recorder = RecorderWatch(self, measured_topics(contract), FINDS_S) \
            if p.episodes else None
        self._is_recorded = False  # what the sequence that runs has done so far
        self.create_service(Trigger, "~/start", self._on_start)
        self.create_service(Trigger, "~/cancel", self._on_cancel)
        self.create_subscription(String, "~/run", self._on_run, 10)
        self._action = RunPolicyAction.of(
            self, lambda sequence: self._begin(self._check(sequence)), self._policy.cancel)
        self.create_timer(TELL_S, self._tell, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._diagnostics = Diagnostics(self, "sequence", "", self._describe)
        self._publish(self._progress)

    def close(self) -> None:
        """Hold the arm; called when the process ends."""
        if self._run is not None:
            self._policy.cancel("sequence_node was ended")
            deadline = time.monotonic() + CLOSE_S
            while not self._worker.wait(0.0) and time.monotonic() < deadline:
                self.executor.spin_once(timeout_sec=0.05)  # for the policy's answer
        if self._action is not None:
            self._action.close()
        self._policy.close()
        self._guard.release()

    # ---- begin and end --------------------------------------------------------------------

    def _on_settled(self) -> None:
        if self._options.start and self._first is not None:
            self._begin(self._first)

    def _check(self, sequence: Sequence) -> Sequence:
        """Return a sequence; raises ``InputError`` if the policy cannot do it."""
        if self._options.checkpoint:
            check_sequence(sequence, self._options.checkpoint)
        return sequence

    def _begin(self, sequence: Sequence) -> None:
        """Begin a sequence; raises ``InputError`` if one runs."""
        with self._lock:
            if self._run is not None:
                raise InputError(f"A sequence runs ({self._progress.text}); call ~/cancel first.")
            if not self._guard.settled:
                raise InputError("This node looks for another run in the ROS domain first; ask "
                                 "again in a second.")
            run = self._run = SequenceRun(sequence, self._policy, self._on_progress, self._on_try)
            self._policy.begin()
            self._is_recorded = False
            self._on_progress(run.progress)
        self._worker.start(lambda: self._work(run))

    def _work(self, run: SequenceRun) -> None:
        progress = run.run()
        with self._lock:  # the next may begin as soon as this end is known, and not before
            self._policy.end()
            self._run = None
            self._on_progress(progress)
        text, succeeded = f"sequence {progress.state}: {progress.text}", \
            progress.state == "succeeded"
        if succeeded:
            self.get_logger().info(text)
        else:
            self.get_logger().error(text)
        if self._options.start:
            self.exit_code = 0 if succeeded else 1

    def _on_start(self, request, response):
        try:
            if not self._options.file:
                raise InputError("Parameter 'file' is empty; set it when the node is started, or "
                                 "publish a sequence on ~/run.")
            self._begin(self._check(Sequence.load(self._options.file)))
            response.success, response.message = True, f"{self._options.file} begins"
        except InputError as err:
            response.success, response.message = False, str(err)
        return response

    def _on_cancel(self, request, response):
        response.success = self._run is not None
        response.message = "the arm will be held" if response.success else "no sequence runs"
        self._policy.cancel("cancelled by the operator")
        return response

    def _on_run(self, msg: String) -> None:
        sequence = None
        try:
            sequence = Sequence.read(msg.data)
            self._begin(self._check(sequence))
        except InputError as err:
            self.get_logger().error(f"~/run: {err}")
            self._publish(SequenceProgress("failed", str(err), sequence.id if sequence else ""))
            if self._run is not None:
                self._publish(self._progress)  # that is what lasts

    # ---- telling --------------------------------------------------------------------------

    def _on_try(self, step: Step, kind: TryEvent) -> None:
        if self._events is None:
            return
        if kind == "begin":
            self._wait_for_recorder()
        values = {"index": self._index, "task": step.label, "instruction": step.instruction,
                  "run": self._guard.run}
        if kind in ("success", "failure"):
            values["success"] = str(kind == "success").lower()
        msg = DiagnosticStatus()
        EpisodeEvent.make({"begin": BEGIN, "abort": ABORT}.get(kind, END), values).fill(
            msg, KeyValue, f"{self.get_name()}: episode")
        self._events.publish(msg)
        self._index += kind != "begin"

    def _wait_for_recorder(self) -> None:
        # Once: at later steps the policy acts, and goes on with the instruction before.
        if self._is_recorded and self._recorder.is_there():
            return
        deadline = time.monotonic() + READY_S
        while not self._recorder.is_complete():
            if time.monotonic() > deadline:
                raise InputError(f"there is no {RECORDER} after {READY_S:g} s, and tries shall be "
                                 "recorded; start one, or leave the episodes out")
            self._policy.wait(PERIOD_S)
        self._is_recorded = True

    def _on_progress(self, progress: SequenceProgress) -> None:
        before, self._progress = self._progress, progress
        if replace(progress, seconds=before.seconds) != before:
            self._publish(progress)
            self._diagnostics.publish()
            self._tell_client()

    def _tell(self) -> None:
        if self._run is not None:
            self._publish(self._progress)
            self._tell_client()

    def _tell_client(self) -> None:
        if self._action is not None:
            self._action.tell(self._progress)

    def _publish(self, progress: SequenceProgress) -> None:
        values = asdict(progress)
        self._feedback.publish(status(
            f"{self.get_name()}: feedback", _level(progress), values.pop("state"), values))

    def _describe(self):
        progress = self._progress
        return _level(progress), f"{progress.state}: {progress.text}", {
            "step": f"{progress.step}/{progress.steps}", "instruction": progress.instruction,
            "try": progress.attempt, "turn": progress.turn}


def _level(progress: SequenceProgress) -> bytes:
    return OK if progress.state in ("idle", "running", "succeeded") else WARN


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros sequence_node``."""
    return run_node(SequenceNode)
