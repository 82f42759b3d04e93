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

"""Check the environment variables of ROS 2, before rclpy ends the process because of one."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from tinyvla_ros.core.errors import InputError, did_you_mean

LAST_DOMAIN = 232  # ports of a later one would be above 65535
DISCOVERY_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
_PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def check_ros_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Check what ROS reads from the environment; an empty variable is like none.

    Raises:
        InputError: one sentence with the variable, its value and what is valid.
    """
    _check_domain(environment.get("ROS_DOMAIN_ID", ""))
    _check_choice("ROS_AUTOMATIC_DISCOVERY_RANGE", environment, DISCOVERY_RANGES)
    if installed := _middlewares(environment):
        _check_choice("RMW_IMPLEMENTATION", environment, installed)
    for name in _PROFILES:
        _check_profile(name, environment.get(name, ""))
    _check_log_directory(environment)


def _check_profile(name: str, path: str) -> None:
    """Fast DDS would go on without the profile, in another network than the user described."""
    if not path:
        return
    problem = "" if Path(path).is_file() else "and there is no such file"
    try:
        if not problem:
            ElementTree.parse(path)
    except (ElementTree.ParseError, OSError) as err:
        problem = f"which is not valid XML ({err})"
    if problem:
        raise InputError(f"{name} is {path}, {problem}; give a Fast DDS XML profile, or unset it.")


def _check_domain(text: str) -> None:
    """Read a number as rcl does: decimal, 0x.. or octal 0.."""
    digits = text.strip()
    number = -1
    if re.fullmatch(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", digits):
        number = int(digits, 8 if re.fullmatch(r"\+?0[0-7]+", digits) else 0)
    if text and not 0 <= number <= LAST_DOMAIN:
        raise InputError(f"ROS_DOMAIN_ID is {text!r}; give a whole number from 0 to "
                         f"{LAST_DOMAIN}, or unset it.")


def _check_choice(name: str, environment: Mapping[str, str], valid: tuple[str, ...]) -> None:
    value = environment.get(name, "")
    if value and value not in valid:
        raise InputError(f"{name} is {value!r}; give {' or '.join(valid)}, or unset it."
                         f"{did_you_mean(value, valid)}")


def _middlewares(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the RMW implementations that are installed, as the ament index lists them."""
    prefixes = [*filter(None, environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)),
                sys.prefix]
    found = (entry.name for prefix in prefixes for entry in
             Path(prefix, "share", "ament_index", "resource_index", "rmw_typesupport").glob("*"))
    return tuple(sorted({name for name in found if name != "rmw_implementation"}))


def _check_log_directory(environment: Mapping[str, str]) -> None:
    """Make the directory of the log files as ROS would, and one file in it."""
    home = environment.get("HOME", "")
    directory = environment.get("ROS_LOG_DIR", "")
    if not directory and environment.get("ROS_HOME", ""):
        directory = os.path.join(environment["ROS_HOME"], "log")
    directory = directory or "~/.ros/log"
    reason = "HOME is not set" if directory.startswith("~") and not home else ""
    directory = re.sub("^~(?=/|$)", lambda _: home or "~", directory)
    try:
        if not reason:
            os.makedirs(directory, exist_ok=True)
            tempfile.TemporaryFile(dir=directory).close()
    except OSError as err:
        reason = err.strerror or str(err)
    if reason:
        raise InputError(f"ROS cannot write its log files to {directory} ({reason}); set "
                         "ROS_LOG_DIR to a folder that can be written, for example "
                         "ROS_LOG_DIR=/tmp/ros_log.")
