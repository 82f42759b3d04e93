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

"""Policies that look at past observations: which ones they get, from messages and in rollouts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from harness.lerobot_source import (
    CASES,
    SEED,
    frames,
    import_case,
    observation,
    stamp,
    write_lerobot_checkpoint,
)
from harness.policies import tiny_policy_config
from sim_bridge.arms import METAWORLD
from sim_bridge.rollout import Episode, rollout
from tinyvla_ros.arm.observation.assembler import ObservationAssembler
from tinyvla_ros.core.types import ActionChunk, Observation
from tinyvla_ros.policy.policy import Policy

CASE = CASES["processors"]
STEP = stamp(1) - stamp(0)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    write_lerobot_checkpoint(folder / "source", CASE)
    return Policy(import_case(folder, CASE), seed=SEED)


@pytest.fixture(scope="module")
def seen():
    return [observation(frame, index) for index, frame in enumerate(frames(CASE, 4))]


def test_the_past_counts(policy, seen):
    alone = policy.infer(seen[3]).actions
    assert not np.array_equal(policy.infer(seen[3], past=[seen[2]]).actions, alone)


def test_at_the_start_the_first_observation_stands_for_the_past(policy, seen):
    alone = policy.infer(seen[3]).actions
    again = Observation(seen[3].stamp_ns - STEP, seen[3].images, seen[3].state, "go")
    assert np.array_equal(policy.infer(seen[3], past=[again]).actions, alone)


def test_the_nearest_observation_is_taken_in_any_order(policy, seen):
    wanted = policy.infer(seen[3], past=[seen[2]]).actions
    assert np.array_equal(policy.infer(seen[3], past=seen).actions, wanted)
    assert np.array_equal(policy.infer(seen[3], past=seen[::-1]).actions, wanted)


def test_nothing_is_remembered_and_the_future_does_not_count(policy, seen):
    alone = policy.infer(seen[1]).actions
    policy.infer(seen[3], past=seen[:3])
    assert np.array_equal(policy.infer(seen[1]).actions, alone)
    # Time went back: what is newer than the observation is of another time.
    assert np.array_equal(policy.infer(seen[1], past=seen[2:]).actions, alone)


def test_what_was_long_ago_does_not_stand_for_a_moment_ago(policy, seen):
    late = Observation(seen[3].stamp_ns + 10 * STEP, seen[3].images, seen[3].state, "go")
    assert np.array_equal(policy.infer(late, past=[seen[0]]).actions, policy.infer(late).actions)


def test_the_assembler_finds_the_past_between_images(policy, seen):
    assembler = ObservationAssembler(policy.config, STEP // 10,
                                     {"joint_states": {n: n for n in policy.config.state}})
    assembler.instruction = "go"
    for index in range(8):  # images come three times as often as the policy acts
        time_ns = stamp(0) + index * STEP // 3
        for name in policy.config.cameras:
            assembler.add_image(name, time_ns, seen[0].images[name])
        assembler.add_states("joint_states", time_ns, dict(seen[0].state))
    newest = stamp(0) + 7 * STEP // 3
    assert [o.stamp_ns for o in assembler.past(newest)] == [stamp(0) + 4 * STEP // 3]
    assembler.clear()
    assert assembler.past(newest) == []


def test_policies_without_a_past_ask_for_none():
    config = tiny_policy_config()
    assert config.past_stamps(stamp(3)) == ()


def test_a_rollout_looks_between_chunks():
    """Chunks of four actions, and the policy wants the observation one control step before."""
    asked = []

    class Recorder:
        config = SimpleNamespace(action=SimpleNamespace(n_action_steps=4),
                                 past_stamps=lambda stamp_ns: (stamp_ns - METAWORLD.dt_ns,))

        def reset(self):
            pass

        def infer(self, observation, prefix=None, past=()):
            asked.append((observation.stamp_ns, [o.stamp_ns for o in past]))
            return ActionChunk(observation.stamp_ns, ("x",), np.zeros((4, 1), np.float32), 0.0125)

    env = SimpleNamespace(
        config=SimpleNamespace(instruction=lambda task: "go"), reset_unseen=lambda seed: None,
        control=lambda action: (0.0, len(asked) > 2), arm=METAWORLD,
        hold_action=lambda: np.zeros(1),
        observe=lambda stamp_ns, words: Observation(stamp_ns, {}, {}, words))
    spec = SimpleNamespace(task="reach-v3", seed=0, start_ns=0)
    for _ in rollout(Recorder(), Episode(env, spec)):
        pass
    step = METAWORLD.dt_ns
    assert asked == [(0, []), (4 * step, [0, 3 * step]),
                     (8 * step, [0, 3 * step, 4 * step, 7 * step])]
