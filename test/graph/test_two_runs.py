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

"""Two runs of everything at once in one ROS domain: each is right, or one is refused by name."""

from __future__ import annotations

import json
import signal
import sys
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

from harness.left_over import new_context
from harness.processes import LIMIT_S, Output, start, start_node
from sim_bridge.episodes import plan_episodes
from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.rollout import Episode, rollout
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.cli.main import main
from tinyvla_ros.nodes.shared import run_guard
from tinyvla_ros.nodes.shared.run_guard import RunGuard, other_publishers
from tinyvla_ros.policy.policy import Policy

RECORDER = "episode_recorder_node"


PUBLISHER = """
import rclpy, sys
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node(sys.argv[1])
publishers = [node.create_publisher(String, topic, 10) for topic in ("chunks", "/guarded/things")]
print("up", flush=True)
rclpy.spin(node)
"""


def publisher(name: str) -> Output:
    output = Output(start(sys.executable, "-c", PUBLISHER, name))
    output.wait_for("up")
    return output


def wait(condition) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def tinyvla(*arguments: str) -> Output:
    return Output(start(sys.executable, "-m", "tinyvla_ros.cli", *arguments))


def errors(output: Output) -> list[str]:
    return [line for line in output.lines if "error: Another run" in line]


def test_of_two_evaluations_one_is_right_and_the_other_refused(tiny_checkpoint, tmp_path):
    tasks = ("reach-v3", "button-press-v3")
    runs = [tinyvla("sim-eval", "--checkpoint", str(tiny_checkpoint), "--tasks", task,
                    "--episodes", "1", "--seed", str(seed), "--out", str(tmp_path / task))
            for seed, task in enumerate(tasks)]
    codes = [run.wait_end() for run in runs]
    assert sorted(codes) == [0, 2], [run.text for run in runs]
    winner, loser = codes.index(0), codes.index(2)
    episodes = (tmp_path / tasks[winner] / "episodes.jsonl").read_text().splitlines()
    assert [(json.loads(e)["task"], json.loads(e)["seed"]) for e in episodes] == \
        [(tasks[winner], winner)]
    assert not (tmp_path / tasks[loser] / "results.json").exists()
    assert any("_node (process" in e and "topic /" in e and "ROS_DOMAIN_ID" in e
               for e in errors(runs[loser]))
    assert not errors(runs[winner])


def test_a_dry_run_is_refused_while_another_one_goes_on():
    first = tinyvla("dry-run")
    first.wait_for("policy running")
    second = tinyvla("dry-run", "--seconds", "5")
    assert second.wait_end() == 2
    assert errors(second), second.text
    assert not errors(first)
    first.process.send_signal(signal.SIGINT)
    assert first.wait_end() == 130


def test_a_node_that_was_killed_is_not_another_publisher_beside_its_successor():
    """The middleware shows it for some seconds more."""
    context = new_context()
    node = rclpy.create_node("listener", context=context)
    node.exit_code = None
    guard = RunGuard(node, "", "chunks", inputs=["chunks"])
    publishers = [publisher("policy")]
    try:
        wait(lambda: other_publishers(node, "/chunks", 0) == ["/policy"])
        publishers[0].process.kill()
        publishers.append(publisher("policy"))
        wait(lambda: other_publishers(node, "/chunks", 0) == ["/policy", "/policy"])
        assert not guard.others()
        publishers.append(publisher("rival"))
        wait(lambda: "/policy and /rival publish it" in guard.others())
    finally:
        for each in publishers:
            each.process.kill()
            each.wait_end()
        node.destroy_node()
        context.try_shutdown()


@pytest.fixture
def joined():
    """Returns a function that adds a node with a guard, where it disturbs no other test."""
    context, guards = new_context(), {}

    def join(run: str):
        node = rclpy.create_node("robot", namespace="guarded", context=context)
        node.exit_code = None
        guards[node] = RunGuard(node, run, "things", ["things"])
        node.create_publisher(String, "things", 10)
        return node, guards[node]
    yield join
    for node, guard in guards.items():
        guard.release()
        node.destroy_node()
    context.try_shutdown()


def test_a_run_does_not_end_for_one_that_is_slow_to_hear_of_it(joined, monkeypatch):
    """It may be loading for long, and sends nothing before it has heard."""
    monkeypatch.setattr(run_guard, "GRACE_S", 0.2)
    node, guard = joined("1")
    ticks = []
    node.create_timer(0.1, lambda: ticks.append(1))
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)

    def spin_until(condition) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.1)

    spin_until(lambda: guard.settled)
    joined("2")  # that nobody spins
    spin_until(guard.others)
    spin_until(lambda since=len(ticks): len(ticks) > since + 10)
    assert node.exit_code is None and guard.others()
    stranger = publisher("stranger")
    spin_until(lambda: node.exit_code == 2)
    stranger.process.kill()
    stranger.wait_end()
    executor.shutdown()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_second_recorder_is_refused_and_one_that_starts_again_is_not(end, tmp_path):
    first = Output(start_node(RECORDER, out=str(tmp_path / "first")))
    first.wait_for("recording episodes")
    second = Output(start_node(RECORDER, out=str(tmp_path / "second")))
    assert second.wait_end() == 2
    assert "/episode_recorder_node (process" in errors(second)[0]
    first.process.send_signal(end)
    first.wait_end()
    third = Output(start_node(RECORDER, out=str(tmp_path / "third")))
    third.wait_for("recording episodes")
    third.process.send_signal(signal.SIGINT)
    assert third.wait_end() == 0


def test_runs_in_two_namespaces_go_on_side_by_side_and_each_is_right(tiny_checkpoint, tmp_path):
    runs = {name: tinyvla("sim-eval", "--checkpoint", str(tiny_checkpoint), "--tasks", task,
                          "--episodes", "1", "--seed", "4", "--namespace", name, "--record",
                          "--out", str(tmp_path / name))
            for name, task in (("left", "reach-v3"), ("right", "button-press-v3"))}
    for name, run in runs.items():
        assert run.wait_end() == 0, run.text
        line = json.loads((tmp_path / name / "episodes.jsonl").read_text())
        alone = rollout_result(tiny_checkpoint, line["task"], 4)
        assert (line["steps"], line["success"]) == (alone.steps, alone.success)
        assert line["return"] == pytest.approx(alone.episode_return, abs=1e-3)
        (path,) = find_bags(tmp_path / name / "episodes")
        with Bag(path) as bag:
            assert (bag.custom["namespace"], bag.custom["task"]) == (f"/{name}", line["task"])
            assert bag.custom["run"]
            assert {t for t in bag.topics if not t.startswith(f"/{name}/")} <= {"/diagnostics"}
            assert bag.topics[f"/{name}/clock"].count > line["chunks"]
        assert main(["bag", "replay", str(path), "--checkpoint", str(tiny_checkpoint)]) == 0


def rollout_result(checkpoint, task: str, seed: int):
    """Run the same episode in this process."""
    env = MetaWorldEnv(task)
    episode = Episode(env, plan_episodes([task], 1, seed)[0])
    for _ in rollout(Policy(checkpoint), episode):
        pass
    env.close()
    return episode.result()
