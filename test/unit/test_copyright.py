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

"""Every Python file begins with the lines that ament_copyright knows."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "launch", "scripts", "sim_bridge", "test", "tinyvla_ros", "training")


def test_every_file_has_copyright_and_license():
    own = Path(__file__).read_text(encoding="utf-8")
    header = own[:own.index('"""')]
    assert header.startswith("# Copyright 2026 tinyvla_ros contributors\n")
    files = [*ROOT.glob("*.py"), *(f for d in FOLDERS for f in (ROOT / d).rglob("*.py"))]
    assert not [str(f) for f in files if not f.read_text(encoding="utf-8").startswith(header)]
