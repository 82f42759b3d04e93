# SPDX-License-Identifier: Apache-2.0
"""Where a result comes from: machine, versions, date."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata

import tinyvla_ros
from sim_bridge.results import PACKAGES

TRAINING_PACKAGES = ("pyarrow", "av", "scipy", "matplotlib")


def provenance() -> dict:
    """Return date (UTC, ISO 8601), machine and versions, plain data."""
    versions = {"tinyvla_ros": tinyvla_ros.__version__, "python": platform.python_version()}
    return {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "versions": versions | {name: metadata.version(name)
                                    for name in (*PACKAGES, *TRAINING_PACKAGES)}}
