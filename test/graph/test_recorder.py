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

"""episode_recorder_node in its own process, fed by real publishers of this one."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, String
from std_srvs.srv import SetBool, Trigger

from harness.left_over import new_context
from harness.processes import LIMIT_S, Output, start_node, stop
from harness.recorder_graph import RECORDER, RecorderGraph, names, texts
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import CLOCK_TRUST_S
from tinyvla_ros.core.ros.messages import fill_image
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED


# A machine that is busy with other tests may deliver later than an episode's end is waited for.
@pytest.mark.alone
def test_episodes_are_bags_with_every_message_between_begin_and_end(graph):
    a = graph.publisher(String)
    latched = graph.publisher(String, LATCHED)
    latched.publish(String(data="what to do"))
    a.publish(String(data="before"))
    for seed in (4, 5):
        graph.publish_event("begin", index=seed - 4, task="reach", seed=seed,
                            instruction="reach it")
        for i in range(200):
            a.publish(String(data=f"{seed}.{i}"))
        graph.publish_event("end", success=seed == 4, steps=7)
        a.publish(String(data="between"))
    first, second = graph.recorded(2)
    assert (first.name, second.name) == ("0000_reach_seed4", "0001_reach_seed5")
    assert texts(first, a.topic_name) == [f"4.{i}" for i in range(200)]
    assert texts(second, a.topic_name) == [f"5.{i}" for i in range(200)]
    assert texts(second, latched.topic_name) == ["what to do"]
    with Bag(first) as bag, Bag(second) as other:
        assert bag.custom["outcome"] == "success"
        assert bag.custom["steps"] == "7"
        assert other.custom["outcome"] == "failure"
        assert not [k for k in (*bag.custom, *other.custom) if k.startswith(("lost", "dropped"))]
        assert bag.topics["/episode"].count == 2


def test_the_recorder_of_a_launch_records_a_robot_that_was_started_alone(tmp_path):
    """Like ``ros2 run tinyvla_ros dry_run_arm_node`` beside ``policy.launch.py record:=true``."""
    graph = RecorderGraph(tmp_path / "episodes", run="launched")
    graph.node.exit_code = None
    topic = next(names)
    guard = RunGuard(graph.node, "", topic, [topic])
    graph.until(lambda: guard.settled, "the end of discovery")
    publisher = graph.node.create_publisher(String, topic, 10)
    graph.until(lambda: publisher.get_subscription_count(), "the recorder")
    assert graph.close() == 0


def test_a_run_beside_this_one_that_claims_its_topics_late_is_not_recorded(tmp_path):
    graph = RecorderGraph(tmp_path / "episodes", namespace="left", run="of-left")
    mine = graph.publisher(String)
    unclaimed = graph.node.create_publisher(String, "/world/thing", 10)
    theirs = graph.node.create_publisher(String, "/right/thing", 10)
    for index in range(2):  # episodes begin while nobody knows yet whose the topics are
        graph.publish_event("begin", index=index)
        graph.publish_event("end")
    other = graph.add_node("other", "right")
    other.exit_code = None
    RunGuard(other, "of-right", "thing")
    graph.until(lambda: unclaimed.get_subscription_count(), "the recorder")
    assert not theirs.get_subscription_count()
    graph.publish_event("begin", index=2)
    for publisher in (mine, unclaimed, theirs):
        publisher.publish(String(data="x"))
    graph.publish_event("end")
    (path,) = graph.recorded(1)  # the first two had no messages
    with Bag(path) as bag:
        assert set(bag.topics) - {"/diagnostics"} == {
            "/left/episode", mine.topic_name, unclaimed.topic_name}
    assert graph.close() == 0


def test_a_recorder_that_comes_late_records_the_running_episode_and_no_old_one(tmp_path):
    first = RecorderGraph(tmp_path / "first")
    first.publish_event("begin", index=0, task="old")
    first.publish_event("end", success=True)
    first.publish_event("begin", index=1, task="running")
    assert stop(first.process) == 0
    # Its events must be older than any message on its way, and its last status be read.
    old = time.monotonic() + CLOCK_TRUST_S + 0.2
    first.until(lambda: time.monotonic() > old, "that time")
    first.statuses.clear()
    first.output = Output(start_node(RECORDER, out=str(tmp_path / "second")))
    first.process, first.out = first.output.process, tmp_path / "second"
    a = first.publisher(String)
    first.until(lambda: "0001_running" in first.status.message, "a bag")
    a.publish(String(data="x"))
    first.publish_event("end", success=True)
    (path,) = first.recorded(1)
    assert path.name == "0001_running"
    assert texts(path, a.topic_name) == ["x"]
    with Bag(path) as bag:
        assert float(bag.custom["begun_late_s"]) > 1.0
    first.close()


def test_services_begin_and_end_episodes(graph):
    a = graph.publisher(String)
    refused = graph.call(SetBool, "end", SetBool.Request(data=True))
    assert not refused.success
    assert graph.call(Trigger, "begin", Trigger.Request()).success
    again = graph.call(Trigger, "begin", Trigger.Request())
    assert not again.success
    assert "call ~/end first" in again.message
    a.publish(String(data="x"))
    assert graph.call(SetBool, "end", SetBool.Request(data=False)).success
    (path,) = graph.recorded(1)
    assert texts(path, a.topic_name) == ["x"]
    with Bag(path) as bag:
        assert bag.custom["outcome"] == "failure"


def test_images_of_best_effort_publishers_arrive_byte_for_byte(graph):
    camera = graph.publisher(Image, QoSProfile(depth=10,
                                               reliability=ReliabilityPolicy.BEST_EFFORT))
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    graph.publish_event("begin", index=0)
    msg = Image()
    fill_image(msg, pixels)
    msg.header.stamp.sec = 5
    camera.publish(msg)
    graph.until(lambda: any(
        v.key == f"messages {camera.topic_name}" for v in graph.status.values), "the image")
    graph.publish_event("end")
    (path,) = graph.recorded(1)
    with Bag(path) as bag:
        (message,) = bag.messages([camera.topic_name])
        np.testing.assert_array_equal(bag.decode(message).data, pixels.reshape(-1))
        assert bag.custom["outcome"] == "unknown"


def test_two_publishers_on_one_topic_are_recorded_and_no_loss_is_claimed(graph):
    a = graph.publisher(String)
    other = graph.node.create_publisher(String, a.topic_name, 10)
    graph.until(lambda: other.get_subscription_count(), "the recorder")
    # Between two of its statuses it looks for new publishers.
    seen = len(graph.statuses)
    graph.until(lambda: len(graph.statuses) >= seen + 2, "two statuses")
    graph.publish_event("begin", index=0)
    for i in range(20):
        (a if i % 3 else other).publish(String(data=str(i)))
    graph.publish_event("end")
    (path,) = graph.recorded(1)
    assert sorted(map(int, texts(path, a.topic_name))) == list(range(20))
    with Bag(path) as bag:
        assert f"lost {a.topic_name}" not in bag.custom


def test_publishers_that_keep_messages_and_that_do_not_are_recorded_on_one_topic(graph):
    """As the instruction of a bridge, and an operator's ``ros2 topic pub``."""
    kept = graph.publisher(String, LATCHED)
    kept.publish(String(data="kept"))
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    others = [graph.node.create_publisher(String, kept.topic_name, qos)
              for qos in (10, best_effort)]
    for other in others:
        graph.until(other.get_subscription_count, "a subscription that takes it")
    a = graph.publisher(String)
    graph.publish_event("begin", index=0)
    a.publish(String(data="x"))
    graph.until(lambda: any(
        v.key == f"messages {a.topic_name}" for v in graph.status.values),
        "the message that begins the bag")
    for i, publisher in enumerate((kept, *others)):
        publisher.publish(String(data=f"live {i}"))
    graph.publish_event("end")
    (path,) = graph.recorded(1)
    found = texts(path, kept.topic_name)
    assert sorted(found) == ["kept", "live 0", "live 1", "live 2"], "each of them once"


def test_the_end_of_another_run_does_not_end_an_episode(graph):
    a = graph.publisher(String)
    graph.publish_event("begin", index=0, run="mine")
    a.publish(String(data="1"))
    graph.publish_event("end", index=7, success=True, run="other")
    graph.output.wait_for("'end' of run other")
    a.publish(String(data="2"))
    graph.publish_event("end", success=False, run="mine")
    (path,) = graph.recorded(1)
    assert texts(path, a.topic_name) == ["1", "2"]
    with Bag(path) as bag:
        assert (bag.custom["run"], bag.custom["outcome"]) == ("mine", "failure")


def test_two_cameras_on_one_topic_are_named_in_the_bag(graph):
    camera = graph.publisher(Image)
    second = graph.node.create_publisher(Image, camera.topic_name, 10)
    graph.until(lambda: camera.topic_name in graph.status.message,
                "the status")
    graph.publish_event("begin", index=0)
    graph.until(lambda: any(v.key == f"publishers {camera.topic_name}"
                            for v in graph.status.values), "the names")
    msg = Image()
    fill_image(msg, np.zeros((4, 4, 3), np.uint8))
    for publisher in (camera, second):
        publisher.publish(msg)
    graph.publish_event("end")
    (path,) = graph.recorded(1)
    with Bag(path) as bag:
        assert bag.custom[f"publishers {camera.topic_name}"] == "/source, /source"


def test_a_topic_with_two_types_is_named_and_the_rest_recorded(graph):
    name = next(names)
    context = new_context()  # one process may not even offer both
    other = rclpy.create_node("other", context=context)
    try:
        other.create_publisher(Float64, name, 10)
        graph.until(lambda: graph.node.count_publishers(name), "the other node")
        graph.node.create_publisher(String, name, 10)
        graph.output.wait_for(f"/{name} ")
        a = graph.publisher(String)
        graph.publish_event("begin", index=0)
        a.publish(String(data="x"))
        graph.publish_event("end")
        (path,) = graph.recorded(1)
        assert texts(path, a.topic_name) == ["x"]
        assert graph.process.poll() is None
        assert f"/{name} is published with types" in graph.output.text
    finally:
        other.destroy_node()
        context.try_shutdown()


def test_the_end_of_the_process_completes_the_bag(graph):
    a = graph.publisher(String)
    graph.publish_event("begin", index=0, task="reach")
    a.publish(String(data="x"))
    graph.until(lambda: any(
        v.key == f"messages {a.topic_name}" for v in graph.status.values), "the message")
    topic = a.topic_name
    assert graph.close() == 0
    (path,) = graph.out.iterdir()
    assert texts(path, topic) == ["x"]
    with Bag(path) as bag:
        assert bag.custom["outcome"] == "interrupted"


def test_topics_are_chosen_by_name_and_pattern(tmp_path):
    graph = RecorderGraph(tmp_path / "episodes", topics=["wanted", "/also/.*"],
                          exclude=["/also/not"])
    publishers = {n: graph.node.create_publisher(String, n, 10)
                  for n in ("wanted", "/also/this", "/also/not", "unwanted")}
    for name in ("wanted", "/also/this"):
        graph.until(lambda n=name: publishers[n].get_subscription_count(), name)
    graph.publish_event("begin", index=0)
    for publisher in publishers.values():
        publisher.publish(String(data="x"))
    graph.publish_event("end")
    (path,) = graph.recorded(1)
    with Bag(path) as bag:
        assert set(bag.topics) == {"/wanted", "/also/this", "/episode"}
    graph.close()


def test_an_episode_topic_of_another_type_is_named_and_the_recorder_lives(tmp_path):
    """A publisher of strings on the topic ended the recorder with its first message."""
    context = new_context()
    node = rclpy.create_node("source", context=context)
    publisher = node.create_publisher(String, "episode", EPISODE_QOS)
    publisher.publish(String(data="begin"))
    process = start_node(RECORDER, out=str(tmp_path / "episodes"))
    output = Output(process)
    output.wait_for("episode events are diagnostic_msgs/msg/DiagnosticStatus")
    publisher.publish(String(data="begin"))
    service = node.create_client(Trigger, f"{RECORDER}/begin")
    assert service.wait_for_service(LIMIT_S)
    answer = service.call_async(Trigger.Request())
    rclpy.spin_until_future_complete(node, answer, SingleThreadedExecutor(context=context),
                                     timeout_sec=LIMIT_S)
    assert answer.result().success
    assert stop(process) == 0
    assert "Traceback" not in output.text
    node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize(("parameters", "words"), [
    ({"topics": ["("]}, "'topics' holds '('"),
    ({"compression": "rar"}, "compression"),
    ({"checkpoint": "/nowhere"}, "Cannot read checkpoint /nowhere")])
def test_wrong_parameters_are_one_sentence(tmp_path, parameters, words):
    output = Output(start_node(RECORDER, out=str(tmp_path / "episodes"), **parameters))
    assert output.wait_end() == 2
    assert words in output.text
    assert "Traceback" not in output.text
