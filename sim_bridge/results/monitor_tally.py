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

"""How often what a policy's monitor said agrees with the simulator."""

from __future__ import annotations

DONE, ALARM = "said done", "raised an alarm"
# What counts as said.
LEAST = {DONE: 0.5, ALARM: 1.0}


class MonitorTally:
    """Counts episodes by what was said in them and how they ended."""

    def __init__(self):
        self._said: set[tuple[int, str]] = set()
        self._was_heard = False
        self._successes: dict[int, bool] = {}

    def add(self, episode: int, what: str, value: float) -> None:
        """Take what was said of an observation of an episode, also after its end."""
        self._was_heard = True
        if value >= LEAST[what]:
            self._said.add((episode, what))

    def end(self, episode: int, success: bool) -> None:
        """An episode has ended."""
        self._successes[episode] = success

    def summary(self) -> str:
        """Return a sentence; empty if no monitor was heard."""
        if not self._was_heard:
            return ""
        parts = [f"{what} in {' and '.join(self._of(what, success) for success in (True, False))}"
                 for what in LEAST]
        return f"the monitor {', '.join(parts)}"

    def _of(self, what: str, success: bool) -> str:
        episodes = [e for e, s in self._successes.items() if s is success]
        return (f"{sum((e, what) in self._said for e in episodes)} of {len(episodes)} "
                f"{'successes' if success else 'failures'}")
