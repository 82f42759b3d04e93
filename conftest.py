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

"""Run the tests with the Python that has our dependencies, whichever Python started pytest.

``colcon test`` starts the Python that colcon itself runs on, which is that of ROS.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from pathlib import Path

import pytest

NEEDED = ("pydantic", "torch", "pytest", "hypothesis")


def pytest_addoption(parser, pluginmanager):
    """Go on in another Python, before any test is loaded, if this one lacks what they need."""
    if all(map(importlib.util.find_spec, NEEDED)):
        return
    finder = Path(__file__).with_name("launch") / "environment_python.py"
    try:
        python = runpy.run_path(str(finder))["find_python"](NEEDED)
    except RuntimeError as err:
        raise pytest.UsageError(str(err)) from None
    capture = pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()  # its end of stdout would be lost
    print(f"tests run with {python}", flush=True)
    os.execv(python, [python, "-m", "pytest", *sys.argv[1:]])
