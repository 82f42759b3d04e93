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

"""What a checkpoint tells of the demonstrations that it and those before it were trained with."""

from __future__ import annotations

import json

import pytest

from training.learning.lineage import lineage

FIRST = {"data": [{"fingerprint": "a"}, {"fingerprint": "b"}],
         "demonstrations": {"reach": 50, "push": 50}, "init": None}


def after(tmp_path, report, fingerprints, demonstrations):
    (tmp_path / "training.json").write_text(json.dumps(report))
    return lineage(fingerprints, demonstrations, tmp_path)["all_demonstrations"]


@pytest.mark.parametrize(("fingerprints", "demonstrations", "known"), [
    (["a", "b"], {"reach": 50, "push": 50}, {"reach": 50, "push": 50}),
    (["a", "b", "c"], {"reach": 110, "push": 50}, {"reach": 110, "push": 50}),
    (["c"], {"reach": 60, "pull": 5}, {"reach": 110, "push": 50, "pull": 5}),
    (["a", "c"], {"reach": 85, "push": 25}, None)])
def test_data_of_both_are_counted_once(fingerprints, demonstrations, known, tmp_path):
    assert after(tmp_path, FIRST, fingerprints, demonstrations) == known


def test_a_chain_is_followed_as_far_as_it_is_told(tmp_path):
    (tmp_path / "training.json").write_text(json.dumps(FIRST))
    second = FIRST | {"init": {"digest": "0"}} | lineage(["c"], {"reach": 60}, tmp_path)
    assert after(tmp_path, second, ["d"], {"reach": 7}) == {"reach": 117, "push": 50}
    assert after(tmp_path, second | {"all_data": None, "all_demonstrations": None}, ["d"],
                 {"reach": 7}) is None


@pytest.mark.parametrize("report", [{}, [], FIRST | {"init": {"digest": "0"}}, {"data": 3}])
def test_of_a_checkpoint_that_does_not_tell_nothing_is_known(report, tmp_path):
    assert after(tmp_path, report, ["c"], {"reach": 1}) is None
    (tmp_path / "training.json").unlink()
    assert lineage(["c"], {"reach": 1}, tmp_path)["all_demonstrations"] is None


def test_without_another_checkpoint_the_run_has_all():
    assert lineage(["b", "a"], {"reach": 1}, None) == {
        "all_data": ["a", "b"], "all_demonstrations": {"reach": 1}}
