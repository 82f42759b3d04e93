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

"""docs/reference.md and launch/arguments.json say what the models say."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

ROOT = Path(__file__).parents[3]


@pytest.mark.simulator
def test_the_reference_and_the_launch_arguments_are_up_to_date():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert text == reference.page(), "run 'make reference' and commit docs/reference.md"
    stored = json.loads((ROOT / "launch/arguments.json").read_text(encoding="utf-8"))
    assert stored == reference.arguments(), "run 'make reference' and commit launch/arguments.json"
