# SPDX-License-Identifier: Apache-2.0
"""What several commands share."""

from __future__ import annotations

import os

STOPPED = 143  # what a shell reports for a process ended by SIGTERM


def wait_passively() -> None:
    """Let threads that wait leave the cores to others; must be called before torch is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
