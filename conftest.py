# SPDX-License-Identifier: Apache-2.0
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
