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

"""Where a result comes from: date, machine, versions."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from importlib import metadata

import tinyvla_ros

PACKAGES = ("torch", "numpy", "mujoco", "metaworld", "gymnasium", "pyarrow", "av",
            "scipy", "matplotlib")


def provenance() -> dict:
    """Return date (UTC, ISO 8601), machine and versions as plain data.

    The version of a package that is not installed is None.
    """
    versions = {"tinyvla_ros": tinyvla_ros.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
            "versions": versions}
