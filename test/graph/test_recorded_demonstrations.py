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

"""Demonstrations in the recorder: what is discarded, what counts, and who commanded."""

from __future__ import annotations

import rclpy
from std_msgs.msg import String
from std_srvs.srv import Trigger

from harness.left_over import new_context
from harness.recorder_graph import texts
from harness.recordings import write_bag
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.nodes.shared.runner import LATCHED


def counted(graph, **expected: int) -> None:
    """Wait until the recorder's diagnostics have these values."""
    graph.until(lambda: expected.items() <= {
        v.key: int(v.value) for v in graph.status.values if v.key in expected}.items(),
        str(expected))


def test_a_discarded_episode_is_kept_apart_and_its_name_is_free_again(graph):
    """As a person who makes a mistake and demonstrates again."""
    a = graph.publisher(String)
    discarded = graph.out / "discarded"
    for attempt in ("first", "second", "third"):
        graph.publish_event("begin", index=3, task="reach", run="r", commander="human")
        a.publish(String(data=attempt))
        if attempt == "third":
            graph.publish_event("end", index=3, success=True, run="r")
        else:
            graph.publish_event("abort", index=3, discard="true", run="r")
    (path,) = graph.recorded(1)
    counted(graph, kept=1, successes=1, failures=0, discarded=2)
    assert path.name == "0003_reach"
    assert texts(path, a.topic_name) == ["third"]
    assert [p.name for p in sorted(discarded.iterdir())] == ["0003_reach", "0003_reach-2"]
    assert [texts(p, a.topic_name) for p in sorted(discarded.iterdir())] == [["first"], ["second"]]
    with Bag(discarded / "0003_reach") as bag:
        assert (bag.custom["outcome"], bag.custom["commander"]) == ("discarded", "human")
    assert find_bags(graph.out) == [path]


def test_the_discard_service_takes_the_running_episode_and_then_the_last_one_once(graph):
    a = graph.publisher(String)
    refused = graph.call(Trigger, "discard", Trigger.Request())
    assert not refused.success
    for index, text in enumerate(("kept", "bad after all", "bad at once")):
        graph.publish_event("begin", index=index)
        a.publish(String(data=text))
        if text == "bad at once":
            graph.until(lambda: "0002" in graph.status.message, "the third episode")
            assert graph.call(Trigger, "discard", Trigger.Request()).success
        else:
            graph.publish_event("end", success=True)
        if text == "bad after all":
            graph.recorded(2)
            answer = graph.call(Trigger, "discard", Trigger.Request())
            assert answer.success
            assert "0001" in answer.message
            assert not graph.call(Trigger, "discard", Trigger.Request()).success, \
                "a second press must not discard another one"
    counted(graph, kept=1, successes=1, discarded=2)
    assert [p.name for p in find_bags(graph.out)] == ["0000"]
    with Bag(graph.out / "discarded" / "0001") as late, Bag(graph.out / "discarded/0002") as now:
        assert (late.custom["outcome"], now.custom["outcome"]) == ("success", "discarded")


def test_a_late_discard_of_another_episode_is_ignored(graph):
    a = graph.publisher(String)
    graph.publish_event("begin", index=4, run="mine")
    a.publish(String(data="x"))
    graph.publish_event("end", index=4, run="mine", success=True)
    graph.recorded(1)
    graph.publish_event("abort", index=3, run="mine", discard="true")
    graph.publish_event("abort", index=4, run="other", discard="true")
    graph.output.wait_for("'abort' of episode 4 of run other is ignored")
    graph.publish_event("abort", index=4, run="mine", discard="true")
    counted(graph, kept=0, discarded=1)


def test_episodes_are_counted_by_what_is_on_the_disk(tmp_path, start_graph):
    out = tmp_path / "episodes"
    for name, outcome in (("a", "success"), ("b", "success"), ("c", "failure"), ("d", "aborted"),
                          ("discarded/e", "success")):
        write_bag(out / name, {"/a": ["x"]}, {"outcome": outcome})
    write_bag(out / "cut", {"/a": ["x"] * 20}, close=False)
    graph = start_graph()
    counted(graph, kept=4, successes=2, failures=1, discarded=1)
    (out / "b").rename(out / "discarded" / "b")  # by hand
    counted(graph, kept=3, successes=1, failures=1, discarded=2)
    graph.publish_event("begin", index=0)
    graph.until(lambda: any(v.key == "recording_s" and float(v.value) >= 0.0
                            for v in graph.status.values), "how long it is recorded")


def test_who_commands_is_in_every_episode_and_a_node_that_is_gone_commands_nothing(start_graph):
    graph = start_graph(commander="human")
    a = graph.publisher(String)
    context = new_context()
    teleop = rclpy.create_node("teleop", context=context)
    claims = teleop.create_publisher(String, "~/commander", LATCHED)
    graph.until(lambda: claims.get_subscription_count(), "the recorder")
    claims.publish(String(data="human"))
    graph.publish_event("begin", index=0)
    a.publish(String(data="x"))
    graph.publish_event("end")
    graph.recorded(1)
    teleop.destroy_node()
    context.try_shutdown()
    graph.until(lambda: not graph.node.count_publishers("/teleop/commander"), "its end")
    graph.publish_event("begin", index=1, commander="policy")
    a.publish(String(data="x"))
    graph.publish_event("end")
    first, second = graph.recorded(2)
    assert texts(first, "/teleop/commander") == ["human"]
    assert texts(second, "/teleop/commander") == []
    with Bag(first) as one, Bag(second) as two:
        assert (one.custom["commander"], two.custom["commander"]) == ("human", "policy")


def test_two_nodes_on_one_commander_topic_are_named_in_the_bag(graph):
    graph.node.create_publisher(String, "commander", LATCHED)
    graph.add_node("other", "").create_publisher(String, "commander", LATCHED)
    graph.until(lambda: "/commander" in graph.status.message, "a warning")
