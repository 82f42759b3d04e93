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

"""Words over topics: a policy that takes new wordings, instructed while it runs."""

from __future__ import annotations

import pytest

from harness.policies import tiny_policy_config, write_random_checkpoint, write_robot
from harness.processes import Probe, running_policy_node


@pytest.fixture(scope="module")
def config():
    return tiny_policy_config(language={"kind": "hashed", "dim": 128})


@pytest.fixture(scope="module")
def node(config, tmp_path_factory):
    place = tmp_path_factory.mktemp("words")
    write_random_checkpoint(place / "checkpoint", config)
    robot = write_robot(place / "robot.yaml")
    with running_policy_node(place / "checkpoint", robot) as process:
        yield process


def test_words_change_between_chunks_and_nonsense_stops_them(node, config):
    probe = Probe(config)
    probe.until_matched()
    probe.instruct(config.instructions[0])
    probe.publish(probe.observation(10))
    probe.until(lambda: 10 in probe.chunk_stamps(), "the chunk for a known wording")
    probe.instruct("please press that red button")
    probe.until(lambda: len(probe.chunks) == 2, "the chunk for a new wording")
    known, new = probe.chunks
    assert new.header.frame_id == "please press that red button"
    assert known.points[0].positions != new.points[0].positions
    node.output.wait_for("nearest known: 'press the red button'")
    probe.instruct("sing me a song")
    probe.until(lambda: any("'sing me a song' is not similar" in s.message
                            for s in probe.diagnostics), "the refusal")
    probe.publish(probe.observation(11))
    probe.instruct(config.instructions[2])
    probe.until(lambda: 11 in probe.chunk_stamps(), "the chunk for the corrected instruction")
    assert {c.header.frame_id for c, stamp in zip(probe.chunks, probe.chunk_stamps(), strict=True)
            if stamp == 11} == {config.instructions[2]}
    probe.close()
