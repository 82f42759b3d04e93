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

"""Where launch files, configurations and checkpoints are, however the package was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tinyvla_ros.core.errors import InputError


def share_directory() -> Path:
    """Return the directory that holds ``config/``, ``launch/`` and ``checkpoints/``.

    A source checkout (editable install) is its own share directory; otherwise it is
    ``share/tinyvla_ros`` of the ament prefix or of the Python environment.
    """
    candidates = [Path(__file__).resolve().parents[2]]
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)),
                sys.prefix]
    candidates += [Path(prefix) / "share" / "tinyvla_ros" for prefix in prefixes]
    for candidate in candidates:
        if (candidate / "config" / "metaworld.yaml").is_file():
            return candidate
    raise InputError(
        f"The files of tinyvla_ros were not found in {', '.join(map(str, candidates))}; "
        "install the package again (make setup, or colcon build).")


def default_checkpoint() -> Path:
    """Return the checkpoint shipped with the package."""
    return share_directory() / "checkpoints" / "metaworld-3task"


def mt10_checkpoint() -> Path:
    """Return the shipped checkpoint that knows the ten tasks of MT10."""
    return share_directory() / "checkpoints" / "metaworld-mt10"


def robot_file(name: str) -> Path:
    """Return a contract that comes with the package."""
    return share_directory() / "config" / "robots" / f"{name}.yaml"


def default_robot() -> Path:
    """Return the contract of the arm that ``sim_bridge_node`` simulates."""
    return robot_file("metaworld")


def use_middleware_profile() -> None:
    """Let Fast DDS carry large images in shared memory, unless the user has a profile.

    Only Fast DDS reads it, when the first context is made; see ``config/fastdds.xml``.
    """
    if "FASTDDS_DEFAULT_PROFILES_FILE" not in os.environ:
        os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE",
                              str(share_directory() / "config" / "fastdds.xml"))
