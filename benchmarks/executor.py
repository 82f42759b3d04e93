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

"""What a message costs the thread of a node that hears many: rclpy's executor and ours in turn.

A lifecycle node with as many subscriptions, publishers and services as a policy node has; small
messages come one after the other from another thread. The thread's own CPU time is counted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import threading
import time

import rclpy
from _figures import print_heading
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String
from std_srvs.srv import Trigger

from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.nodes.shared.lean_executor import LeanExecutor

SUBSCRIPTIONS, OTHERS, BUSY = 12, 4, 5
DEPTH = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each executor and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=230.0, help="messages a second")
    args = parser.parse_args()
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(101, 200))
    print_heading("What a message costs a node", ["ros-jazzy-rclpy"], **vars(args))
    rclpy.init()
    costs = {kind: [] for kind in (SingleThreadedExecutor, LeanExecutor)}
    numbers = itertools.count()
    for _ in range(args.rounds):
        for kind, each in costs.items():
            each.append(_cost_ms(kind, f"hears_{next(numbers)}", args.seconds, args.rate))
    rclpy.shutdown()
    usual, ours = costs.values()
    print(markdown_table(
        ["executor", *(f"round {n + 1}, ms of CPU" for n in range(args.rounds))],
        [[kind.__name__, *(f"{cost:.2f}" for cost in each)] for kind, each in costs.items()]))
    shares = sorted(o / u for o, u in zip(ours, usual, strict=True))
    print(f"\nours takes {shares[len(shares) // 2]:.2f} of it (median of the rounds)")


def _cost_ms(kind: type, name: str, seconds: float, rate: float) -> float:
    """Return the CPU time of the spinning thread per message."""
    node, source = LifecycleNode(name), rclpy.create_node(f"says_to_{name}")
    heard = []
    for number in range(SUBSCRIPTIONS):
        node.create_subscription(String, f"topic_{number}", heard.append, DEPTH)
    for number in range(OTHERS):
        node.create_publisher(String, f"said_{number}", DEPTH)
        node.create_service(Trigger, f"service_{number}", lambda request, response: response)
    publishers = [source.create_publisher(String, f"topic_{n}", DEPTH) for n in range(BUSY)]
    executor, ended = kind(), threading.Event()
    executor.add_node(node)

    def say() -> None:
        number = 0
        while not ended.wait(1.0 / rate):
            publishers[number % BUSY].publish(String(data="x"))
            number += 1

    thread = threading.Thread(target=say)
    thread.start()
    begun_s, before_s = time.monotonic(), time.thread_time()
    while time.monotonic() < begun_s + seconds:
        executor.spin_once(timeout_sec=0.05)
    cost_ms = 1e3 * (time.thread_time() - before_s) / max(len(heard), 1)
    ended.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()
    source.destroy_node()
    return cost_ms


if __name__ == "__main__":
    main()
