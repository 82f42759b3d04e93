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

"""Formats of a checkpoint's ``config.json``: those of releases before become the present one."""

from __future__ import annotations

from pathlib import Path

from tinyvla_ros.core.errors import CheckpointError

# Format 1, of release 0.1.0, has ``action.execute_steps`` in place of ``n_action_steps``.
FORMAT = 2


def of_this_format(data: object, path: Path) -> object:
    """Return the content of a ``config.json`` in this version's format.

    Raises:
        CheckpointError: it has a format that this version does not read.
    """
    if not isinstance(data, dict):
        return data
    found = data.get("format", FORMAT)
    if found == 1:
        action = data.get("action")
        if isinstance(action, dict) and "execute_steps" in action:
            action = {"n_action_steps" if k == "execute_steps" else k: v
                      for k, v in action.items()}
            data = data | {"action": action}
        return data | {"format": FORMAT}
    if found != FORMAT:
        raise CheckpointError(f"{path} has format {found!r}; this version reads formats 1 and "
                              f"{FORMAT}, install a version that reads it.")
    return data
