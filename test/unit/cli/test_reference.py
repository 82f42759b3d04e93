# SPDX-License-Identifier: Apache-2.0
"""docs/reference.md says what the models say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

ROOT = Path(__file__).parents[3]


@pytest.mark.simulator
def test_the_reference_is_up_to_date():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert text == reference.page(), "run 'make reference' and commit docs/reference.md"
