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

"""``tinyvla sim-eval --record``, then what ``tinyvla bag`` makes of the episodes."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from harness.processes import Output, start
from tinyvla_ros.bags.commander import read_commanders
from tinyvla_ros.bags.info import bag_info
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.files import checkpoint_digest

pytestmark = pytest.mark.simulator
CAMERAS = ("side", "front", "wrist")


@pytest.fixture(scope="module")
def recorded(tiny_checkpoint, tmp_path_factory):
    """Bags of two lock-step episodes."""
    out = tmp_path_factory.mktemp("recorded") / "results"
    output = Output(start(sys.executable, "-m", "tinyvla_ros.cli", "sim-eval", "--tasks",
                          "reach-v3", "--episodes", "2", "--checkpoint", str(tiny_checkpoint),
                          "--record", "--out", str(out)))
    assert output.wait_end() == 0, output.text
    return find_bags(out / "episodes")


def commanders_at_chunks(path) -> set[str]:
    """Return who commanded whenever a chunk was published."""
    with Bag(path) as bag:
        times = [message.publish_ns for message in bag.messages(["/action_chunk"])]
        return set(read_commanders(bag).commanders.at(np.array(times)))


def test_every_message_of_every_episode_is_there(recorded, tiny_checkpoint):
    assert [p.name for p in recorded] == ["0000_reach-v3_seed0", "0001_reach-v3_seed1"]
    for path in recorded:
        with Bag(path) as bag:
            found = bag_info(bag)
            counts, custom = {t.name: t.count for t in found.topics}, bag.custom
        steps, chunks = int(custom["steps"]), int(custom["chunks"])
        # An observation before every chunk, and one of how it ended.
        assert chunks == -(-steps // 8)
        for topic in (*(f"/camera/{n}/image_raw" for n in CAMERAS), "/joint_states", "/ee_pose",
                      "/clock"):
            assert counts[topic] >= chunks + 1, topic
        assert counts["/action_chunk"] >= chunks
        assert counts["/episode"] == 2
        assert counts["/instruction"] == 1
        assert custom["outcome"] in ("success", "failure")
        assert custom["checkpoint_digest"] == checkpoint_digest(tiny_checkpoint)
        assert custom["backend"].startswith("torch ")
        assert custom["sample_steps"] == "2"
        assert "actions:" in custom["robot_contract"]
        assert not [k for k in custom if k.startswith(("lost", "dropped"))]
        # Between its chunks nobody does, for as long as the machine takes to compute the next.
        assert set(found.commanders) <= {"policy", "nobody"}
        assert commanders_at_chunks(path) == {"policy"}


def test_bags_do_not_tell_where_the_checkpoint_was(recorded, tiny_checkpoint):
    for path in recorded:
        with Bag(path) as bag:
            assert bag.custom["checkpoint"] == tiny_checkpoint.name
        for file in path.iterdir():
            assert str(tiny_checkpoint).encode() not in file.read_bytes()


def test_replay_gives_every_chunk_again(recorded, tiny_checkpoint, capsys, monkeypatch):
    monkeypatch.chdir(tiny_checkpoint.parent)  # its name is noted, and found from there
    assert main(["bag", "replay", *map(str, recorded)]) == 0
    out = capsys.readouterr().out
    for path in recorded:
        with Bag(path) as bag:
            chunks = int(bag.custom["chunks"])
        line = next(x for x in out.splitlines() if path.name in x)
        same, of = (int(w) for w in line.split(": ")[1].split(" chunks")[0].split(" of "))
        assert same == of >= chunks


def test_replay_notices_another_policy(recorded, tiny_config, tmp_path, capsys):
    from harness.policies import write_random_checkpoint

    write_random_checkpoint(tmp_path / "other", tiny_config, seed=1)
    code = main(["bag", "replay", str(recorded[0]), "--checkpoint", str(tmp_path / "other")])
    out = capsys.readouterr().out
    assert code == 1
    assert "largest difference" in out
    assert "recorded with checkpoint" in out


def test_info_and_recover_through_the_command_line(recorded, tiny_checkpoint, tmp_path, capsys):
    copy = tmp_path / "bag"
    shutil.copytree(recorded[0], copy)
    file = next(copy.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-1000])
    (copy / "metadata.yaml").unlink()
    assert main(["bag", "info", str(copy)]) == 2
    assert "tinyvla bag recover" in capsys.readouterr().out
    assert main(["bag", "recover", str(copy), "--out", str(tmp_path / "whole")]) == 0
    assert main(["bag", "info", str(tmp_path / "whole"), "--json"]) == 0
    assert '"task": "reach-v3"' in capsys.readouterr().out
    assert main(["bag", "replay", str(tmp_path / "whole")]) == 2
    assert f"digest {checkpoint_digest(tiny_checkpoint)}" in capsys.readouterr().out
    assert main(["bag", "replay", str(tmp_path / "whole"), "--checkpoint",
                 str(tiny_checkpoint)]) == 0


def test_what_replay_needs_and_does_not_find_is_one_sentence(tiny_checkpoint, tmp_path, capsys):
    from harness.recordings import write_bag

    other = write_bag(tmp_path / "other", {"/a": ["x"]})
    assert main(["bag", "replay", str(other)]) == 2
    assert "give --checkpoint DIR" in capsys.readouterr().out
    checkpoint = str(tiny_checkpoint)  # as release 0.1.0 noted it
    assert main(["bag", "replay", str(other), "--checkpoint", checkpoint]) == 2
    assert "give --robot FILE" in capsys.readouterr().out
    rtc = write_bag(tmp_path / "rtc", {"/a": ["x"]}, {"join": "rtc", "checkpoint": checkpoint})
    assert main(["bag", "replay", str(rtc), "--robot", "config/robots/metaworld.yaml"]) == 2
    assert "join 'rtc'" in capsys.readouterr().out
