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

"""Datasets of what a person commanded, of what a policy did, and of both."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness import bags
from training.data.lerobot.reader import read_tables
from training.data_check.check import check

S = 1_000_000_000
SECONDS = 3.0


def handover(clock: bool = True) -> list[bags.Sent]:
    """A policy until 1 s, a person until 2 s with a pause, the policy again."""
    return [*bags.realtime(SECONDS), *bags.claims(
        (0.0, "policy_node", "policy"), (0.0, "teleop_node", ""), (1.0, "policy_node", ""),
        (1.0, "teleop_node", "human"), (1.4, "teleop_node", ""), (1.5, "teleop_node", "human"),
        (2.0, "teleop_node", ""), (2.0, "policy_node", "policy"))]


def table(root):
    return pq.read_table(root / "data/chunk-000/file-000.parquet")


def episodes(root) -> list[dict]:
    return json.loads((root / "meta/bags.json").read_text())["episodes"]


@pytest.fixture
def folder(tmp_path):
    """Demonstrations, a policy's episode, one of both, and one that does not say it."""
    folder = tmp_path / "bags"
    bags.write(folder / "a_human", bags.realtime(SECONDS), bags.custom(commander="human"))
    bags.write(folder / "b_policy", [*bags.realtime(SECONDS),
                                     *bags.claims((0.0, "policy_node", "policy"))])
    bags.write(folder / "c_both", handover(), bags.custom(commander="policy"))
    return folder


def test_a_dataset_of_both_has_the_feature_and_says_what_the_mix_is(tmp_path, folder, capsys):
    out = tmp_path / "data"
    assert bags.export(out, folder) == 0
    printed = capsys.readouterr().out
    assert "mixed: commanded by " in printed
    assert "'intervention'" in printed
    feature = json.loads((out / "meta/info.json").read_text())["features"]["intervention"]
    assert feature == {"dtype": "bool", "shape": [1], "names": None}
    found = table(out)
    human = np.array(found["intervention"].to_pylist())
    episode = np.array(found["episode_index"].to_pylist())
    assert human[episode == 0].all()
    assert not human[episode == 1].any()
    about = episodes(out)[2]
    first = about["first_stamp_ns"]
    times = (first - bags.SIM_NS) / S + np.arange((episode == 2).sum()) / 20
    expected = ((times >= 1.0) & (times < 1.4)) | ((times >= 1.5) & (times < 2.0))
    # A message counts from the clock's time before it, a handover is right within a frame.
    assert (human[episode == 2] != expected).sum() <= 2
    assert about["commanders"]["human"] == human[episode == 2].sum()
    assert len(bags.load(out).starts) == 3, "training reads it"
    assert "intervention" not in " ".join(f.text for f in check(read_tables(out)).findings)


def test_the_parts_that_a_person_commanded_become_episodes(tmp_path, folder, capsys):
    out = tmp_path / "data"
    assert bags.export(out, folder, "--commander", "human") == 0
    printed = capsys.readouterr().out
    assert "no human commanded in it" in printed
    assert "left out 1 of 3 bags: 1 another commander" in printed
    assert "mixed" not in printed
    whole, part = episodes(out)
    assert (whole["bag"], part["bag"]) == ("a_human", "c_both")
    seconds = [(part[k] - bags.SIM_NS) / S for k in ("first_stamp_ns", "last_stamp_ns")]
    assert seconds == pytest.approx([1.0, 2.0], abs=0.1), "with the pause in between"
    assert "intervention" not in table(out).column_names


def test_a_policy_that_was_corrected_gives_an_episode_before_and_one_after(tmp_path, folder):
    out = tmp_path / "data"
    assert bags.export(out, folder / "c_both", "--commander", "policy", "--workers", 2) == 0
    before, after = episodes(out)
    assert before["last_stamp_ns"] < after["first_stamp_ns"]
    assert len(bags.load(out).starts) == 2


def test_what_is_not_known_is_never_mixed_in_silently(tmp_path, folder, capsys):
    bags.write(folder / "d_unknown", bags.realtime(SECONDS))
    out = tmp_path / "data"
    assert bags.export(out, folder) == 0
    printed = capsys.readouterr().out
    assert "unknown " in printed.split("mixed: ")[1]
    assert "nothing in the dataset tells them apart" in printed
    assert "intervention" not in table(out).column_names
    assert bags.export(tmp_path / "human", folder, "--commander", "human") == 0
    assert "d_unknown: it does not say who commanded" in capsys.readouterr().out
    assert [e["bag"] for e in episodes(tmp_path / "human")] == ["a_human", "c_both"]


def test_demonstrations_alone_are_no_mix(tmp_path, folder, capsys):
    assert bags.export(tmp_path / "data", folder / "a_human") == 0
    assert "mixed" not in capsys.readouterr().out
    assert "intervention" not in table(tmp_path / "data").column_names


def test_a_bag_that_contradicts_itself_is_refused(tmp_path, capsys):
    bag = bags.write(tmp_path / "bag", [*bags.realtime(SECONDS),
                                        *bags.claims((0.0, "policy_node", "policy"))],
                     bags.custom(commander="human"))
    line = bags.refusal(bag, tmp_path, capsys)
    assert "'human'" in line
    assert "/policy_node/commander" in line


def test_discarded_and_failed_episodes_are_counted_and_taken_only_where_named(tmp_path, capsys):
    folder = tmp_path / "bags"
    bags.write(folder / "a", bags.realtime(1.5))
    bags.write(folder / "b", bags.realtime(1.5), bags.custom(outcome="failure"))
    bags.write(folder / "discarded" / "c", bags.realtime(1.5))
    bags.write(folder / "discarded" / "d", bags.realtime(1.5), bags.custom(outcome="discarded"))

    def exported(name: str, *arguments) -> list[str]:
        assert bags.export(tmp_path / name, *arguments) == 0
        return [e["bag"] for e in episodes(tmp_path / name)]
    assert exported("default", folder) == ["a"]
    assert "left out 3 of 4 bags: 2 discarded, 1 outcome failure" in capsys.readouterr().out
    assert exported("all", folder, "--outcome", "all") == ["a", "b"]
    assert exported("failures", folder, "--outcome", "failure") == ["b"]
    assert exported("named", folder, folder / "discarded" / "c") == ["a", "c"]
    capsys.readouterr()
    assert exported("discarded", folder / "discarded") == ["c"]
    assert "its outcome is discarded; --outcome all" in capsys.readouterr().out
