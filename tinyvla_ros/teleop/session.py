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

"""Recording demonstrations one after the other, led by buttons.

::

    waiting --start--> recording --success, failure--> pause --(reset_s, reset done)--> waiting
       ^                   |
       +----- pause <--discard   (the same number is recorded again)

After the last one the session is complete. Nothing here imports ROS.
"""

from __future__ import annotations

from collections.abc import Callable

from tinyvla_ros.core.ros.episode_event import ABORT, BEGIN, END, EpisodeEvent

WAITING, RECORDING, PAUSE, COMPLETE = "waiting", "recording", "pause", "complete"


class DemonstrationSession:
    """Which demonstration is recorded, and what its buttons do.

    Attributes:
        state: ``waiting``, ``recording``, ``pause`` or ``complete``.
        kept: demonstrations that count: successes and failures.
        successes: those that succeeded.
        discarded: attempts that were thrown away.
        begins_next: whether the next one begins by itself, because ``next`` was pressed in the
            pause.

    Args:
        total: how many are wanted; 0 for as many as come.
        reset_s: shortest pause between two.
        values: returns what every event has beside ``index`` and ``total``.
        emit: publishes an event.
        reset: asks for a new scene; called at the beginning of each pause. ``reset_done`` ends it.
            None where a person does it.
    """

    def __init__(self, total: int, reset_s: float, values: Callable[[], dict[str, object]],
                 emit: Callable[[EpisodeEvent], None], reset: Callable[[], None] | None = None):
        self._total, self._reset_s = total, reset_s
        self._values, self._emit, self._reset = values, emit, reset
        self.state = WAITING
        self.kept = self.successes = self.discarded = 0
        self._pause_ends_s = 0.0
        self._is_resetting = False
        self.begins_next = False

    @property
    def is_resetting(self) -> bool:
        """Whether a new scene was asked for and is not there yet: the arm must not move."""
        return self._is_resetting

    def press(self, button: str, now_s: float, why_not: str = "") -> str:
        """Do what a button of ``EpisodeButtons`` means; return one sentence for the operator.

        ``why_not`` says why no demonstration may begin now, empty if one may.
        """
        text = self.tick(now_s, why_not)
        if self.state == RECORDING and text:
            return text  # it began just now, and the button was for that
        if button == "next":
            button = {RECORDING: "success", WAITING: "start"}.get(self.state, "next")
        if button == "start" and self.state == WAITING:
            if why_not:
                return f"Not started: {why_not}."
            self._begin()
            return f"Demonstration {self._number} is being recorded."
        if button == "next" and self.state == PAUSE:
            self.begins_next = True
            return f"Demonstration {self._number} begins when the pause is over" + (
                f", and not before: {why_not}." if why_not else ".")
        if button in ("success", "failure", "discard") and self.state == RECORDING:
            return self._end(button, now_s)
        if self.state == COMPLETE:
            return f"All {self._total} demonstrations are recorded; button {button!r} is ignored."
        instead = {WAITING: "press start first", RECORDING: "end this one first",
                   PAUSE: "wait for the end of the pause"}[self.state]
        return f"Button {button!r} is ignored while {self.state}; {instead}."

    def tick(self, now_s: float, why_not: str = "") -> str:
        """Go on with time; return a sentence if something happened, else an empty one."""
        if self.state != PAUSE or self._is_resetting or now_s < self._pause_ends_s:
            return ""
        if self.begins_next and not why_not:
            self.begins_next = False
            self._begin()
            return f"Demonstration {self._number} is being recorded."
        if self.begins_next:
            return ""
        self.state = WAITING
        return f"Ready for demonstration {self._number}: press start."

    def reset_done(self) -> None:
        """Go on: the new scene is there, or could not be had."""
        self._is_resetting = False

    def close(self) -> None:
        """Abort the running demonstration, because the node ends."""
        if self.state == RECORDING:
            self._emit(EpisodeEvent.make(ABORT, self._event_values()))
            self.state = WAITING

    @property
    def _number(self) -> str:
        return f"{self.kept + 1} of {self._total}" if self._total else str(self.kept + 1)

    def _event_values(self) -> dict[str, object]:
        return {"index": self.kept, "total": self._total, **self._values()}

    def _begin(self) -> None:
        self.state = RECORDING
        self._emit(EpisodeEvent.make(BEGIN, self._event_values()))

    def _end(self, button: str, now_s: float) -> str:
        values, number = self._event_values(), self._number
        if button == "discard":
            self._emit(EpisodeEvent.make(ABORT, values | {"discard": "true"}))
            self.discarded += 1
            text = f"Demonstration {number} is thrown away and will be recorded again."
        else:
            is_success = button == "success"
            self._emit(EpisodeEvent.make(END, values | {"success": str(is_success).lower()}))
            self.kept += 1
            self.successes += is_success
            text = f"Demonstration {number} is kept as a {button}."
        self.begins_next = False
        if self._total and self.kept >= self._total:
            self.state = COMPLETE
            return f"{text} All {self._total} are recorded."
        self.state, self._pause_ends_s = PAUSE, now_s + self._reset_s
        if self._reset is not None:
            self._is_resetting = True
            self._reset()
        return text
