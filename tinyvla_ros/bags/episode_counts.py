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

"""How many episodes lie in a recorder's directory; read in a thread, so that no message waits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tinyvla_ros.bags.metadata import METADATA, read_information
from tinyvla_ros.bags.reader import DISCARDED
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.worker import Worker


class EpisodeCounts:
    """Counts complete bags by what is on the disk, so that restarts and moved bags do not matter.

    Attributes:
        values: ``kept``, of them ``successes`` and ``failures``, and ``discarded``; empty until
            they have been counted.

    Args:
        out: directory of the bags.
    """

    def __init__(self, out: Path):
        self._out = out
        # Outcome by name and time of change: an episode may be recorded again under its name.
        self._outcomes: dict[tuple[str, int], str] = {}
        self._is_counting = False
        self.values: dict[str, int] = {}
        self._worker = Worker("episode counts")
        self.refresh()

    def refresh(self) -> None:
        """Count again soon; returns at once."""
        if not self._is_counting:
            self._is_counting = True
            self._worker.start(self._count)

    def wait(self, timeout: float) -> bool:
        """Return whether everything was counted within ``timeout`` seconds."""
        return self._worker.wait(timeout)

    def _count(self) -> None:
        self._is_counting = False  # what changes from now on needs another round
        try:
            kept, discarded = _bags(self._out), _bags(self._out / DISCARDED)
        except OSError:
            return  # of a disk that was taken away the writer tells
        known = self._outcomes
        self._outcomes = {key: known[key] if key in known else _outcome(self._out / key[0])
                          for key in kept}
        outcomes = Counter(self._outcomes.values())
        self.values = {"kept": len(kept), "successes": outcomes["success"],
                       "failures": outcomes["failure"], "discarded": len(discarded)}


def _bags(folder: Path) -> list[tuple[str, int]]:
    """Return name and time of change of every complete bag."""
    found = []
    for bag in folder.iterdir() if folder.is_dir() else ():
        try:
            found.append((bag.name, (bag / METADATA).stat().st_mtime_ns))
        except OSError:
            continue  # no bag, not complete, or gone meanwhile
    return found


def _outcome(bag: Path) -> str:
    try:
        return read_information(bag).get("custom_data", {}).get("outcome", "")
    except InputError:
        return ""
