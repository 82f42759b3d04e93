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

"""Training goes on from a checkpoint that knew other instructions."""

from __future__ import annotations

import pytest
import torch

from harness.policies import tiny_policy_config, write_random_checkpoint
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import PolicyNetwork
from training.learning.initial_weights import weights_for

OLD, NEW = ["open the door", "close the door"], ["close the door", "wave", "open the door"]
HASHED = {"kind": "hashed", "dim": 64}


def _adopted(tmp_path, before: dict, after: dict):
    """Return the network before, one after it with the weights, and that one's own."""
    write_random_checkpoint(tmp_path / "before", tiny_policy_config(**before))
    start = load_checkpoint(tmp_path / "before")
    torch.manual_seed(9)
    network = PolicyNetwork(tiny_policy_config(**after))
    own = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights_for(network, start))
    return start.network.state_dict(), network.state_dict(), own


def _words(name: str) -> bool:
    return ".instruction." in name


def test_a_table_keeps_what_it_learned_of_an_instruction(tmp_path):
    before, after, own = _adopted(tmp_path, {"instructions": OLD}, {"instructions": NEW})
    name = next(filter(_words, after))
    assert torch.equal(after[name], torch.stack([before[name][1], own[name][1], before[name][0]]))
    assert all(torch.equal(before[k], after[k]) for k in after if not _words(k))


def test_hashed_words_keep_what_they_learned(tmp_path):
    before, after, own = _adopted(
        tmp_path, {"instructions": OLD, "language": HASHED},
        {"instructions": NEW, "language": HASHED, "paraphrases": {"wave": ["wave the hand"]}})
    changed = {k for k in after if before[k].shape != after[k].shape
               or not torch.equal(before[k], after[k])}
    # The known wordings alone, which are those of the new network.
    assert len(changed) == 1
    assert all(torch.equal(after[k], own[k]) and len(after[k]) == 4 for k in changed)


def test_what_decides_over_refusals_alone_changes_no_words(tmp_path):
    before, after, _ = _adopted(tmp_path, {"instructions": OLD, "language": HASHED}, {
        "instructions": OLD, "language": HASHED | {"min_similarity": 0.6}})
    assert all(torch.equal(before[k], after[k]) for k in after)


def test_other_ways_to_read_words_are_learned_anew(tmp_path):
    before, after, own = _adopted(tmp_path, {"instructions": OLD},
                                  {"instructions": NEW, "language": HASHED})
    assert all(torch.equal(after[k], (own if _words(k) else before)[k]) for k in after)
    assert any(map(_words, after))


@pytest.mark.parametrize("field", ["state", "model"])
def test_what_else_must_be_the_same(field, tmp_path):
    changes = {"state": tiny_policy_config().state[:-1],
               "model": tiny_policy_config().model.model_copy(update={"keypoints": 8})}[field]
    write_random_checkpoint(tmp_path / "before", tiny_policy_config())
    other = PolicyConfig.model_validate(
        tiny_policy_config().model_dump() | {field: changes})
    with pytest.raises(InputError, match=f"'{field}'"):
        weights_for(PolicyNetwork(other), load_checkpoint(tmp_path / "before"))
