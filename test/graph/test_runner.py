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

"""How a node's process ends: signals while it loads, in callbacks, and in the middle of rclpy."""

from __future__ import annotations

import sys
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from harness.left_over import new_context
from harness.processes import Output, start

NODE = """
import os, signal, sys
from rclpy.node import Node
from std_msgs.msg import String
from tinyvla_ros.nodes.shared.runner import run_node

WORDS = String()

def interrupt(*_):
    os.kill(os.getpid(), signal.{number})

class Interrupted(Node):
    def __init__(self):
        super().__init__("interrupted")
        {loading}
        self.publisher = self.create_publisher(String, "~/words", 1)
        self.create_subscription(String, "~/words", {callback}, 1)
        self.create_timer(0.01, lambda: self.publisher.publish(WORDS))

    def close(self):
        interrupt()  # a second one
        print("closed", flush=True)

convert = String.__init__
def convert_and_interrupt(self, **fields):
    {conversion}
    convert(self, **fields)
String.__init__ = convert_and_interrupt
sys.exit(run_node(Interrupted))
"""
NOWHERE = {"loading": "pass", "callback": "print", "conversion": "pass"}


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", [
    {"loading": "interrupt()"}, {"callback": "interrupt"},
    # rclpy makes the message of a subscription in C, which calls this constructor.
    {"conversion": "interrupt()"}], ids=lambda where: next(iter(where)))
def test_a_signal_ends_the_process_cleanly_wherever_it_arrives(where, number):
    code = NODE.format(number=number, **(NOWHERE | where))
    output = Output(start(sys.executable, "-c", code))
    assert output.wait_end() == 0, output.text
    assert "Traceback" not in output.text
    assert ("closed" in output.text) == ("loading" not in where), "close brings an arm to rest"


LAST_WORDS = """
import sys
from rclpy.node import Node
from std_msgs.msg import String
from tinyvla_ros.nodes.shared.runner import run_node

class Speaker(Node):
    exit_code = None

    def __init__(self):
        super().__init__("speaker")
        self.publisher = self.create_publisher(String, "words", {number})
        self.create_timer(0.05, self.look)

    def look(self):
        if self.publisher.get_subscription_count():
            self.exit_code = 0

    def close(self):
        for number in range({number}):
            self.publisher.publish(String(data=str(number).zfill(300_000)))

sys.exit(run_node(Speaker))
"""


def test_what_a_node_says_last_arrives():
    context, heard, number = new_context(), [], 30
    node = rclpy.create_node("listener", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    node.create_subscription(String, "words", lambda m: heard.append(int(m.data[-4:])),
                             QoSProfile(depth=number))
    output = Output(start(sys.executable, "-c", LAST_WORDS.format(number=number)))
    assert output.wait_end() == 0, output.text
    deadline = time.monotonic() + 10.0
    while len(heard) < number and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    assert heard == list(range(number))
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
