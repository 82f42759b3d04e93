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

"""The frames exported from bags hold what was seen at their times, by the stamps."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from harness import bags
from harness.bags import CHANNELS, SIM_NS, STATE, WALL_NS, WORDS
from tinyvla_ros.core.configuration import read_json
from training.data.lerobot.reader import read_tables
from training.data_check.check import check

DT_NS = 12_500_000


def stamps(first: int, last: int) -> list[int]:
    """Return the stamps of some observations of ``bags.lockstep``."""
    return [SIM_NS + i * 4 * DT_NS for i in range(first, last)]


def test_lockstep_gives_observations_and_the_executed_rows_of_every_chunk(tmp_path):
    bag = bags.write(tmp_path / "bag", bags.lockstep(12))
    before = bags.contents(bag)
    assert bags.export(tmp_path / "data", bag) == 0
    data = bags.load(tmp_path / "data")
    # The last of 12 observations has no action after it.
    assert bags.numbers(data.images) == [list(range(11))] * 2
    assert data.images[0, 0, 0, 0, 0] == 0
    assert data.images[0, 1, 0, 0, 0] == 100
    i = np.arange(11)
    expected = np.stack([i, i / 2, i / 10, i / 5, 3 * i / 10], 1)
    np.testing.assert_allclose(data.states, expected, atol=1e-6)
    np.testing.assert_array_equal(data.actions,
                                  np.stack([bags.chunk_rows(n)[:4] for n in range(11)]))
    assert data.tasks == (WORDS,)
    assert bags.contents(bag) == before


def test_the_dataset_passes_data_check_and_names_things_as_the_contract(tmp_path):
    bags.write(tmp_path / "bags" / "a", bags.lockstep(12))
    bags.write(tmp_path / "bags" / "b", bags.lockstep(12))
    assert bags.export(tmp_path / "data", tmp_path / "bags") == 0
    tables = read_tables(tmp_path / "data")
    assert [f.text for f in check(tables).findings if f.error] == []
    features = tables.info["features"]
    assert list(features)[:4] == ["observation.images.front", "observation.images.wrist",
                                  "observation.state", "action"]
    assert features["observation.state"]["names"] == list(STATE)
    assert features["action"]["names"] == [f"{c}.{i}" for i in range(4) for c in CHANNELS]
    about = read_json(tmp_path / "data/meta/bags.json")
    assert [e["bag"] for e in about["episodes"]] == ["a", "b"]
    assert about["episodes"][0]["first_stamp_ns"] == SIM_NS


def test_an_episode_that_ends_within_a_frame_ends_with_the_frame_before(tmp_path):
    # The last observation comes after one of four control steps.
    sent = bags.lockstep(8)
    last = SIM_NS + 7 * 4 * DT_NS
    early = last - 3 * DT_NS
    sent = [s for s in sent if bags.stamp_of(s) != last]
    log = WALL_NS + 7 * 200_000_000
    sent += [bags.clock(early, log), bags.joints(early, {"joint_1": 7.0, "joint_2": 3.5}, log),
             bags.pose(early, 0.7, log), *(bags.image(c, early, 7, log) for c in bags.CAMERAS)]
    bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent))
    assert len(bags.load(tmp_path / "data").images) == 6


@pytest.mark.parametrize("pick, tolerance", [("nearest", 0.02), ("hold", 0.04)])
def test_each_frame_has_the_message_that_belongs_to_its_time(tmp_path, pick, tolerance):
    sent = bags.arm_messages()
    bag = bags.write(tmp_path / "bag", sent)
    bags.export(tmp_path / "data", bag, "--robot", bags.arm_contract(tmp_path), "--pick", pick,
           "--tolerance", tolerance)
    data = bags.load(tmp_path / "data", dt=0.05, state=("joint_1", "elbow"),
                channels=("joint_1", "elbow"))
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    assert len(data.images) > 30
    front, wrist = (np.array([bags.stamp_of(s) for s in sent if camera in s.topic])
                    for camera in bags.CAMERAS)
    for i, (image, other) in enumerate(zip(*bags.numbers(data.images), strict=True)):
        now = begin + i * 50_000_000
        assert image == (np.abs(front - now).argmin() if pick == "nearest" else
                         np.flatnonzero(front <= now)[-1])
        # The rest of a frame is what the policy node has with that image.
        assert other == np.abs(wrist - front[image]).argmin()
        assert abs(wrist[other] - front[image]) <= tolerance * 1e9


def test_a_hole_inside_refuses_the_episode_and_one_at_an_end_is_cut(tmp_path, capsys):
    sent = bags.lockstep(20)
    inside = [s for s in sent if not (s.topic == "/camera/wrist/image_raw"
                                      and bags.stamp_of(s) in stamps(8, 10))]
    said = bags.refusal(bags.write(tmp_path / "a", inside), tmp_path, capsys)
    assert re.search(r"/camera/wrist/image_raw .*10\.350 s .*10\.500 s .*0\.150 s", said)
    assert "2 of 19 frames" in said
    ends = [s for s in sent if not (s.topic == "/camera/wrist/image_raw"
                                    and bags.stamp_of(s) in (*stamps(0, 2), *stamps(17, 20)))]
    assert bags.export(tmp_path / "cut", bags.write(tmp_path / "b", ends)) == 0
    data = bags.load(tmp_path / "cut")
    assert bags.numbers(data.images) == [list(range(2, 17))] * 2
    np.testing.assert_array_equal(data.actions[0], bags.chunk_rows(2)[:4])


def test_stray_messages_of_the_next_episode_are_cut(tmp_path):
    sent = bags.lockstep(12)
    log = WALL_NS + 12 * 200_000_000
    later = SIM_NS + 10_000_000_000
    sent += [bags.clock(later, log), bags.joints(later, {"joint_1": 0.0, "joint_2": 0.0}, log),
             bags.pose(later, 0.0, log), *(bags.image(c, later, 99, log) for c in bags.CAMERAS)]
    bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent))
    assert bags.numbers(bags.load(tmp_path / "data").images) == [list(range(11))] * 2


def test_a_tolerance_that_nothing_meets_is_one_sentence(tmp_path, capsys):
    sent = [s for s in bags.arm_messages(1.0) if not (
        s.topic == "/camera/wrist/image_raw" and WALL_NS + 4e8 < bags.stamp_of(s) < WALL_NS + 6e8)]
    bag = bags.write(tmp_path / "bag", sent)
    contract = bags.arm_contract(tmp_path)
    assert "raise --tolerance" in bags.refusal(bag, tmp_path, capsys, "--robot", contract)
    assert bags.export(tmp_path / "data", bag, "--robot", contract, "--tolerance", 0.2) == 0


@pytest.mark.parametrize("arguments, rate, reason", [
    ((), 30, "ran at 20 Hz by its stamps, the robot contract declares 30 Hz"),
    (("--fps", 40), None, "--fps 40 is more than the 20 Hz"),
    (("--fps", 15), None, "5.33 control steps of 12.5 ms; give --fps 10 or 16 or 20"),
])
def test_rates_that_disagree_are_refused_with_both_numbers(tmp_path, capsys, arguments, rate,
                                                           reason):
    contract = json.loads(json.dumps(bags.CONTRACT))
    for camera in contract["cameras"].values():
        camera["rate"] = rate
    bag = bags.write(tmp_path / "bag", bags.lockstep(12),
                     bags.custom(robot_contract=json.dumps(contract)))
    sentence = bags.refusal(bag, tmp_path, capsys, "--tolerance", 0.05, *arguments)
    assert reason in sentence
