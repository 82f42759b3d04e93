# SPDX-License-Identifier: Apache-2.0
"""Importing this makes ``test/harness`` importable: the arm and its faults."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
