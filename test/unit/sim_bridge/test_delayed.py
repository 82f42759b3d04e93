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

"""Latency in simulated time: what it costs does not depend on the machine."""

from __future__ import annotations

import json

import pytest

from harness.simulator import metaworld_env
from harness.tables import table_cells
from sim_bridge.delayed_rollout import RealTime, delayed_rollout
from sim_bridge.episodes import plan_episodes
from sim_bridge.rollout import Episode
from tinyvla_ros.cli.main import main
from tinyvla_ros.policy.policy import Policy

pytestmark = pytest.mark.simulator
MS = 1_000_000


@pytest.fixture(scope="module")
def env():
    env = metaworld_env("reach-v3")
    yield env
    env.close()


@pytest.fixture(scope="module")
def run(env, tiny_checkpoint):
    """Run the first 60 steps' worth of an episode under latency."""
    policy = Policy(tiny_checkpoint)

    def run(join: str, latency_ms: int, pace: float = 1.0, **conditions):
        episode = Episode(env, plan_episodes(["reach-v3"], 1, 60000)[0])
        episode.steps = 440  # the horizon is 500
        return delayed_rollout(
            policy, episode, RealTime(join, pace, latency_ms * MS, **conditions))
    return run


def test_without_latency_the_arm_is_always_commanded(run):
    result = run("replace", 0)
    assert result.held_steps == 0
    assert len(result.seams) == 14, "a chunk per image, and 60 steps are 15 images"


def test_the_arm_waits_for_the_first_chunk_and_no_longer(run):
    assert run("replace", 50).held_steps == 4


def test_a_chunk_that_is_shorter_than_the_latency_is_of_no_use(run):
    assert run("replace", 200).held_steps == 60


def test_the_same_latency_gives_the_same_episode(run):
    assert run("rtc", 50) == run("rtc", 50)


@pytest.mark.parametrize("join", ["replace", "ensemble", "rtc"])
def test_no_step_at_a_seam_is_larger_than_the_arm_takes(run, join):
    result = run(join, 50)
    assert result.seams
    assert max(s.position for s in result.seams) <= 0.1 + 1e-6, "takeover of metaworld.yaml"


def test_a_slower_arm_needs_no_longer_chunk(run):
    """The arm of the simulation chooses a pace at which a chunk outlasts the latency."""
    result = run("replace", 200, pace=0.0)
    assert result.mean_pace == 0.25
    assert result.held_steps == 16, "until the first chunk is there"


def test_lost_images_and_jitter_are_drawn_for_the_episode(run):
    whole = run("replace", 20)
    lost = run("replace", 20, dropped=0.5)
    assert len(lost.seams) < len(whole.seams)
    assert lost == run("replace", 20, dropped=0.5)
    late = run("replace", 20, jitter_ns=100 * MS)
    assert len(late.seams) < len(whole.seams)
    assert late == run("replace", 20, jitter_ns=100 * MS)


def test_more_images_are_more_chunks(run):
    assert len(run("replace", 10, camera_every=1).seams) > 2 * len(run("replace", 10).seams)


@pytest.mark.slow
def test_the_command_writes_a_table_and_goes_on(tiny_checkpoint, tmp_path, capsys):
    command = ["latency-vs-success", "--checkpoint", str(tiny_checkpoint), "--out",
               str(tmp_path / "out"), "--tasks", "reach-v3", "--joins", "replace", "rtc",
               "--paces", "1", "--dropped", "50", "--latencies", "300",
               "--episodes", "1", "--workers", "1"]
    assert main(command) == 0
    assert table_cells(capsys.readouterr().out, "rtc, pace 1")[:2] == ["300", "0 % (0-79)"]
    lines = (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()
    late = [r for r in map(json.loads, lines) if r["axis"] == "latency ms"]
    assert [r["held_steps"] for r in late] == [500, 500]
    assert (tmp_path / "out" / "latency.png").stat().st_size > 5000
    assert main(command) == 0
    assert (tmp_path / "out" / "episodes.jsonl").read_text().splitlines() == lines


def test_the_command_compares_settings_of_the_execution(tiny_checkpoint, tmp_path, capsys):
    command = ["latency-vs-success", "--checkpoint", str(tiny_checkpoint), "--out",
               str(tmp_path / "out"), "--tasks", "reach-v3", "--joins", "replace", "--paces", "1",
               "--latencies", "50", "--episodes", "1", "--workers", "1"]
    assert main([*command, "--settings", "catchup=0"]) == 2
    assert "catch_up" in capsys.readouterr().err
    assert main([*command, "--settings", "", "takeover=1"]) == 0
    bound, free = (json.loads(line)["seams"] for line in
                   (tmp_path / "out" / "episodes.jsonl").read_text().splitlines())
    assert max(position for position, _ in bound) <= 0.1001 < max(p for p, _ in free)
