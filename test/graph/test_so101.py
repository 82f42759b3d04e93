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

"""The simulated SO-101, evaluated over real topics."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.processes import Listener, Output, start
from sim_bridge.arms import SO101
from tinyvla_ros.core.ros.messages import trajectory_to_chunk

pytestmark = pytest.mark.simulator
TASK = "so101-pick-place"
COMMANDS = "trajectory_controller/joint_trajectory"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A policy with random weights that moves little around where the arm begins."""
    from sim_bridge.so101.environment import HOME
    begin = np.array(HOME)
    folder = tmp_path_factory.mktemp("so101") / "checkpoint"
    write_random_checkpoint(folder, tiny_policy_config(
        cameras={n: {"height": 48, "width": 48} for n in ("front", "wrist")},
        state=list(SO101.joints),
        action={"channels": list(SO101.channels), "units": ["rad"] * 6,
                "low": list(begin - 0.2), "high": list(begin + 0.2), "dt": 0.04,
                "horizon": 16, "n_action_steps": 4},
        instructions=["pick up the cube and put it on the mark"]))
    return folder


def sim_eval(checkpoint, out, *more):
    return start(sys.executable, "-m", "tinyvla_ros.cli", "sim-eval", "--checkpoint",
                 str(checkpoint), "--tasks", TASK, "--seed", "3", "--horizon", "60",
                 "--out", str(out), *(more or ("--episodes", "1")))


def test_lock_step_over_topics_is_the_rollout_in_process(checkpoint, tmp_path):
    from sim_bridge.episodes import plan_episodes
    from sim_bridge.make_environment import make_environment
    from sim_bridge.rollout import Episode, rollout
    from tinyvla_ros.policy.policy import Policy

    probe = Listener()
    process = sim_eval(checkpoint, tmp_path / "results")
    output = Output(process)
    try:
        probe.until(lambda: process.poll() is not None, "the end of the run")
    finally:
        probe.close()
    assert output.wait_end() == 0, output.text
    line = json.loads((tmp_path / "results" / "episodes.jsonl").read_text())
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["protocol"]["control_dt"] == SO101.control_dt
    chunks = {c.stamp_ns: c.actions for c in
              (trajectory_to_chunk(m, SO101.channels) for m in probe.chunks)}
    env, compared = make_environment(TASK), 0
    [spec] = plan_episodes([TASK], 1, 3)
    episode = Episode(env, spec, horizon=60)
    for _, chunk in rollout(Policy(checkpoint), episode):
        if chunk.stamp_ns in chunks:  # what was sent before the probe was discovered, it missed
            assert np.array_equal(chunks[chunk.stamp_ns], chunk.actions)
            compared += 1
    env.close()
    assert compared >= 4
    assert (episode.result().success, episode.result().steps) == (line["success"], line["steps"])


def test_it_is_evaluated_on_the_wall_clock(checkpoint, tmp_path):
    """The policy's trajectories are those that a joint_trajectory_controller takes."""
    out = tmp_path / "results"
    output = Output(sim_eval(checkpoint, out, "--mode", "realtime", "--record", "--episodes",
                             "3"))
    assert output.wait_end() == 0, output.text
    lines = [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines] == [60] * 3
    assert "ended" not in output.text, "an answer to the episode before is no fault"
    from tinyvla_ros.bags.reader import Bag
    with Bag(next((out / "episodes").iterdir())) as bag:
        sent = [t for t in bag.topics if t.endswith(COMMANDS)]
        assert sent, bag.topics
