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

"""Which trials there are, what is kept of them, and what the tables say."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.trial.log import JudgedTrial, TrialLog
from tinyvla_ros.trial.protocol import TrialProtocol, plan_trials
from tinyvla_ros.trial.summary import summary

PROTOCOL = TrialProtocol(instructions=("lift it", "push it"), cards=("left", "right", "far"),
                         repeats=2)


def judged(number: int, scene: int, checkpoint: str, outcome: str, **more) -> JudgedTrial:
    return JudgedTrial(**{"number": number, "scene": scene, "checkpoint": checkpoint,
                          "outcome": outcome, "instruction": "lift it", "card": "", "seconds": 3.0,
                          "date": "2026-11-27T12:00:00+00:00", **more})


def test_every_checkpoint_tries_every_scene_in_random_order():
    plan = plan_trials(PROTOCOL, 2, seed=4)
    assert [t.number for t in plan] == list(range(1, 25))
    assert Counter((t.instruction, t.card, t.checkpoint) for t in plan) == dict.fromkeys(
        [(i, c, k) for i in PROTOCOL.instructions for c in PROTOCOL.cards for k in (0, 1)], 2)
    for scene in range(1, 13):
        both = [t for t in plan if t.scene == scene]
        assert {t.checkpoint for t in both} == {0, 1}
        assert len({(t.instruction, t.card) for t in both}) == 1
    first = [t.checkpoint for t in plan[::2]]
    assert 0 < sum(first) < len(first), "neither always begins"
    assert plan == plan_trials(PROTOCOL, 2, seed=4) != plan_trials(PROTOCOL, 2, seed=5)


def test_a_series_goes_on_where_it_was_killed(tmp_path):
    out = tmp_path / "out"
    log = TrialLog(out, {"seed": 0})
    log.add(judged(1, 1, "a", "success", note="slow"))
    log.add(judged(2, 1, "b", "partial"))
    file = out / "trials.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"number": 3, "sce')  # killed in the middle of a line
    again = TrialLog(out, {"seed": 0})
    assert again.trials == log.trials
    again.add(judged(3, 2, "a", "failure"))
    assert file.read_text().startswith(whole)
    assert sorted(TrialLog(out, {"seed": 0}).trials) == [1, 2, 3]


def test_other_trials_in_the_directory_are_refused(tmp_path):
    TrialLog(tmp_path / "out", {"seed": 0})
    with pytest.raises(InputError, match=r"another seed \(0, now 1\)"):
        TrialLog(tmp_path / "out", {"seed": 1})


def test_a_line_that_somebody_broke_is_named(tmp_path):
    log = TrialLog(tmp_path / "out", {})
    log.add(judged(1, 1, "a", "success"))
    file = tmp_path / "out/trials.jsonl"
    file.write_text(file.read_text().replace("success", "great"))
    with pytest.raises(InputError, match=r"trials.jsonl, line 1: outcome"):
        TrialLog(tmp_path / "out", {})


def test_tables_have_intervals_and_a_paired_test():
    trials = [judged(2 * s - 1, s, "a", "success") for s in range(1, 11)]
    trials += [judged(2 * s, s, "b", "success" if s > 6 else "partial" if s > 4 else "failure")
               for s in range(1, 11)]
    text = summary(trials, {"a": "old", "b": "new"})
    assert "100 % (72-100)" in text
    assert "40 % (17-69)" in text
    assert "On 10 scenes that both tried only old succeeds in 6, only new in 0" in text
    assert "p = 0.0312" in text
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert [cell.strip() for cell in rows["partial"].split("|")[2:4]] == ["0", "2"]


@pytest.mark.parametrize(("protocol", "words"), [
    ({"instructions": []}, "instructions"),
    ({"instructions": [""]}, "instructions"),
    ({"instructions": ["a"], "repeats": 0}, "repeats"),
    ({"instructions": ["a"], "limit": -1}, "limit"),
    ({"instructions": ["a"], "card": ["x"]}, "cards"),
    ([1, 2], "protocol.yaml"),
])
def test_a_protocol_that_cannot_be_is_one_sentence(tmp_path, capsys, protocol, words):
    file = tmp_path / "protocol.yaml"
    file.write_text(yaml.safe_dump(protocol))
    assert main(["trial", str(file), "--robot", "r.yaml", "--checkpoint", "c", "--out",
                 str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error, error
    assert not (tmp_path / "out").exists()
