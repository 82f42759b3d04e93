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

"""From a user's data to an arm that follows: recipe, training, robot check, dry run."""

from __future__ import annotations

import sys

from harness import own_data
from harness.processes import Output, start
from tinyvla_ros.cli.main import main

TINY = ("model.image_channels=8", "model.keypoints=4", "model.condition_dim=16",
        "model.denoiser_channels=[16, 16, 16]", "optimization.steps=20",
        "optimization.batch_size=8", "optimization.warmup_steps=2",
        "optimization.precision=float32")


def test_a_policy_of_a_written_recipe_moves_the_robot_of_its_contract(tmp_path, capfd):
    # A policy that has hardly learned anything may begin anywhere.
    actions = {n: c | {"jump": 3.1} for n, c in own_data.CONTRACT["actions"].items()}
    robot = own_data.write_contract(tmp_path / "arm.yaml", actions=actions)
    data, recipe, run = own_data.write_own_data(tmp_path / "data"), tmp_path / "r.yaml", \
        tmp_path / "run"
    assert main(["recipe", "--from", str(data), "--robot", str(robot), "--out", str(recipe)]) == 0
    assert main(["train", "--config", str(recipe), "--data", str(data), "--out", str(run),
                 *(part for setting in TINY for part in ("--set", setting))]) == 0
    assert main(["robot", "check", str(robot), "--checkpoint", str(run / "last")]) == 0
    assert "own arm fits" in capfd.readouterr().out
    output = Output(start(sys.executable, "-m", "tinyvla_ros.cli", "dry-run", "--robot",
                          str(robot), "--checkpoint", str(run / "last"), "--seconds", "5"))
    code = output.wait_end()
    assert "policy running" in output.text and "Traceback" not in output.text
    # A machine that is busy with something else delivers late.
    assert code == 0 or "stale" in output.text or "in the past" in output.text, output.text
