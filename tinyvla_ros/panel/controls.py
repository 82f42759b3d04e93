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

"""Who drives: one page at a time, and nobody longer than the page is heard of.

A driver who is lost while they hold the dead man stays lost until it is pressed anew: the arm's
side reads only the newest message, and must not take a later one for a dead man that was let go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.joy_layout import AXES, BUTTONS, DEAD_MAN, PRESSES

# The newest state is repeated this often, s, and no wait is shorter than the second.
TICK_S, SHORTEST_S = 0.02, 0.001
# How long a button of the screen counts as pressed, s: some messages of the joystick.
PRESS_S = 0.1
# After a loss, how long a dead man is released before it is held: both must be seen, s.
RELEASE_S = 0.1
NOT_DRIVING = "This page only watches; press Drive first."
DRIVEN = "Another page drives this arm; it must let go first."
WAS_LOST = ("The arm holds because its driver was lost; let go of the dead man and hold it anew "
            "first.")
# A page whose view of the arm is older than this, beyond the timeout, is too slow to drive, s.
OLDEST_VIEW_S = 0.5


class Controls:
    """The driver's newest message, repeated to the arm while it is fresh.

    All methods are called by one thread, with steady seconds.

    Attributes:
        driver: the page that drives; None if nobody does.
        is_held: whether its dead man was held when it was heard last.
        is_lost: whether a driver was lost, and the dead man was not pressed since.

    Args:
        timeout: seconds without a message of the driver after which they are lost.
        send: publishes axes and buttons.
        lose: says that the driver is lost, so that the arm holds.
    """

    def __init__(self, timeout: float, send: Callable[[Sequence[float], Sequence[int]], None],
                 lose: Callable[[], None]):
        self._timeout, self._send, self._lose = timeout, send, lose
        self.driver: Hashable | None = None
        self.is_held = self.is_lost = False
        self._was_released = False  # since the loss
        self._counts_s = float("-inf")  # when a dead man that is held counts, after a loss
        self._axes: Sequence[float] = ()
        self._heard_s = float("-inf")
        self._is_sending = False
        self._pressed: dict[str, float] = {}  # button -> when it is let go of

    def take(self, page: Hashable) -> None:
        """Let a page drive.

        Raises:
            InputError: another one does.
        """
        if self.driver not in (None, page):
            raise InputError(DRIVEN)
        self.driver = page

    def check(self, page: Hashable) -> None:
        """Raise ``InputError`` if a page does not drive."""
        if page != self.driver or page is None:
            raise InputError(DRIVEN if self.driver is not None else NOT_DRIVING)

    def leave(self, page: Hashable) -> None:
        """Let a page drive no more; if it held the dead man, its driver is lost."""
        if page == self.driver is not None:
            self.lost(page)
            self.driver = None

    def lost(self, page: Hashable) -> None:
        """A page says, or its connection does, that nobody looks at it."""
        if page != self.driver or page is None:
            return
        self._heard_s = float("-inf")
        self._stop()

    def drive(self, page: Hashable, is_held: bool, axes: Sequence[float], seen_s: float,
              now_s: float) -> None:
        """Take the state of the page's controls.

        A network that is slow, and not silent, delivers both ways late: what the driver sees is
        old, and so is the dead man. Such a driver is lost.

        Args:
            page: that drives.
            is_held: whether its dead man is held.
            axes: as in ``joy_layout``.
            seen_s: when what the page shows was sent.
            now_s: now.

        Raises:
            InputError: the page does not drive.
        """
        self.check(page)
        if now_s - seen_s > self._timeout + OLDEST_VIEW_S:
            self.lost(page)
            return
        self.is_held, self._axes, self._heard_s = is_held, axes, now_s
        if self.is_lost and is_held and self._was_released:
            self.is_lost, self._counts_s = False, now_s + RELEASE_S
        self._was_released |= not is_held
        self.tick(now_s)

    def press(self, page: Hashable, button: str, now_s: float) -> None:
        """Press a button of ``PRESSES`` for a moment.

        Raises:
            InputError: the page does not drive, or its driver was lost.
        """
        self.check(page)
        if self.is_lost:
            raise InputError(WAS_LOST)
        self._pressed[button] = now_s + PRESS_S

    def due_s(self, now_s: float) -> float:
        """Return how long the next tick has time, s: a page that falls silent is noticed then."""
        silent_s = self._heard_s + self._timeout - now_s
        return min(TICK_S, max(silent_s, SHORTEST_S)) if self._is_sending else TICK_S

    def tick(self, now_s: float) -> None:
        """Repeat the newest state, or notice that the page fell silent."""
        if self.driver is None or now_s - self._heard_s > self._timeout:
            self._stop()
            return
        if self.is_lost:
            return
        self._pressed = {b: until_s for b, until_s in self._pressed.items() if now_s < until_s}
        buttons = [0] * len(BUTTONS)
        buttons[DEAD_MAN] = int(self.is_held and now_s >= self._counts_s)
        for button in self._pressed:
            buttons[PRESSES[button]] = 1
        self._is_sending = True
        self._send(self._axes or (0.0,) * AXES, buttons)

    def _stop(self) -> None:
        if self._is_sending and self.is_held:
            self.is_lost, self._was_released = True, False
            self._lose()
        self._is_sending = self.is_held = False
