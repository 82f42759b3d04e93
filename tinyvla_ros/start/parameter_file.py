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

"""Which nodes a ROS parameter file is for: ROS ignores, silently, one that names no node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from tinyvla_ros.core.errors import InputError

_PARAMETERS = "ros__parameters"


def check_parameter_file(path: Path, nodes: Sequence[str]) -> None:
    """Check that a parameter file can be read and has parameters for one of the nodes.

    Args:
        path: the file.
        nodes: names with their namespace, for example ``/arm_1/policy_node``.

    Raises:
        InputError: it cannot be read, is not a parameter file, or has nothing for these nodes.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not text"
        raise InputError(f"params_file {path} cannot be read ({reason}); give a ROS parameter "
                         "file.") from None
    except yaml.YAMLError as err:
        raise InputError(f"params_file {path} is not valid YAML ({' '.join(str(err).split())})."
                         ) from None
    names = list(_named(data))
    if not names:
        raise InputError(f"params_file {path} has no 'node_name: {{{_PARAMETERS}: ...}}'; give a "
                         "ROS parameter file.")
    if not any(_fits(name, node) for name in names for node in nodes):
        raise InputError(
            f"params_file {path} has parameters for {_listing(names)} but none for "
            f"{_listing(nodes)}; name one of them, or '/**' for all.")


def _named(data: object, above: str = "") -> Iterator[str]:
    """Yield the node names of a file, joined from nested keys, each with a leading slash."""
    for key, value in data.items() if isinstance(data, dict) else ():
        if key == _PARAMETERS:
            yield above or "/"
        else:
            yield from _named(value, f"{above}/{str(key).strip('/')}")


def _fits(pattern: str, node: str) -> bool:
    """Return whether a name with wildcards is that of a node: ``*`` one part, ``**`` any."""
    parts = ("(/[^/]+)*" if part == "**" else "/[^/]+" if part == "*" else f"/{re.escape(part)}"
             for part in pattern.strip("/").split("/"))
    return re.fullmatch("".join(parts), node) is not None


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names)
