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

"""A ROS action that lets the policy carry out one instruction, where its interface is installed.

``tinyvla_interfaces`` has to be built with a ROS installation, so it may be absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import yaml
from rclpy.action import ActionServer, CancelResponse
from rclpy.node import Node
from std_msgs.msg import Float32

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.monitor.interface import PROGRESS_TOPIC, SCORE_TOPIC
from tinyvla_ros.sequence.run import SequenceProgress
from tinyvla_ros.sequence.steps import Sequence

try:
    from tinyvla_interfaces.action import RunPolicy
except ImportError:
    RunPolicy = None

USUAL_END = "done: 0.5"
ENDS = ("succeeded", "failed", "cancelled")


class RunPolicyAction:
    """Serves ``~/run_policy``: each goal is a sequence of one step.

    A goal that cannot begin is accepted and aborted, because a rejected one has no reason. It
    counts as executing when it has ended: a coroutine of rclpy that waits keeps a core busy.

    Args:
        node: of the sequence.
        begin: begins a sequence; raises ``InputError`` if it cannot.
        cancel: lets the running sequence end, with the reason.
    """

    def __init__(self, node: Node, begin: Callable[[Sequence], None],
                 cancel: Callable[[str], None]):
        self._begin, self._cancel = begin, cancel
        self._goals: dict[str, object] = {}  # that have begun, by the id of their sequence
        self._ends: dict[str, SequenceProgress] = {}
        self._said = dict.fromkeys((PROGRESS_TOPIC, SCORE_TOPIC), math.nan)
        for topic in self._said:
            node.create_subscription(
                Float32, f"policy_node/{topic}",
                lambda msg, topic=topic: self._said.update({topic: msg.data}), 5)
        self._server = ActionServer(
            node, RunPolicy, "~/run_policy", execute_callback=self._result,
            handle_accepted_callback=self._on_goal, cancel_callback=self._on_cancel)

    @classmethod
    def of(cls, node: Node, begin: Callable[[Sequence], None], cancel: Callable[[str], None]
           ) -> RunPolicyAction | None:
        """Return the action; None where its interface is not installed."""
        return None if RunPolicy is None else cls(node, begin, cancel)

    def close(self) -> None:
        """Serve it no more; called by the executor."""
        self._server.destroy()

    def tell(self, progress: SequenceProgress) -> None:
        """Tell whose goal this is how far it is, or that it has ended; from any thread."""
        goal = self._goals.get(progress.id)
        if goal is None:
            return
        if progress.state in ENDS:
            del self._goals[progress.id]
            self._end(goal, progress)
            return
        goal.publish_feedback(RunPolicy.Feedback(
            text=progress.text, attempt=progress.attempt, seconds=float(progress.seconds),
            progress=self._said[PROGRESS_TOPIC], failure_score=self._said[SCORE_TOPIC]))

    def _on_goal(self, goal) -> None:
        name = _name(goal)
        self._goals[name] = goal
        self._said = dict.fromkeys(self._said, math.nan)
        try:
            self._begin(sequence_of(goal.request, name))
        except InputError as err:
            del self._goals[name]
            self._end(goal, SequenceProgress("failed", str(err), name))

    def _on_cancel(self, goal) -> CancelResponse:
        if _name(goal) not in self._goals:
            return CancelResponse.REJECT
        self._cancel("cancelled by its client")
        return CancelResponse.ACCEPT

    def _end(self, goal, progress: SequenceProgress) -> None:
        self._ends[_name(goal)] = progress
        goal.execute()

    def _result(self, goal):
        end = self._ends.pop(_name(goal))
        if end.state == "succeeded":
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return RunPolicy.Result(success=end.state == "succeeded", outcome=end.state,
                                reason=end.text)


def sequence_of(goal, name: str) -> Sequence:
    """Return the sequence of a goal.

    Args:
        goal: RunPolicy.Goal.
        name: id of the sequence.

    Raises:
        InputError: it has no sense.
    """
    step = {"instruction": goal.instruction,
            "until": _condition("until", goal.until or USUAL_END,
                                f"when the policy is done, like '{USUAL_END}' or 'seconds: 5'")}
    # Empty and 0 stand for what a step has without it.
    if goal.fails_if:
        step["fails_if"] = _condition("fails_if", goal.fails_if, "when a try is given up, like "
                                      "'failure_score: 1' or 'topic: gripper/lost'")
    step |= {"limit": float(goal.limit)} if goal.limit else {}
    step |= {"tries": int(goal.tries)} if goal.tries else {}
    return Sequence.read(yaml.safe_dump({"id": name, "steps": [step]}))


def _condition(field: str, text: str, meaning: str) -> dict:
    """Return a condition that is given as YAML; raises ``InputError`` if it is none."""
    try:
        condition = yaml.safe_load(text)
    except yaml.YAMLError:
        condition = None
    if not isinstance(condition, dict):
        raise InputError(f"{field} is {text!r}; say {meaning} (docs/sequences.md).")
    return condition


def _name(goal) -> str:
    return bytes(goal.goal_id.uuid).hex()
