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

"""Which of two runs goes on: all nodes of both come to the same verdict."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tinyvla_ros.core.ros.run_claims import Claim, RunClaims, new_run_id


def claim(node: str, run: str, **more) -> Claim:
    return Claim(node, run, f"{node}@{run}", "process 7 on host arm", **more)


def verdict(mine: Claim, *others: Claim) -> str:
    claims = RunClaims(mine)
    for other in others:
        claims.add(other)
    return claims.lost_to()


def test_ids_sort_by_time_and_differ():
    ids = [new_run_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)


@pytest.mark.parametrize("shared", [
    {"node": "/policy_node"}, {"topics": ("/camera", "/episode")}, {"group": "/left"}])
def test_of_two_runs_that_share_something_exactly_one_goes_on(shared):
    a = replace(claim("/a", "1"), **shared)
    b = replace(claim("/b", "2"), **shared)
    assert not verdict(a, b)
    assert "/a" in verdict(b, a).replace("/policy_node", "/a")
    assert "process 7 on host arm" in verdict(b, a) and "ROS_DOMAIN_ID" in verdict(b, a)


def test_the_run_that_has_begun_goes_on_whenever_the_other_started():
    early, late = claim("/a", "1", topics=("/t",)), claim("/a", "2", topics=("/t",))
    settled = replace(late, settled=True)
    assert "/t" in verdict(early, settled)
    assert not verdict(settled, early)
    # If they found each other too late, both have begun: still one of them.
    assert not verdict(replace(early, settled=True), settled)
    assert verdict(settled, replace(early, settled=True))


def test_only_who_will_end_yields():
    claims = RunClaims(claim("/a", "2", topics=("/t",), settled=True))
    for other in (claim("/b", "1", topics=("/t",)), claim("/c", "3", topics=("/t",)),
                  claim("/d", "4", topics=("/u",)),
                  claim("/e", "5", topics=("/t",), settled=True)):
        claims.add(other)
    assert sorted(claims.yielding("/t")) == ["/b", "/c"]


def test_all_nodes_of_a_run_lose_together():
    """Although a node's own rival has not started yet."""
    bridges = claim("/bridge", "1", topics=("/t",)), claim("/bridge", "2", topics=("/t",))
    policy = claim("/policy", "2")
    assert "/bridge" in verdict(policy, *bridges)
    assert not verdict(claim("/policy", "1"), *bridges)


def test_runs_that_share_nothing_leave_each_other_alone():
    left = claim("/left/policy_node", "1", topics=("/left/joint_states",), group="/left")
    right = claim("/right/policy_node", "2", topics=("/right/joint_states",), group="/right")
    recorder = claim("/episode_recorder_node", "3")
    for mine, *others in itertools.permutations([left, right, recorder]):
        assert not verdict(mine, *others)


def test_a_node_that_starts_again_in_its_run_is_no_rival():
    policy = claim("/policy_node", "1", settled=True)
    again = replace(policy, process="another", settled=False)
    assert not verdict(again, policy)
    assert not verdict(policy, again)


def test_a_claim_survives_the_wire_and_nonsense_is_no_claim():
    mine = claim("/a", "1", topics=("/t", "/u"), group="/", settled=True)
    assert Claim.read(mine.values().items()) == mine
    assert Claim.read([("node", "/a")]) is None
