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

"""Who commanded in a bag, by topics and by what its begin says; and episodes as a table."""

from __future__ import annotations

import numpy as np
import pytest

from harness.recordings import START_NS, STRING, text_message, write_bag
from tinyvla_ros.bags.commander import read_commanders
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata, qos_profile
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.ros.commander import Commanders

S = 1_000_000_000
LATCHED = qos_profile("keep_last", 1, "reliable", "transient_local")
HUMAN, POLICY = "/teleop_node/commander", "/policy_node/commander"


def write(path, said, custom=None, publishers=1, seconds=10.0):
    """Write a bag with (second, topic, text); negative seconds: published before it began."""
    writer = BagWriter(path, custom or {})
    for topic in {"/a", *(topic for _, topic, _ in said)}:
        writer.add_topic(TopicMetadata(topic, STRING, definition(STRING), [LATCHED] * publishers))
    for at in (0.0, seconds):
        writer.write("/a", START_NS + round(at * S), START_NS + round(at * S), text_message("x"))
    for at, topic, text in said:
        published = START_NS + round(at * S)
        writer.write(topic, max(published, START_NS), published, text_message(text))
    writer.close()
    return path


def shares(path) -> dict[str, float]:
    with Bag(path) as bag:
        found = read_commanders(bag).commanders.shares(bag.start_ns, bag.end_ns)
    return {name: round(share, 3) for name, share in found.items()}


def test_shares_of_time_are_by_who_claims(tmp_path):
    said = [(-60.0, HUMAN, ""), (-60.0, POLICY, "policy"), (2.0, POLICY, ""),
            (3.0, HUMAN, "human"), (8.0, HUMAN, ""), (9.0, HUMAN, "human"),
            (9.5, POLICY, "policy")]
    path = write(tmp_path / "bag", said)
    assert shares(path) == {"human": 0.55, "policy": 0.2, "nobody": 0.2, "several": 0.05}


def test_a_claim_just_before_the_begin_counts_and_not_the_one_long_before_it(tmp_path):
    """Both are at the beginning of the bag; the older one has the time of the begin."""
    path = write(tmp_path / "bag", [(-0.05, HUMAN, "human"), (-9.0, HUMAN, "")])
    assert shares(path) == {"human": 1.0}


@pytest.mark.parametrize(("noted", "said", "expected"), [
    ("human", [], {"human": 1.0}),
    ("human", [(0.0, POLICY, "")], {"human": 1.0}),
    ("human", [(0.0, HUMAN, "human"), (5.0, HUMAN, "")], {"human": 0.5, "nobody": 0.5}),
    ("human", [(0.0, POLICY, "policy")], {}),
    ("", [(0.0, POLICY, "policy")], {"policy": 1.0}),
    ("", [(0.0, POLICY, "")], {"nobody": 1.0}),
    ("", [], {})])
def test_the_begin_is_believed_where_no_topic_says_otherwise(tmp_path, noted, said, expected):
    path = write(tmp_path / "bag", said, {"commander": noted} if noted else None)
    assert shares(path) == expected
    with Bag(path) as bag:
        found = read_commanders(bag)
    assert found.contradicts == (noted == "human" and expected == {})
    assert bool(found.why) == (not expected)


def test_two_publishers_on_one_topic_say_nothing(tmp_path, capsys):
    path = write(tmp_path / "bag", [(0.0, "/commander", "human")], publishers=2)
    assert shares(path) == {}
    assert main(["bag", "info", str(path)]) == 0
    assert "2 nodes published /commander" in capsys.readouterr().out
    path = write(tmp_path / "named", [(0.0, "/commander", "human")],
                 {"recorder": "tinyvla_ros 1", "publishers /commander": "/a, /b"})
    assert shares(path) == {}
    path = write(tmp_path / "restarted", [(0.0, HUMAN, "human")],
                 {"recorder": "tinyvla_ros 1"}, publishers=2)
    assert shares(path) == {"human": 1.0}


def test_topics_of_another_robot_are_not_read(tmp_path):
    said = [(0.0, f"/left{HUMAN}", "human"), (0.0, f"/right{POLICY}", "policy")]
    path = write(tmp_path / "bag", said, {"namespace": "/left"})
    assert shares(path) == {"human": 1.0}


def test_names_at_times():
    commanders = Commanders.of({HUMAN: [(10, "human"), (30, "")], POLICY: [(20, "policy")]})
    assert commanders.at(np.array([[5, 10], [25, 30]])).tolist() == [
        ["nobody", "human"], ["several", "policy"]]


def test_a_folder_is_a_table_with_totals_and_without_what_was_discarded(tmp_path, capsys):
    about = {"task": "reach", "outcome": "success", "commander": "human", "lost /a": "3"}
    write(tmp_path / "0000", [], about)
    write(tmp_path / "0001", [], about | {"outcome": "failure"}, seconds=30.0)
    write(tmp_path / "0002", [(0.0, POLICY, "policy")], {"outcome": "success"})
    write(tmp_path / "discarded" / "0003", [], about)
    write_bag(tmp_path / "cut", {"/a": ["x"] * 20}, close=False)
    assert main(["bag", "info", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "tinyvla bag recover" in out
    rows = {line.split("|")[1].strip(): line for line in out.splitlines() if line.count("|") > 3}
    assert "0003" not in rows
    for cell in ("reach", "failure", "30.0", "human 100 %", " 3 "):
        assert cell in rows["0001"]
    assert "3 episodes, 50.0 s: 2 success, 1 failure" in out
    assert "commander: human 80 %, policy 20 %" in out
    assert "1 discarded" in out
    assert main(["bag", "info", str(tmp_path / "discarded")]) == 0
    assert "discarded/0003" in capsys.readouterr().out
    assert main(["bag", "info", str(tmp_path / "0002")]) == 0
    assert "commander: policy 100 %" in capsys.readouterr().out


def test_a_folder_of_discarded_bags_alone_says_where_they_are(tmp_path, capsys):
    write(tmp_path / "discarded" / "0003", [])
    assert main(["bag", "info", str(tmp_path)]) == 2
    assert f"name {tmp_path}/discarded" in capsys.readouterr().err
