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

"""The tutorial of docs/own-arm.md, small: from a running arm to a policy that moves it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.processes import Output, start
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.configuration import read_json

pytestmark = pytest.mark.simulator
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "own_arm.py"


@pytest.mark.alone  # cameras at their rates
@pytest.mark.timeout(900)
def test_every_step_of_the_tutorial_works(tmp_path):
    out = tmp_path / "own"
    output = Output(start(sys.executable, str(SCRIPT), "--small", "--out", str(out)))
    code = output.process.wait(850)
    logs = "\n".join(p.read_text()[-2000:] for p in out.glob("*.log"))
    assert code == 0, f"{output.text}\n{logs}"
    # The demonstrations are a person's, as far as anyone can tell, and were commanded.
    bags = sorted(p for p in (out / "demonstrations").iterdir() if (p / "metadata.yaml").is_file())
    assert len(bags) == 2
    for path in bags:
        with Bag(path) as bag:
            assert bag.custom["outcome"] == "success"
            assert bag.custom["commander"] == "human"
    info = read_json(out / "data" / "meta" / "info.json")
    assert info["total_episodes"] == 2
    assert info["features"]["action"]["names"][0].startswith("shoulder_pan")
    # Both contracts, the shipped one and the one that was written here, fit the running arm.
    assert output.text.count("0 problem(s)") == 2
    for mode in ("lockstep", "realtime"):
        tasks = read_json(out / mode / "results.json")["tasks"]
        assert tasks["so101-pick-place"]["episodes"] == 1
    assert (out / "report.html").stat().st_size > 10_000
