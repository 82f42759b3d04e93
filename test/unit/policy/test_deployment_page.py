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

"""The example of docs/deployment.md, which has nothing but numpy and onnxruntime."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from harness.compiled import compiled_copy

PAGE = Path(__file__).resolve().parents[3] / "docs" / "deployment.md"


def test_the_example_runs_without_our_code(tiny_checkpoint, tiny_config, tmp_path):
    path = compiled_copy(tiny_checkpoint, tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    imported = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", f"{example}\n{imported}"], cwd=path, text=True,
                         capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    *lines, kept, modules = run.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == list(tiny_config.action.channels)
    assert kept == "rows kept: True"
    assert "onnxruntime" in modules.split()
    assert not {"torch", "tinyvla_ros", "cv2", "onnx"} & set(modules.split())
