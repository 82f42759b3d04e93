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

"""The ROS action of sequence_node; its interface is built where there is a ROS installation."""

from __future__ import annotations

import math

import pytest
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from std_msgs.msg import Bool

from harness.sequence_rig import CLOSE, OPEN, SequenceRig, run_recorded
from tinyvla_ros.nodes.sequence.run_policy_action import RunPolicy

if RunPolicy is None:  # importorskip would find the folder of the package's source
    pytest.skip("needs tinyvla_interfaces, built by colcon", allow_module_level=True)


class Client(SequenceRig):
    """Sends goals, and hears how they go."""

    def __init__(self, place):
        super().__init__(place)
        self.client = ActionClient(self.node, RunPolicy, "sequence_node/run_policy")
        self.heard = []

    def send(self, **goal):
        """Send a goal and return its handle."""
        assert self.client.wait_for_server(30.0)
        self.heard.clear()
        sent = self._ask(lambda: self.client.send_goal_async(
            RunPolicy.Goal(**goal), feedback_callback=lambda m: self.heard.append(m.feedback)))
        assert sent.accepted
        return sent

    def ended(self, handle):
        """Return how a goal ended: its status and its result."""
        answer = self._ask(handle.get_result_async)
        return answer.status, answer.result

    def cancel(self, handle):
        """Cancel a goal and return the answer."""
        return self._ask(handle.cancel_goal_async)

    def _ask(self, send):
        # By the thread that gets the answer: rclpy's client drops one that comes before it has
        # noted whose it is.
        task = self.node.executor.create_task(send)
        self.wait(lambda: task.done() and task.result().done(), "an answer")
        return task.result().result()


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    yield from run_recorded(Client(tmp_path_factory.mktemp("action")))


def test_a_goal_moves_the_arm_until_it_is_done(rig):
    rig.done.publish(Bool(data=False))
    handle = rig.send(instruction=CLOSE, until="topic: done")
    rig.wait(lambda: any(f.seconds > 0.5 for f in rig.heard), "feedback")
    assert rig.heard[-1].text == CLOSE and math.isnan(rig.heard[-1].progress), "it has no monitor"
    rig.wait(lambda: rig.instructions[-1:] == [CLOSE], "its chunks")
    rig.done.publish(Bool(data=True))
    status, result = rig.ended(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.outcome) == (True, "succeeded")
    rig.until_policy("disabled")


def test_a_goal_that_is_cancelled_holds_the_arm(rig):
    handle = rig.send(instruction=OPEN, until="seconds: 60")
    rig.wait(lambda: any(f.seconds for f in rig.heard), "feedback")
    assert len(rig.cancel(handle).goals_canceling) == 1
    status, result = rig.ended(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_CANCELED, "cancelled")
    rig.until_policy("disabled")
    rig.wait_rest()


def test_a_goal_that_takes_too_long_is_aborted(rig):
    status, result = rig.ended(rig.send(instruction=OPEN, until="topic: nobodys", limit=0.3,
                                        tries=2))
    assert status == GoalStatus.STATUS_ABORTED and not result.success
    assert "not done within 0.3 s" in result.reason
    assert rig.heard[-1].attempt == 2


def test_a_goal_is_given_up_when_its_condition_says_so(rig):
    rig.done.publish(Bool(data=False))
    handle = rig.send(instruction=OPEN, until="seconds: 60", fails_if="topic: done")
    rig.wait(lambda: any(f.seconds for f in rig.heard), "feedback")
    rig.done.publish(Bool(data=True))
    status, result = rig.ended(handle)
    assert status == GoalStatus.STATUS_ABORTED and "done" in result.reason
    rig.until_policy("disabled")


@pytest.mark.parametrize(("goal", "reason"), [
    ({"instruction": "fly", "until": "seconds: 1"}, "fly"),
    ({"instruction": OPEN}, "monitor"),
    ({"instruction": OPEN, "until": "soon"}, "'soon'"),
    ({"instruction": OPEN, "until": "{seconds: "}, "seconds: "),
    ({"instruction": OPEN, "until": "seconds: 1", "fails_if": "never"}, "'never'"),
    ({"instruction": OPEN, "until": "seconds: 1", "fails_if": "failure_score: 1"}, "monitor"),
    ({"instruction": OPEN, "until": "seconds: 1", "limit": -1.0}, "limit"),
], ids=["words", "no monitor", "no condition", "no YAML", "no failure", "no score", "limit"])
def test_what_cannot_be_done_is_aborted_with_its_reason(rig, goal, reason):
    status, result = rig.ended(rig.send(**goal))
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, "failed")
    assert reason in result.reason


def test_one_at_a_time(rig):
    first = rig.send(instruction=OPEN, until="seconds: 60")
    rig.wait(lambda: any(f.seconds for f in rig.heard), "feedback")
    status, result = rig.ended(rig.send(instruction=CLOSE, until="seconds: 1"))
    assert status == GoalStatus.STATUS_ABORTED and "A sequence runs" in result.reason
    assert rig.ask("cancel").success, "somebody else ends it"
    status, result = rig.ended(first)
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, "cancelled")
