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

"""Counters in the diagnostics of a node that drives an arm: a rise is an event."""

from __future__ import annotations

from collections.abc import Mapping

_COUNTED = ("intervention ", "hold ")


def event_counts(values: Mapping[str, str]) -> dict[str, int]:
    """Return the counters among the values of a status, by key."""
    return {k: int(v) for k, v in values.items() if k.startswith(_COUNTED) and v.isdecimal()}


def new_events(before: Mapping[str, int] | None, counts: Mapping[str, int]
               ) -> list[tuple[str, str, int]]:
    """Return what happened between two statuses: kind, what, and how many times.

    Args:
        before: counters of the earlier status; None if there was none, for counters begin with
            the values of the first one. A counter that it lacks began at zero.
        counts: those of the later one.
    """
    if before is None:
        return []
    rises = [(key.partition(" "), count - before.get(key, 0)) for key, count in counts.items()]
    return [(kind, what, rise) for (kind, _, what), rise in rises if rise > 0]
