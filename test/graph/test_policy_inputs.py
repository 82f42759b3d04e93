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

"""The lock of the policy node's inputs, which its control thread needs every few milliseconds."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import Image

from harness.left_over import new_context
from harness.policies import tiny_policy_config
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.ros.messages import fill_image, set_stamp
from tinyvla_ros.nodes.policy import policy_inputs
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor
from tinyvla_ros.nodes.shared.topics import stream_qos

LIMIT_S = 30.0


class SlowImages:
    """Inputs whose first camera takes as long to decode as the test wants."""

    def __init__(self, monkeypatch):
        self.begun, self.may_end = threading.Event(), threading.Event()
        config, contract = tiny_policy_config(), RobotContract.load(default_robot())
        streams = policy_inputs.policy_streams(contract, config)
        decode = streams[0].decode

        def slow(msg):
            self.begun.set()
            assert self.may_end.wait(LIMIT_S)
            return decode(msg)

        settings = streams[0].settings.model_copy(update={"reliable": True})
        streams[0] = dataclasses.replace(streams[0], decode=slow, settings=settings)
        monkeypatch.setattr(policy_inputs, "policy_streams", lambda *_: streams)
        self._context = new_context()
        self.node = rclpy.create_node("inputs", context=self._context)
        self.inputs = PolicyInputs(self.node, contract, config, lambda topic, err: None,
                                   lambda text: text)
        self._publisher = self.node.create_publisher(Image, settings.topic, stream_qos(settings))
        self.inputs.activate(True)
        self._executor = LeanExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def publish(self) -> None:
        """Send an image and wait until it is being decoded."""
        msg = Image()
        fill_image(msg, np.zeros((48, 48, 3), np.uint8))
        set_stamp(msg.header.stamp, self.node.get_clock().now().nanoseconds)
        deadline = time.monotonic() + LIMIT_S
        while not self._publisher.get_subscription_count():
            assert time.monotonic() < deadline, "the inputs do not subscribe"
            time.sleep(0.01)
        self._publisher.publish(msg)
        assert self.begun.wait(LIMIT_S), "the image never came"

    def close(self) -> None:
        self.may_end.set()
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait_decoded(self) -> None:
        """Let the image be decoded, and wait until the executor does other work."""
        done = threading.Event()
        self.may_end.set()
        self._executor.create_task(done.set)
        assert done.wait(LIMIT_S)


@pytest.fixture
def slow(monkeypatch):
    slow = SlowImages(monkeypatch)
    yield slow
    slow.close()


def test_the_lock_is_free_while_an_image_is_decoded(slow):
    slow.publish()
    assert slow.inputs.changed.acquire(timeout=1.0)
    slow.inputs.changed.release()
    slow.wait_decoded()
    assert slow.inputs.images == 1


def test_a_message_may_be_refused_while_the_inputs_are_described(slow):
    class Refusing(int):
        def __str__(self):
            slow.inputs.rejected["/front"] += 1  # as a callback does, without the lock
            return "1"

    slow.inputs.rejected["/side"] = Refusing(1)
    assert slow.inputs.describe(time.monotonic())["rejected /side"] == "1"


@pytest.mark.parametrize("forget", [PolicyInputs.clear, lambda i: i.activate(True)])
def test_an_image_from_before_everything_was_forgotten_is_dropped(slow, forget):
    slow.publish()
    forget(slow.inputs)
    slow.wait_decoded()
    assert slow.inputs.images == 0
    assert "waiting for camera" in slow.inputs.problem(time.monotonic(), 0)


def test_two_arms_that_are_one_topic_here_are_refused():
    """A name with a slash in front, a namespace or a remapping may make them one."""
    arms = {"joint_states": {"left": {"topic": "left/joint_states", "prefix": "left_"},
                             "right": {"topic": "/left/joint_states", "prefix": "right_"}}}
    config = tiny_policy_config(state=["left_a", "right_a"])
    contract = RobotContract.load(default_robot()).model_dump() | arms
    context = new_context()
    node = rclpy.create_node("inputs", context=context)
    try:
        with pytest.raises(InputError, match=r"left and joint_states/right.*/left/joint_states"):
            PolicyInputs(node, RobotContract.model_validate(contract), config,
                         lambda topic, err: None, lambda text: text)
    finally:
        node.destroy_node()
        context.try_shutdown()
