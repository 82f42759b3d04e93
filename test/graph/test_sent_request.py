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

"""A request that got lost on its way is sent again, where that is safe."""

from __future__ import annotations

import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_srvs.srv import Trigger

from harness.left_over import new_context
from tinyvla_ros.nodes.shared.sent_request import REPEAT_S, SentRequest

LIMIT_S = 30.0


@pytest.fixture
def node():
    context = new_context()
    node = rclpy.create_node("asking", context=context)
    node.executor_of_test = SingleThreadedExecutor(context=context)
    node.executor_of_test.add_node(node)
    yield node
    node.executor_of_test.shutdown()
    node.destroy_node()
    context.try_shutdown()


def spin_until(node, condition) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        node.executor_of_test.spin_once(timeout_sec=0.05)


def test_a_lost_request_is_sent_again_only_where_that_is_safe(node):
    stopped, moved = [], []
    # Nobody is there yet: what is sent now is lost.
    stop = SentRequest(node.create_client(Trigger, "stop"), Trigger.Request(), repeats=True)
    move = SentRequest(node.create_client(Trigger, "move"), Trigger.Request(), repeats=False)
    for name, calls in (("stop", stopped), ("move", moved)):
        node.create_service(Trigger, name, lambda _, response, calls=calls: (
            calls.append(time.monotonic()), setattr(response, "success", True), response)[-1])
    spin_until(node, stop.poll)
    assert stop.answer.success
    until = time.monotonic() + 2 * REPEAT_S
    spin_until(node, lambda: move.poll() or time.monotonic() > until)
    assert not moved and move.answer is None
