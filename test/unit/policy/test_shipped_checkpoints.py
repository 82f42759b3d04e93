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

"""What comes with the package: checkpoints that load, with results of their own."""

from __future__ import annotations

import json

import pytest

from harness.simulator import metaworld_env
from sim_bridge.episodes import plan_episodes
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import MT10, MT50, SUITES
from tinyvla_ros.core.resources import default_checkpoint, mt10_checkpoint, share_directory
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig

CHECKPOINTS = sorted(p for p in (share_directory() / "checkpoints").iterdir() if p.is_dir())


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda p: p.name)
def test_results_are_the_checkpoints_own(path):
    protocol = json.loads((path / "evaluation.json").read_text())["protocol"]
    assert protocol["checkpoint_digest"] == load_checkpoint(path).digest
    first, last = protocol["seeds"]  # those that are for figures alone
    assert first == 0 and last <= 49
    assert sum(f.stat().st_size for f in path.iterdir()) < 40e6
    assert path.name in (path / "README.md").read_text()


@pytest.mark.parametrize(("path", "tasks"), [
    pytest.param(path, tasks, id=path.name) for path, tasks in (
        (default_checkpoint(), ("reach-v3", "button-press-v3", "pick-place-v3")),
        (mt10_checkpoint(), MT10), *((p, MT50) for p in CHECKPOINTS if "mt50" in p.name),
        *((p, (p.name,)) for p in CHECKPOINTS if "so101" in p.name))])
def test_it_knows_its_tasks(path, tasks):
    config, robot = PolicyConfig.load(path), SimulatedRobotConfig.of(tasks)
    assert sorted(robot.instruction(t) for t in tasks) == sorted(config.instructions)


def test_that_of_scenes_knows_those_and_mt10():
    config = PolicyConfig.load(share_directory() / "checkpoints" / "metaworld-scenes")
    shared, standard = (SimulatedRobotConfig.load(scenes=s) for s in ("shared", "standard"))
    words = {*map(shared.instruction, SUITES["scenes"]), *map(standard.instruction, MT10)}
    assert words == set(config.instructions)


@pytest.mark.simulator
def test_mt10_closes_a_drawer_when_instructed():
    from sim_bridge.rollout import Episode, rollout
    from tinyvla_ros.policy.policy import Policy

    spec = plan_episodes(["drawer-close-v3"], 1, 77)[0]
    episode = Episode(metaworld_env(spec.task), spec, "shut the drawer, please")
    for _ in rollout(Policy(mt10_checkpoint()), episode):
        pass
    assert episode.result().success
