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

"""A policy's episodes are recorded, its monitor made of them, and then it is watched by that."""

from __future__ import annotations

import itertools
import math
import shutil
import signal

import pytest
import rclpy
from std_msgs.msg import Float32
from std_srvs.srv import SetBool

from harness.left_over import new_context
from harness.policies import give_random_weights
from harness.sequence_rig import OPEN, SequenceRig
from harness.watched_world import World, episode, watched
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.files import MONITOR
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.monitor.monitor import Monitor
from tinyvla_ros.nodes.policy.policy_monitor import PolicyMonitor
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from training.monitor.calibrate import write_monitor
from training.monitor.watched_episodes import Watcher

# Seconds of the episodes that the monitor knows.
USUAL_S = 1.5


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    rig = SequenceRig(tmp_path_factory.mktemp("monitor"))
    give_random_weights(rig.checkpoint, rig.contract)
    rig.told = {}
    for name in ("progress", "done", "failure_score"):
        rig.node.create_subscription(Float32, f"policy_node/{name}", lambda m, n=name:
                                     rig.told.setdefault(n, []).append(m.data), 50)
    rig.write({"instruction": OPEN, "until": {"seconds": 0.1}})
    with rig:
        rig.start("episode_recorder_node", out=str(rig.bags), robot=str(rig.path),
                  checkpoint=str(rig.checkpoint))
        rig.start_sequence_node()
        usual = [{"instruction": OPEN, "name": f"usual{n}", "until": {"seconds": USUAL_S}}
                 for n in range(8)]
        rig.begin(*usual)
        assert rig.until_end()["state"] == "succeeded", rig.now
        for step in usual:
            rig.wait(lambda name=step["name"]: rig.recorded(name), "its bag")
        assert not rig.told, "there was no monitor"
        bags = [str(rig.recorded(s["name"])[0]) for s in usual]
        assert main(["monitor", "calibrate", str(rig.checkpoint), *bags,
                     "--false-alarms", "0.12"]) == 0
        yield rig
        assert not rig.wrong
        assert "Traceback" not in rig.log() + rig.log("sequence_node")


def start_policy(rig: SequenceRig, action: str) -> None:
    rig.signal("policy_node", signal.SIGINT)
    rig.processes.pop("policy_node").wait()
    rig.start_policy(monitor=action)
    # A new node, and not what the one before said last.
    rig.values.clear()
    rig.wait(lambda: rig.values.get("state") == "disabled", "the policy")


def test_what_the_monitor_says_is_published_and_recorded_and_ends_a_step(rig):
    start_policy(rig, "report")
    # The recorder finds topics now and then, and this step is over soon.
    topic = rig.node.resolve_topic_name("policy_node/progress")
    rig.wait(lambda: "episode_recorder_node" in {
        i.node_name for i in rig.node.get_subscriptions_info_by_topic(topic)}, "the recorder")
    rig.begin({"instruction": OPEN, "name": "told", "until": {"progress": 0.001}, "limit": 30})
    assert rig.until_end()["state"] == "succeeded", rig.now
    rig.wait(lambda: len(rig.told) == 3, "all of it")
    assert all(math.isnan(v) or 0.0 <= v <= 1.0
               for name in ("progress", "done") for v in rig.told[name])
    assert min(rig.told["failure_score"]) >= 0.0
    rig.wait(lambda: rig.recorded("told"), "its bag")
    with Bag(rig.recorded("told")[0]) as bag:
        assert bag.topics[topic].count


def test_an_alarm_is_reported_and_the_policy_goes_on(rig):
    start_policy(rig, "report")
    rig.begin({"instruction": OPEN, "until": {"topic": "done"}})
    rig.wait(lambda: int(rig.values.get("monitor alarms", 0)), "an alarm")
    rig.wait_status("monitor: ")
    assert rig.values["state"] == "running"
    assert rig.ask("cancel").success
    rig.until_end()


def test_an_alarm_holds_the_arm_until_somebody_enables_it(rig):
    start_policy(rig, "hold")
    rig.begin({"instruction": OPEN, "until": {"topic": "done"}})
    for alarms in ("1", "2"):  # the policy goes on, and soon there is the next one
        rig.wait(lambda count=alarms: rig.values.get("monitor alarms") == count, "an alarm")
        rig.wait_status("call ~/enable")
        rig.wait_rest()
        assert rig.values["state"] == "holding"
        rig.until(lambda now: "monitor: " in now["text"], "the reason")
        assert rig.call("enable", SetBool.Request(data=True)).success
    assert rig.ask("cancel").success
    rig.until_end()


def test_off_publishes_nothing(rig):
    start_policy(rig, "off")
    rig.begin({"instruction": OPEN, "until": {"seconds": 0.5}})
    rig.told.clear()
    assert rig.until_end()["state"] == "succeeded", rig.now
    assert not rig.told and "progress" not in rig.values


def test_hold_without_a_monitor_is_refused(rig, tmp_path, capfd):
    from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint

    write_untrained_checkpoint(rig.contract, tmp_path / "c", OPEN)
    assert main(["run", "--robot", str(rig.path), "--checkpoint", str(tmp_path / "c"),
                 "--monitor", "hold"]) == 2
    assert "monitor calibrate" in "".join(capfd.readouterr())


@pytest.fixture
def strange(tiny_checkpoint, tmp_path):
    """A node with a monitor that holds, and looks of the same scene, familiar or not."""
    path = shutil.copytree(tiny_checkpoint, tmp_path / "c")
    loaded = load_checkpoint(path)
    watcher = Watcher(loaded)
    write_monitor(loaded, [watched(watcher, episode(loaded.config, seed)) for seed in range(8)],
                  0.25, path / MONITOR)
    context = new_context()
    node, worker = rclpy.create_node("watching", context=context), Worker("monitor")
    policy = Policy(path, backend="torch")
    monitor = PolicyMonitor(node, policy, Monitor.of(SavedCheckpoint.read(path)), worker, True)
    world, numbers = World(loaded.config, 100), itertools.count()

    def look(is_familiar: bool) -> None:
        monitor.look(world.at(next(numbers), 0.1, 0.0 if is_familiar else 3.0), ())
        assert worker.wait(30.0)

    yield monitor, look
    monitor.close()
    node.destroy_node()
    context.try_shutdown()


def test_who_lets_the_policy_go_on_in_a_strange_scene_is_not_stopped_at_the_next_look(strange):
    monitor, look = strange
    look(False)
    assert "~/enable" in monitor.problem
    assert monitor.describe()["progress"] == "nan", "nobody can know it in a strange scene"
    monitor.begin()  # ~/reset alone lets nothing move
    assert monitor.problem
    monitor.release()
    look(False)
    assert not monitor.problem and monitor.describe()["monitor alarms"] == "2"
    monitor.release()
    look(True)
    look(True)
    assert not monitor.problem
    for _ in range(3):
        look(False)
    assert monitor.problem, "what is strange later is held again"


def test_a_monitor_that_fails_holds_and_ends_nothing_else(strange):
    monitor, look = strange
    monitor._monitor._names = ["nothing"]  # noqa: SLF001 (as a broken file would)
    look(True)
    assert "failed" in monitor.problem
    look(True)
    monitor.release()
    assert "failed" in monitor.problem
