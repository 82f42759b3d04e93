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

"""Do the parameter services of the nodes delay the commands to the arm?

Two graphs: a dry run with its report and the recorder, and an evaluation in simulation in real
time. While the arm is commanded, every service of every node is called, each answer checked, and
the commands are compared with those of the same run without calls.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import _harness  # noqa: F401
import numpy as np
import rclpy
from _figures import print_heading
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from trajectory_msgs.msg import JointTrajectory

from harness.node_parameters import MODELS, OF_RCLPY
from harness.parameters import ParameterTool
from harness.processes import Output, start, stop
from sim_bridge.arms import METAWORLD
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.options import settable
from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.core.ros.messages import stamp_to_ns
from tinyvla_ros.start.graph import DryRunOptions, SimEvalOptions, dry_run_graph, sim_eval_graph
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription

START_LIMIT_S = 120.0


class Commands:
    """What the policy commands, timed where it is published."""

    def __init__(self, context: rclpy.Context, topic: str, by_episode: bool):
        self._node = rclpy.create_node("commands", context=context)
        self._by_episode = by_episode
        self.received: list[tuple[int, int, int]] = []  # sent at ns, number, episode
        self._node.create_subscription(
            JointTrajectory, topic, self._on_command,
            QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE), raw=True)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(self._node)
        threading.Thread(target=self._spin, args=(executor,), daemon=True).start()

    @staticmethod
    def _spin(executor: SingleThreadedExecutor) -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    def _on_command(self, data: bytes, info: dict) -> None:
        stamp = stamp_to_ns(deserialize_message(data, JointTrajectory).header.stamp)
        self.received.append((info["source_timestamp"], info["publication_sequence_number"],
                              stamp // METAWORLD.slot_ns if self._by_episode else 0))

    def row(self, label: str, first: int, last: int) -> str:
        """Return a line of the table about the commands from one index to another."""
        sent = self.received[first:last]
        pairs = list(itertools.pairwise(sent))
        gaps = np.array([b[0] - a[0] for a, b in pairs if a[2] == b[2]]) / 1e6
        missed = sum(b[1] - a[1] - 1 for a, b in pairs)
        return (f"| {label} | {len(sent)} | {np.median(gaps):.1f} | "
                f"{np.percentile(gaps, 99):.1f} | {gaps.max():.1f} | {missed} |")


def main() -> int:
    """Measure both graphs and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100, help="of every service of every node")
    parser.add_argument("--seconds", type=float, default=20.0, help="without calls, before them")
    args = parser.parse_args()
    use_middleware_profile()
    os.environ["ROS_DOMAIN_ID"] = str(random.randint(1, 101))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    print_heading("Parameter services while the arm is commanded",
                  ("ros-jazzy-rclpy", "ros-jazzy-rmw-fastrtps-cpp"), calls=args.calls,
                  seconds=f"{args.seconds:g} without calls before and after")
    with tempfile.TemporaryDirectory() as place:
        dry_run = [*dry_run_graph(DryRunOptions()),
                   NodeDescription("dry_run_report_node", {"seconds": 0.0}),
                   NodeDescription("episode_recorder_node", {"out": f"{place}/episodes"})]
        simulation = sim_eval_graph(SimEvalOptions(
            tasks=("pick-place-v3",), episodes=1000, mode="realtime",
            out=str(Path(place) / "results")))
        contract = RobotContract.load(dry_run[0].parameters["robot"])
        wrong = measure("dry run", dry_run, contract.outputs[0].topic, False, args)
        wrong += measure("simulation", simulation, "action_chunk", True, args)
    return 1 if wrong else 0


def measure(title: str, graph: Sequence[NodeDescription], topic: str, by_episode: bool,
            args: argparse.Namespace) -> int:
    """Run a graph, call its services and print; return the number of wrong answers."""
    context = rclpy.Context()
    rclpy.init(context=context)
    processes = {}
    for node in graph:
        processes[node.executable] = start(*node_command(node))
        processes[node.executable].output = Output(processes[node.executable])
    commands = Commands(context, topic, by_episode)
    tools = {name: ParameterTool(f"/{name}", context=context) for name in processes}
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while len(commands.received) < 50:
            if time.monotonic() > deadline:
                sys.exit(f"error: no commands of the {title} within {START_LIMIT_S:g} s.")
            time.sleep(0.1)
        for tool in tools.values():
            tool.wait()
        marks = [len(commands.received)]
        time.sleep(args.seconds)
        marks.append(len(commands.received))
        begin, wrong = time.monotonic(), Counter()
        for _ in range(args.calls):
            for name, tool in tools.items():
                wrong.update(check(name, tool))
        seconds = time.monotonic() - begin
        marks.append(len(commands.received))
        time.sleep(args.seconds)
        marks.append(len(commands.received))
        ended = [name for name, process in processes.items() if process.poll() is not None]
        for tool in tools.values():
            tool.close()
    finally:
        for process in processes.values():
            stop(process)
        context.try_shutdown()
    calls = 6 * args.calls * len(tools)
    print(f"\n### {title}: {', '.join(tools)}\n\n{calls} calls in {seconds:.1f} s, wrong answers "
          f"{wrong.total()}{f' {dict(wrong)}' if wrong else ''}, nodes that ended {len(ended)}"
          f"\n\n| | commands | median gap ms | p99 ms | longest ms | missed |"
          "\n|---|--:|--:|--:|--:|--:|")
    for label, (first, last) in zip(("before", "with calls", "after"), itertools.pairwise(marks),
                                    strict=True):
        print(commands.row(label, first, last), flush=True)
    return wrong.total() + len(ended)


def check(node: str, tool: ParameterTool) -> list[str]:
    """Call the six services once; return the wrong answers."""
    fields = MODELS[node].model_fields
    names = list(fields)
    may = next((n for n, f in fields.items() if settable(f) and "any time" in settable(f).when),
               None)
    never = next(n for n, f in fields.items() if settable(f) is None)
    values = dict(zip(names, tool.get(*names), strict=False))
    described = tool.describe(*names)
    answers = {
        "list_parameters": set(tool.list()) == {*names, *OF_RCLPY},
        "get_parameters": list(values) == names,
        "get_parameter_types": [t.value for t in tool.types(*names)] == [
            d.type for d in described],
        "describe_parameters": [(d.name, d.description) for d in described] == [
            (n, f.description) for n, f in fields.items()],
        "set_parameters": not tool.set(**{never: values[never]})[0].successful,
        "set_parameters_atomically": tool.set_atomically(
            **{may: values[may]} if may else {never: values[never]}).successful == bool(may)}
    return [f"{node} {service}" for service, right in answers.items() if not right]


if __name__ == "__main__":
    sys.exit(main())
